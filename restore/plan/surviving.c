#include "plan/surviving.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "repo/branch_mark.h"
#include "repo/server_drain.h"

/* The data directory that a pg_wal belongs to, for its mark: the directory itself, or the one above it. */
static bool mark_apply(struct repo *repo, const char *directory, struct branch_mark *mark, struct error *err)
{
	char path[PATH_MAX];
	bool is_data_directory;

	TRY(path_join(path, directory, "pg_wal", err));
	TRY(fs_exists(path, &is_data_directory, err));
	TRY(path_join(path, directory, is_data_directory ? "." : "..", err));
	return branch_mark_apply(repo, path, mark, err);
}

bool surviving_read(struct repo *repo, const struct options *options, struct surviving *surviving, struct error *err)
{
	const char *path = options->wal_from;
	struct in_place in_place IN_PLACE_CLEANUP = {.is_resumed = false};
	struct branch_mark mark;
	struct layout before = repo->layout;

	if (options->in_place) {
		TRY(in_place_open(options, &in_place, err));
		path = in_place.has_old ? in_place.old : NULL;
	}
	if (path == NULL)
		return true;
	TRY(wal_directory_read(path, repo->layout.system_identifier, &surviving->directory, err));
	TRY(mark_apply(repo, path, &mark, err));
	surviving->origin = repo->layout;
	surviving->is_used = true;
	if (!options->in_place)
		repo->layout = before;
	return true;
}

static void drain_report(const char *directory, const struct wal_drain *drain)
{
	char text[WAL_HOLE_TEXT_SIZE];

	for (int i = 0; i < drain->hole_count && i < WAL_HOLES_MAX; i++) {
		wal_hole_format(&drain->holes[i], text);
		log_warning("neither the archive nor \"%s\" has %s", directory, text);
	}
	log_info("stored %" PRIu64 " WAL segments%s from \"%s\" that had not been archived", drain->stored,
		 drain->has_partial ? " and the last, incomplete one" : "", directory);
}

static bool fail_denied(const char *directory, struct error *err)
{
	if (err->kind != ERROR_DENIED)
		return fail_in(err, "could not store the WAL in \"%s\"", directory);
	(void) fail_in(err, "could not store the WAL in \"%s\"", directory);
	return fail_hint(err, "Recovery finds it only in the archive. Store it with credentials that may write, as "
			      "\"pitr-archive --drain\" on a database host does, and restore then.");
}

static bool remains_store(struct repo *repo, const char *directory, struct error *err)
{
	struct layout before = repo->layout;
	struct branch_mark mark;
	struct wal_drain drain;

	TRY(mark_apply(repo, directory, &mark, err));
	if (!branch_mark_store(repo, &mark, err) || !server_drain_remains(repo, directory, &drain, err))
		return fail_denied(directory, err);
	drain_report(directory, &drain);
	repo->layout = before;
	return true;
}

static bool old_store(struct repo *repo, const struct in_place *in_place, struct error *err)
{
	struct branch_mark mark;
	struct wal_drain drain;

	TRY(branch_mark_apply(repo, in_place->old, &mark, err));
	if (!branch_mark_store(repo, &mark, err) || !server_drain(repo, in_place->old, &in_place->control, &drain, err))
		return fail_denied(in_place->old, err);
	drain_report(in_place->old, &drain);
	return true;
}

bool surviving_store(struct repo *repo, const struct options *options, const struct in_place *in_place,
		     struct error *err)
{
	if (options->wal_from != NULL)
		TRY(remains_store(repo, options->wal_from, err));
	return in_place != NULL && in_place->has_old ? old_store(repo, in_place, err) : true;
}

bool surviving_lay(struct repo *repo, const struct plan *plan, const char *pgdata, struct error *err)
{
	const struct reach *reach = &plan->reach;
	struct wal_name name;
	enum wal_source source;
	uint32_t size;
	char file[WAL_NAME_MAX + 16], path[PATH_MAX];
	BUF(content, reach->range.segment_size);

	if (!wal_range_find(&reach->range, reach->last, &source, &size) || source != WAL_FROM_PARTIAL)
		return true;
	wal_range_name(&reach->range, reach->last, &name);
	TRY(wal_range_read(repo, &reach->range, reach->last, &content, err));
	(void) snprintf(file, sizeof(file), "pg_wal/%s", name.text);
	TRY(path_join(path, pgdata, file, err));
	log_info("the last segment of WAL is laid down as \"%s\", from \"%s\"", path, reach->range.partial.text);
	return fs_replace_file(path, 0600, buf_bytes(&content), err);
}
