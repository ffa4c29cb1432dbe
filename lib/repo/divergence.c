#include "repo/divergence.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"

#define HISTORY_SIZE_MAX (1 * MiB)

struct search {
	struct repo *repo;
	const char *pgdata;
	bool in_recovery;
	struct timeline_history history; /* of the server */
	struct divergence *divergence;
};

static bool wal_path_of(const char *pgdata, const char *name, char path[PATH_MAX], struct error *err)
{
	char directory[PATH_MAX];

	TRY(path_join(directory, pgdata, "pg_wal", err));
	return path_join(path, directory, name, err);
}

/* Does the server wait to archive it ("ready"), or is it archived, streamed or restored ("done")? */
static bool status_is(const struct search *search, const struct wal_name *name, const char *status, bool *is,
		      struct error *err)
{
	char file[128], path[PATH_MAX];

	(void) snprintf(file, sizeof(file), "archive_status/%s.%s", name->text, status);
	TRY(wal_path_of(search->pgdata, file, path, err));
	return fs_exists(path, is, err);
}

/* ------------------------------------------------------------------------------------------ the server's path */

/* What a server waits to archive is of its own timeline or of an older one: that of a checkpoint lags behind a
 * promotion. */
static bool timeline_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	uint32_t *timeline = context;
	struct error ignored = {0};
	struct wal_name name;
	char base[WAL_NAME_MAX + 1];
	const char *dot = strstr(text, ".ready");

	(void) err;
	if (is_directory || dot == NULL || dot - text > WAL_NAME_MAX)
		return true;
	(void) snprintf(base, sizeof(base), "%.*s", (int) (dot - text), text);
	if (wal_name_parse(base, &name, &ignored) && name.timeline > *timeline)
		*timeline = name.timeline;
	return true;
}

static bool history_find(struct search *search, uint32_t timeline, struct error *err)
{
	char name[WAL_NAME_MAX + 1], path[PATH_MAX];
	BUF(text, HISTORY_SIZE_MAX);

	if (timeline == 1) {
		timeline_history_root(1, &search->history);
		return true;
	}
	(void) snprintf(name, sizeof(name), "%08" PRIX32 ".history", timeline);
	TRY(wal_path_of(search->pgdata, name, path, err));
	if (fs_read_file(path, &text, err)) {
		if (timeline_history_parse(timeline, buf_bytes(&text), &search->history, err))
			return true;
		return fail_in(err, "the file \"%s\"", path);
	}
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	return wal_store_history(search->repo, &search->repo->layout, timeline, &search->history, err);
}

