#include "archive.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ahead.h"
#include "archived.h"
#include "base/fs.h"
#include "base/log.h"
#include "holes.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "pg/timeline.h"
#include "repo/branch_mark.h"
#include "repo/wal_store.h"

#define TEXT_FILE_SIZE_MAX (1 * MiB) /* .history, .backup */
/* So many waiting segments are a backlog, of which people should hear that it shrinks slower than it could. */
#define WAITING_MANY 16

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

/* ------------------------------------------------------------------------------------------------- segments */

/* The spool as it is while the branch is read: what is remembered below that is about this branch. */
static bool spool_begin(const struct options *options, const char *directory, const struct ahead *ahead,
			struct ready *ready, struct spool *spool, struct error *err)
{
	TRY(spool_locate(options, directory, spool, err));
	TRY(spool_make(spool, err));
	return ahead_pass_over(spool, ahead->record, ahead->path, ready, err);
}

static bool spool_is_same(const struct options *options, const char *directory, const struct spool *spool)
{
	struct error ignored = {0};
	struct spool now;

	return spool_locate(options, directory, &now, &ignored) && strcmp(now.binding, spool->binding) == 0;
}

/* Without a spool each segment comes to its turn as ever; that is slower, which matters only when many wait. */
static void spool_warn(const struct ready *ready, const struct error *why)
{
	if (ready->waiting < WAITING_MANY) {
		log_debug("nothing is stored ahead: %s", why->text);
		return;
	}
	log_warning("%d WAL segments wait, and are archived one at a time: %s", ready->waiting, why->text);
	log_hint("%s", why->hint[0] != '\0' ? why->hint : "Set \"spool\" to a directory of the server's user.");
}

/* The repository's view of the segment's server, and the spool, if there is any use for one. */
static bool segment_prepare(struct ahead *ahead, const struct options *options, struct ready *ready,
			    struct spool *spool, struct error *err)
{
	const struct wal_name *name = &ahead->asked->name;
	struct error failure = {0};
	char directory[PATH_MAX];
	struct branch_mark mark;

	TRY(data_directory_of(ahead->path, directory, err));
	TRY(ready_list(ahead->path, name, ready, err));
	bool has_spool = ready->count > 0 && spool_begin(options, directory, ahead, ready, spool, &failure);
	if (ready->count > 0 && !has_spool)
		spool_warn(ready, &failure);
	TRY(branch_mark_apply(ahead->repo, directory, &mark, err));
	/* A branch begins with a timeline, and a timeline with its history: segments need not ask for the origin. */
	if (name->timeline > 1)
		TRY(archive_history_beside(ahead->repo, &mark, ahead->path, name, err));
	if (has_spool && spool_is_same(options, directory, spool))
		ahead->spool = spool;
	return true;
}

static bool segment_archive(const struct options *options, const char *path, const struct wal_name *name,
			    struct error *err)
{
	struct segment_file asked SEGMENT_FILE_CLEANUP = {.is_at_rest = false};
	struct repo *repo REPO_CLEANUP = NULL;
	struct spool spool;
	struct ready ready;
	char record[ARCHIVED_RECORD_SIZE];

	TRY(segment_file_read(&asked, path, name, err));
	archived_record(options, record);
	struct ahead ahead = {.path = path, .asked = &asked, .ready = &ready, .record = record};
	ahead.workers = ahead_workers(options, asked.segment.segment_size);
	if (!repo_open(options, asked.segment.system_identifier, &repo, err))
		return fail_in(err, "could not archive \"%s\"", name->text);
	ahead.repo = repo;
	if (!segment_prepare(&ahead, options, &ready, &spool, err) || !ahead_run(&ahead, err))
		return fail_in(err, "could not archive \"%s\"", name->text);
	return true;
}

/* ------------------------------------------------------------------------------------------------ other files */

/* A .history and a .backup carry no system identifier: that of the server they lie beside counts. */
static bool other_identify(const char *path, uint64_t *system_identifier, struct error *err)
{
	char directory[PATH_MAX];
	struct control_file control;

	TRY(data_directory_of(path, directory, err));
	if (!control_file_read(directory, &control, err))
		return fail_in(err, "could not tell which cluster \"%s\" belongs to", path);
	*system_identifier = control.system_identifier;
	return true;
}

static bool other_check(const char *path, const struct wal_name *name, struct bytes content,
			struct wal_segment *segment, uint64_t *system_identifier, struct error *err)
{
	struct timeline_history history;

	if (name->kind == WAL_PARTIAL) {
		if (!wal_segment_check(content, name, segment, err))
			return fail_in(err, "\"%s\" was not archived", path);
		*system_identifier = segment->system_identifier;
		return true;
	}
	if (content.size == 0)
		return fail(err, ERROR_CORRUPT, "\"%s\" was not archived: it is empty", path);
	if (name->kind == WAL_HISTORY && !timeline_history_parse(name->timeline, content, &history, err))
		return fail_in(err, "\"%s\" was not archived", path);
	return other_identify(path, system_identifier, err);
}

static bool other_store(struct repo *repo, const char *path, const struct wal_name *name, struct bytes content,
			const struct wal_segment *segment, struct error *err)
{
	char directory[PATH_MAX];
	struct branch_mark mark;

	TRY(data_directory_of(path, directory, err));
	TRY(branch_mark_apply(repo, directory, &mark, err));
	TRY(branch_mark_store(repo, &mark, err));
	TRY(wal_store_put(repo, name, content, segment, err));
	log_info("stored \"%s\" in \"%s\"", name->text, storage_url(repo->storage));
	return true;
}

static bool other_archive(const struct options *options, const char *path, const struct wal_name *name,
			  struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct wal_segment segment;
	uint64_t system_identifier;
	bool is_partial = name->kind == WAL_PARTIAL;
	BUF(content, is_partial ? WAL_SEGMENT_SIZE_MAX : TEXT_FILE_SIZE_MAX);

	if (is_partial && name->offset != 0)
		return fail(err, ERROR_USAGE, "\"%s\" is a name that only --drain gives", name->text);
	TRY(fs_read_file(path, &content, err));
	TRY(other_check(path, name, buf_bytes(&content), &segment, &system_identifier, err));
	if (!repo_open(options, system_identifier, &repo, err) ||
	    !other_store(repo, path, name, buf_bytes(&content), is_partial ? &segment : NULL, err))
		return fail_in(err, "could not archive \"%s\"", name->text);
	return name->kind == WAL_HISTORY ? holes_fill(repo, path, buf_bytes(&content), err) : true;
}

bool archive_file(const struct options *options, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	struct wal_name name;

	TRY(wal_name_parse(slash == NULL ? path : slash + 1, &name, err));
	return name.kind == WAL_SEGMENT ? segment_archive(options, path, &name, err)
					: other_archive(options, path, &name, err);
}
