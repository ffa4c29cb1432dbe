/* The mirror of the catalog in the server's data directory, made anew: what SQL shows. */
#include <unistd.h>

#include "base/log.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"
#include "repo/local_document.h"
#include "repo/mirror.h"
#include "verbs.h"

/* Unlike verbs that change which branch the server belongs to, root may do this for the server's user. */
static bool directory_open(const struct options *options, struct repo **repo, struct error *err)
{
	struct control_file control;

	if (options->pgdata == NULL)
		return fail(err, ERROR_USAGE, "the data directory of the server is not known") ||
		       fail_hint(err, "Give it with -D, or set pgdata in the configuration file.");
	if (!control_file_read(options->pgdata, &control, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return fail_in(err, "\"%s\" is no data directory", options->pgdata);
	}
	TRY(repo_open(options, control.system_identifier, repo, err));
	return branch_mark_apply(*repo, options->pgdata, NULL, err);
}

bool verb_mirror(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	const struct local_document document = LOCAL_CATALOG;

	TRY(directory_open(options, &repo, err));
	TRY(mirror_refresh(repo, options, options->pgdata, MIRROR_WHOLE, err));
	log_info("\"%s/%s\" has what can be restored from \"%s\"", options->pgdata, document.name,
		 storage_url(repo->storage));
	return true;
}