static bool path_find(struct search *search, const struct control_file *control, struct error *err)
{
	char path[PATH_MAX];
	uint32_t timeline = control->timeline;

	if (search->in_recovery && control->recovery_timeline > timeline)
		timeline = control->recovery_timeline;
	TRY(wal_path_of(search->pgdata, "archive_status", path, err));
	if (!search->in_recovery && !fs_each(path, timeline_visit, &timeline, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	return history_find(search, timeline, err);
}

/* ------------------------------------------------------------------------------------------------- comparing */

static int path_index(const struct search *search, uint32_t timeline)
{
	for (int i = 0; i < search->history.count; i++)
		if (search->history.path[i].timeline == timeline)
			return i;
	return -1;
}

/* Is the segment one of the server's past, and not what was written beside it? */
static bool segment_is_on_path(const struct search *search, const struct wal_name *name, uint32_t segment_size)
{
	uint64_t number = wal_segment_number(name, segment_size);
	uint64_t last_byte = number * segment_size + (segment_size - 1);

	return timeline_history_at(&search->history, last_byte) == name->timeline;
}

/* A segment counts when it is complete. On a server that writes, one that the repository has is another one whether
 * complete here or not; a standby may be receiving what the primary has archived already. */
static bool segment_counts(const struct search *search, const struct wal_name *name, bool *counts, struct error *err)
{
	*counts = !search->in_recovery;
	if (!*counts)
		TRY(status_is(search, name, "ready", counts, err));
	return *counts ? true : status_is(search, name, "done", counts, err);
}

/* Reads the file when it is one to be compared. */
static bool file_take(const struct search *search, const struct wal_name *name, struct buf *content, bool *taken,
		      struct error *err)
{
	struct wal_segment segment;
	struct error ignored = {0};
	char path[PATH_MAX];
	bool is_segment = name->kind == WAL_SEGMENT;

	*taken = name->kind != WAL_BACKUP && path_index(search, name->timeline) >= 0;
	if (*taken && is_segment)
		TRY(segment_counts(search, name, taken, err));
	if (!*taken)
		return true;
	TRY(wal_path_of(search->pgdata, name->text, path, err));
	if (!fs_read_file(path, content, err)) {
		*taken = false; /* recycled in this moment */
		return err->kind == ERROR_NOT_FOUND;
	}
	if (!is_segment)
		return true;
	*taken = wal_segment_check(buf_bytes(content), name, &segment, &ignored) && /* else one to be written yet */
		 segment.system_identifier == search->repo->layout.system_identifier &&
		 segment_is_on_path(search, name, segment.segment_size);
	return true;
}

static void divergence_set(const struct search *search, const struct wal_name *name)
{
	struct divergence *divergence = search->divergence;

	divergence->is_found = true;
	divergence->name = *name;
	divergence->timeline = name->timeline;
	divergence->has_first = name->kind == WAL_SEGMENT;
	if (divergence->has_first) {
		divergence->first_log = name->log;
		divergence->first_segment = name->segment;
	}
	/* Two timelines of one number: what they have in common ends with the parent. */
	if (name->kind == WAL_HISTORY)
		divergence->timeline = search->history.path[path_index(search, name->timeline) - 1].timeline;
}

/* What lies before the branch and is not there: no fault of a hole, unless the server waits to store it. */
static bool missing_judge(const struct search *search, const struct wal_name *name, struct error *err)
{
	bool is_ready;

	if (name->kind != WAL_SEGMENT || layout_owns(&search->repo->layout, name))
		return true;
	TRY(status_is(search, name, "ready", &is_ready, err));
	if (!is_ready)
		return true;
	divergence_set(search, name);
	search->divergence->is_missing = true;
	err->kind = ERROR_NONE;
	return false;
}

/* Names come in the order of their bytes: a timeline's history, its segments, then the next timeline. */
static bool file_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	const struct search *search = context;
	struct error ignored = {0};
	struct wal_name name;
	bool is_taken, same;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	if (is_directory || !wal_name_parse(text, &name, &ignored))
		return true;
	TRY(file_take(search, &name, &content, &is_taken, err));
	if (!is_taken || (name.kind == WAL_HISTORY && path_index(search, name.timeline) == 0))
		return true;
	if (!wal_store_same(search->repo, &name, buf_bytes(&content), &same, &search->divergence->writer, err)) {
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		*err = (struct error){0};
		return missing_judge(search, &name, err);
	}
	log_debug("\"%s\" is in the repository, %s", text, same ? "the same" : "with other content");
	if (same)
		return true;
	divergence_set(search, &name);
	err->kind = ERROR_NONE;
	return false;
}

bool divergence_find(struct repo *repo, const char *pgdata, const struct control_file *control,
		     struct divergence *divergence, struct error *err)
{
	struct search search = {.repo = repo,
				.pgdata = pgdata,
				.in_recovery = control->state == CONTROL_SHUTDOWNED_IN_RECOVERY ||
					       control->state == CONTROL_IN_ARCHIVE_RECOVERY,
				.divergence = divergence};
	char path[PATH_MAX];

	*divergence = (struct divergence){.is_found = false};
	TRY(path_find(&search, control, err));
	TRY(path_join(path, pgdata, "pg_wal", err));
	return fs_each(path, file_visit, &search, err) || (err->kind == ERROR_NONE && divergence->is_found);
}
