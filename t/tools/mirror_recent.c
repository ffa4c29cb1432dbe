/* Goes on with the mirror of the catalog in --pgdata, as pitr-archive does once a minute; for t/525_mirror.pl. */
#include "base/exit.h"
#include "config/program.h"
#include "repo/branch_mark.h"
#include "repo/mirror.h"

static bool refresh(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;

	TRY(repo_open(options, 0, &repo, err));
	TRY(branch_mark_apply(repo, options->pgdata, NULL, err));
	return mirror_refresh(repo, options, options->pgdata, MIRROR_RECENT, err);
}

static int run(const struct options *options)
{
	struct error err = {0};

	return refresh(options, &err) ? 0 : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_CATALOG, FOR_PROGRAM, argc, argv, run);
}
