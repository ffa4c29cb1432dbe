#include "repo/mirror_upkeep.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"

/* As long as pitr-archive stores ahead at most: a server that is stopped waits for no more than both. */
#define RECENT_TIME_MAX_MS 5000
#define WHOLE_TIME_MAX_MS  30000

static bool directory_check(const struct repo *repo, const char *pgdata, struct error *err)
{
	struct control_file control;

	if (!control_file_read(pgdata, &control, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return fail_in(err, "\"%s\" is no data directory", pgdata);
	}
	return control.system_identifier == repo->layout.system_identifier ||
	       fail(err, ERROR_USAGE, "\"%s\" is the data directory of another cluster", pgdata);
}

static bool refresh(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth,
		    struct error *err)
{
	if (!branch_mark_apply(repo, pgdata, NULL, err))
		return fail_in(err, "the mirror of the catalog");
	storage_end_by(repo->storage, deadline_in(depth == MIRROR_WHOLE ? WHOLE_TIME_MAX_MS : RECENT_TIME_MAX_MS));
	bool done = mirror_refresh(repo, options, pgdata, depth, err);
	storage_end_by(repo->storage, 0);
	return done;
}

bool mirror_upkeep_run(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth,
		       struct error *err)
{
	struct layout layout = repo->layout;
	char directory[sizeof(repo->directory)];

	if (!directory_check(repo, pgdata, err))
		return fail_in(err, "the mirror of the catalog");
	memcpy(directory, repo->directory, sizeof(directory));
	bool done = refresh(repo, options, pgdata, depth, err);
	repo->layout = layout;
	memcpy(repo->directory, directory, sizeof(directory));
	return done;
}

void mirror_upkeep_try(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth)
{
	struct error failure = {0};

	if (mirror_upkeep_run(repo, options, pgdata, depth, &failure))
		log_debug("the mirror of the catalog in \"%s\" is fresh", pgdata);
	else
		log_info("not refreshed: %s", failure.text);
}

void mirror_upkeep_own(struct repo *repo, const struct options *options)
{
	struct error ignored = {0};

	if (options->pgdata != NULL && directory_check(repo, options->pgdata, &ignored) &&
	    access(options->pgdata, W_OK) == 0)
		mirror_upkeep_try(repo, options, options->pgdata, MIRROR_RECENT);
}
