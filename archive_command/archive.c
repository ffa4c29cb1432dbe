#include "archive.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "archived.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "holes.h"
#include "mirroring.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "pg/timeline.h"
#include "repo/archive_failure.h"
#include "repo/branch_mark.h"
#include "repo/wal_store.h"

#define TEXT_FILE_SIZE_MAX (1 * MiB) /* .history, .backup */
/* A repository that stays open is proven to be the right one again after so long. */
#define REPO_KEPT_MAX_MS (INT64_C(5) * 60 * 1000)
/* So many waiting segments are a backlog, of which people should hear that it shrinks slower than it could. */
#define WAITING_MANY 16

/* --------------------------------------------------------------------------------------------- the repository */

/* What an open repository depends on besides its own answers; "" when that cannot be told. */
static void binding_read(const struct archive *archive, const char *path, char binding[SPOOL_BINDING_SIZE])
{
	char directory[PATH_MAX];
	struct error ignored = {0};
	struct spool spool;

	binding[0] = '\0';
	if (archive->stays && data_directory_of(path, directory, &ignored) &&
	    spool_locate(archive->options, directory, &spool, &ignored))
		(void) snprintf(binding, SPOOL_BINDING_SIZE, "%s", spool.binding);
}

static void repo_disconnect(struct archive *archive)
{
	ahead_finish(&archive->ahead);
	repo_cleanup(&archive->repo);
}

/* Opens the repository for the file at `path`, unless it is open and nothing that it depends on has changed. */
static bool repo_connect(struct archive *archive, const char *path, uint64_t system_identifier, struct error *err)
{
	char binding[SPOOL_BINDING_SIZE];

	binding_read(archive, path, binding);
	if (archive->repo != NULL && binding[0] != '\0' && strcmp(binding, archive->binding) == 0 &&
	    archive->repo->layout.system_identifier == system_identifier && deadline_left_ms(archive->deadline_ms) > 0)
		return true;
	repo_disconnect(archive);
	TRY(repo_open(archive->options, system_identifier, &archive->repo, err));
	(void) snprintf(archive->binding, sizeof(archive->binding), "%s", binding);
	archive->deadline_ms = deadline_in(REPO_KEPT_MAX_MS);
	return true;
}

/* ------------------------------------------------------------------------------------------------- segments */

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
static bool segment_prepare(struct archive *archive, const struct wal_name *name, struct error *err)
{
	struct ahead *ahead = &archive->ahead;
	struct ready *ready = &archive->ready;
	struct error failure = {0};
	char directory[PATH_MAX];
	struct branch_mark mark;

	TRY(data_directory_of(ahead->path, directory, err));
	TRY(ready_list(ahead->path, name, ready, err));
	bool has_spool =
		ready->count > 0 && spool_begin(archive->options, directory, ahead, ready, &archive->spool, &failure);
	if (ready->count > 0 && !has_spool)
		spool_warn(ready, &failure);
	TRY(branch_mark_apply(ahead->repo, directory, &mark, err));
	/* A branch begins with a timeline, and a timeline with its history: segments need not ask for the origin. */
	if (name->timeline > 1)
		TRY(archive_history_beside(ahead->repo, &mark, ahead->path, name, err));
	if (has_spool && spool_is_same(archive->options, directory, &archive->spool))
		ahead->spool = &archive->spool;
	return true;
}

static bool segment_archive(struct archive *archive, const char *path, const struct wal_name *name, struct error *err)
{
	struct segment_file *asked = &archive->asked;

	TRY(segment_file_read(asked, path, name, err));
	archived_record(archive->options, archive->record);
	(void) snprintf(archive->path, sizeof(archive->path), "%s", path);
	if (!repo_connect(archive, path, asked->segment.system_identifier, err))
		return fail_in(err, "could not archive \"%s\"", name->text);
	archive->ahead = (struct ahead){.repo = archive->repo,
					.path = archive->path,
					.ready = &archive->ready,
					.record = archive->record,
					.workers = ahead_workers(archive->options, asked->segment.segment_size)};
	if (!segment_prepare(archive, name, err) || !ahead_run(&archive->ahead, asked, err))
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

static bool other_archive(struct archive *archive, const char *path, const struct wal_name *name, struct error *err)
{
	struct wal_segment segment;
	uint64_t system_identifier;
	bool is_partial = name->kind == WAL_PARTIAL;
	BUF(content, is_partial ? WAL_SEGMENT_SIZE_MAX : TEXT_FILE_SIZE_MAX);

	if (is_partial && name->offset != 0)
		return fail(err, ERROR_USAGE, "\"%s\" is a name that only --drain gives", name->text);
	TRY(fs_read_file(path, &content, err));
	TRY(other_check(path, name, buf_bytes(&content), &segment, &system_identifier, err));
	if (!repo_connect(archive, path, system_identifier, err) ||
	    !other_store(archive->repo, path, name, buf_bytes(&content), is_partial ? &segment : NULL, err))
		return fail_in(err, "could not archive \"%s\"", name->text);
	return name->kind == WAL_HISTORY ? holes_fill(archive->repo, path, buf_bytes(&content), err) : true;
}

bool archive_file(struct archive *archive, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	struct wal_name name;

	ahead_finish(&archive->ahead);
	TRY(wal_name_parse(slash == NULL ? path : slash + 1, &name, err));
	bool done = name.kind == WAL_SEGMENT ? segment_archive(archive, path, &name, err)
					     : other_archive(archive, path, &name, err);
	if (!done)
		repo_disconnect(archive);
	return done;
}

void archive_mirror(struct archive *archive, const char *path)
{
	struct mirroring mirroring = {.options = archive->options, .path = path, .waiting = archive->ready.waiting};

	if (archive->repo == NULL || !mirroring_is_due(&mirroring))
		return;
	ahead_finish(&archive->ahead);
	mirroring_run(&mirroring, archive->repo);
}

void archive_note(const char *path, const struct error *why)
{
	char directory[PATH_MAX];
	struct error failure = {0};

	if (!data_directory_is_told(path))
		return;
	if (!data_directory_of(path, directory, &failure) || !archive_failure_write(directory, path, why, &failure))
		log_debug("the failure was not written down: %s", failure.text);
}

void archive_await(struct archive *archive, const char *path)
{
	const char *slash = strrchr(path, '/');

	ahead_await(&archive->ahead, slash == NULL ? path : slash + 1);
}

void archive_end(struct archive *archive)
{
	ahead_end(&archive->ahead);
}

void archive_release(struct archive *archive)
{
	repo_disconnect(archive);
	segment_file_release(&archive->asked);
}
