#include "archive.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "holes.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "pg/timeline.h"
#include "repo/branch_mark.h"
#include "repo/wal_store.h"

#define TEXT_FILE_SIZE_MAX (1 * MiB) /* .history, .backup */

/* A .history and a .backup carry no system identifier: that of the server they lie beside counts. */
static bool archive_identify_text(const char *path, uint64_t *system_identifier, struct error *err)
{
	char directory[PATH_MAX];
	struct control_file control;

	TRY(data_directory_of(path, directory, err));
	if (!control_file_read(directory, &control, err))
		return fail_in(err, "could not tell which cluster \"%s\" belongs to", path);
	*system_identifier = control.system_identifier;
	return true;
}

static bool archive_check(const char *path, const struct wal_name *name, struct bytes content,
			  struct wal_segment *segment, uint64_t *system_identifier, struct error *err)
{
	struct timeline_history history;

	if (name->kind == WAL_SEGMENT || name->kind == WAL_PARTIAL) {
		if (!wal_segment_check(content, name, segment, err))
			return fail_in(err, "\"%s\" was not archived", path);
		*system_identifier = segment->system_identifier;
		return true;
	}
	if (content.size == 0)
		return fail(err, ERROR_CORRUPT, "\"%s\" was not archived: it is empty", path);
	if (name->kind == WAL_HISTORY && !timeline_history_parse(name->timeline, content, &history, err))
		return fail_in(err, "\"%s\" was not archived", path);
	return archive_identify_text(path, system_identifier, err);
}

/* The history of a timeline is needed before its first segment is. PostgreSQL offers it only when archiving was on at
 * the promotion; otherwise it lies in pg_wal and nobody asks for it, so it is looked for beside the segment. */
static bool archive_history_beside(struct repo *repo, const struct branch_mark *mark, const char *path,
				   const struct wal_name *segment, struct error *err)
{
	const char *slash = strrchr(path, '/');
	struct wal_name name = {.kind = WAL_HISTORY, .timeline = segment->timeline};
	char directory[PATH_MAX];
	char history_path[PATH_MAX];
	struct timeline_history history;
	struct wal_writer writer;
	bool same;
	BUF(content, TEXT_FILE_SIZE_MAX);

	(void) snprintf(name.text, sizeof(name.text), "%08" PRIX32 ".history", name.timeline);
	(void) snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : (int) (slash - path),
			slash == NULL ? "." : path);
	TRY(path_join(history_path, directory, name.text, err));
	if (!fs_read_file(history_path, &content, err))
		return err->kind == ERROR_NOT_FOUND;
	if (wal_store_same(repo, &name, buf_bytes(&content), &same, &writer, err)) {
		if (same)
			return true;
	} else if (err->kind != ERROR_NOT_FOUND) {
		return false;
	}
	if (!timeline_history_parse(name.timeline, buf_bytes(&content), &history, err))
		return fail_in(err, "\"%s\" was not archived", history_path);
	log_info("storing \"%s\" too, which the server has not offered", name.text);
	TRY(branch_mark_store(repo, mark, err));
	return wal_store_put(repo, &name, buf_bytes(&content), NULL, err);
}

static bool archive_store(struct repo *repo, const char *path, const struct wal_name *name, struct bytes content,
			  const struct wal_segment *segment, struct error *err)
{
	char directory[PATH_MAX];
	struct branch_mark mark;

	TRY(data_directory_of(path, directory, err));
	TRY(branch_mark_apply(repo, directory, &mark, err));
	/* A branch begins with a timeline, and a timeline with its history: segments need not ask for the origin. */
	if (name->kind != WAL_SEGMENT)
		TRY(branch_mark_store(repo, &mark, err));
	else if (name->timeline > 1)
		TRY(archive_history_beside(repo, &mark, path, name, err));
	return wal_store_put(repo, name, content, segment, err);
}

bool archive_file(const struct options *options, const char *path, struct error *err)
{
	const char *base = strrchr(path, '/');
	struct repo *repo REPO_CLEANUP = NULL;
	struct wal_name name;
	struct wal_segment segment;
	uint64_t system_identifier;

	TRY(wal_name_parse(base == NULL ? path : base + 1, &name, err));
	if (name.kind == WAL_PARTIAL && name.offset != 0)
		return fail(err, ERROR_USAGE, "\"%s\" is a name that only --drain gives", name.text);
	bool is_text = name.kind == WAL_HISTORY || name.kind == WAL_BACKUP;
	BUF(content, is_text ? TEXT_FILE_SIZE_MAX : WAL_SEGMENT_SIZE_MAX);
	TRY(fs_read_file(path, &content, err));
	TRY(archive_check(path, &name, buf_bytes(&content), &segment, &system_identifier, err));
	if (!repo_open(options, system_identifier, &repo, err) ||
	    !archive_store(repo, path, &name, buf_bytes(&content), is_text ? NULL : &segment, err))
		return fail_in(err, "could not archive \"%s\"", name.text);
	log_info("stored \"%s\" in \"%s\"", name.text, storage_url(repo->storage));
	return name.kind == WAL_HISTORY ? holes_fill(repo, path, buf_bytes(&content), err) : true;
}
