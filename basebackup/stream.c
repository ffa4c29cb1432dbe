#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pg/backup_label.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"
#include "server_branch.h"

#define BACKUP_LABEL_NAME     "backup_label"
#define BACKUP_LABEL_SIZE_MAX (64 * KiB)
#define CLOCK_STEP_US	      1000000

void stream_init(struct stream *stream, struct repo *repo, struct backup *backup,
		 const struct server_settings *settings, struct pack_sizing sizing, bool shows_progress)
{
	memset(stream, 0, sizeof(*stream));
	stream->repo = repo;
	stream->backup = backup;
	stream->settings = *settings;
	stream->sizing = sizing;
	stream->shows_progress = shows_progress;
	stream->label.size_max = BACKUP_LABEL_SIZE_MAX;
	stream->control.size_max = CONTROL_FILE_SIZE_MAX;
	stream->mark.size_max = BRANCH_MARK_SIZE_MAX;
}

void stream_release(struct stream *stream)
{
	intake_close(&stream->intake);
	lz4_stream_release(&stream->lz4);
	buf_release(&stream->label);
	buf_release(&stream->control);
	buf_release(&stream->mark);
	free(stream->damaged);
	stream->damaged = NULL;
	if (stream->has_progress)
		progress_finish(&stream->progress);
	stream->has_progress = false;
}

/* -------------------------------------------------------------------------------------------------- pages */

static bool stream_damaged_page(void *context, const struct page_failure *failure, struct error *err)
{
	struct stream *stream = context;

	if (stream->damaged == NULL)
		stream->damaged = calloc(DAMAGED_PAGES_MAX, sizeof(*stream->damaged));
	if (stream->damaged == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (stream->damaged_count < DAMAGED_PAGES_MAX) {
		struct damaged_page *page = &stream->damaged[stream->damaged_count];

		(void) snprintf(page->path, sizeof(page->path), "%s", failure->path);
		page->block = failure->block;
		page->offset = failure->offset;
	}
	stream->damaged_count++;
	return true;
}

/* ---------------------------------------------------------------------------------------------------- tar */

/* The server makes it while it sends it, and says when (sendFileWithContent() of basebackup.c): whole seconds. */
static void stream_begin_label(struct stream *stream, int64_t modified_us)
{
	stream->kept = &stream->label;
	stream->label_us = modified_us;
	stream->label_received_us = clock_now_us();
}

static bool stream_begin_entry(void *context, const struct tar_entry *entry, struct error *err)
{
	struct stream *stream = context;
	struct intake *intake = &stream->intake;
	char path[DAMAGED_PATH_SIZE];
	int64_t modified_us = entry->modified_s * 1000000;

	(void) snprintf(path, sizeof(path), "%s%s", stream->prefix, entry->path);
	stream->is_file = entry->type == TAR_FILE;
	stream->is_checking = false;
	stream->kept = NULL;
	switch (entry->type) {
	case TAR_LINK:
		return true; /* of a tablespace: the server has named them all before */
	case TAR_DIRECTORY:
		return intake_add_directory(intake, MANIFEST_DATA, path, entry->mode, modified_us, err);
	case TAR_FILE:
		break;
	}
	const struct intake_file file = {MANIFEST_DATA, path, entry->mode, modified_us, entry->size};

	TRY(intake_begin_file(intake, &file, err));
	if (strcmp(path, BACKUP_LABEL_NAME) == 0)
		stream_begin_label(stream, modified_us);
	else if (strcmp(path, CONTROL_FILE_NAME) == 0)
		stream->kept = &stream->control;
	else if (strcmp(path, BRANCH_MARK_NAME) == 0)
		stream->kept = &stream->mark;
	else if (stream->settings.has_data_checksums)
		stream->is_checking = page_checksum_begin(&stream->check, intake->entry.path);
	return true;
}

static bool stream_add(void *context, struct bytes content, struct error *err)
{
	struct stream *stream = context;

	TRY(intake_add(&stream->intake, content, err));
	if (stream->is_checking)
		return page_checksum_add(&stream->check, content, err);
	return stream->kept == NULL ? true : buf_append(stream->kept, content, err);
}

static bool stream_end_entry(void *context, struct error *err)
{
	struct stream *stream = context;

	return stream->is_file ? intake_end_file(&stream->intake, err) : true;
}

/* ------------------------------------------------------------------------------------------------ archives */

static bool stream_take_tablespaces(struct stream *stream, const struct base_backup_start *start, struct error *err)
{
	struct backup *backup = stream->backup;

	if (start->tablespace_count > TABLESPACES_MAX)
		return fail(err, ERROR_USAGE, "the server has more than %d tablespaces", TABLESPACES_MAX);
	backup->tablespaces = calloc((size_t) start->tablespace_count + 1, sizeof(*backup->tablespaces));
	if (backup->tablespaces == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < start->tablespace_count; i++) {
		if (start->tablespaces[i].oid == 0)
			continue;
		struct tablespace *tablespace = &backup->tablespaces[backup->tablespace_count++];

		tablespace->oid = start->tablespaces[i].oid;
		(void) snprintf(tablespace->path, sizeof(tablespace->path), "%s", start->tablespaces[i].path);
	}
	return true;
}

static bool stream_begin(void *context, const struct base_backup_start *start, struct error *err)
{
	struct stream *stream = context;
	struct backup *backup = stream->backup;
	uint64_t total = 0;

	stream->begun_us = clock_now_us();
	stream->is_compressed = start->is_compressed;
	backup->start_lsn = start->lsn;
	backup->start_timeline = start->timeline;
	TRY(layout_new_label(start->timeline, start->lsn, backup->label, err));
	TRY(stream_take_tablespaces(stream, start, err));
	for (int i = 0; i < start->tablespace_count; i++)
		total += start->tablespaces[i].size;
	progress_init(&stream->progress, "backing up", total, stream->shows_progress);
	stream->has_progress = true;
	page_checksum_init(&stream->check, start->lsn, stream->settings.segment_blocks, stream_damaged_page, stream);
	TRY(intake_open(&stream->intake, stream->repo, backup->label, stream->sizing, err));
	relations_begin(stream->relations, backup->label);
	return true;
}

static bool stream_end_archive(struct stream *stream, struct error *err)
{
	if (!stream->is_archive_open)
		return true;
	stream->is_archive_open = false;
	if (stream->is_compressed && !lz4_stream_finish(&stream->lz4, err))
		return fail_in(err, "the archive that the server sent");
	return tar_finish(&stream->tar, err);
}

static bool stream_archive(void *context, const struct base_backup_tablespace *tablespace, struct error *err)
{
	struct stream *stream = context;
	struct tar_visitor visitor = {
		.begin = stream_begin_entry, .data = stream_add, .end = stream_end_entry, .context = stream};

	TRY(stream_end_archive(stream, err));
	if (stream->is_manifest_open)
		return fail(err, ERROR_CORRUPT, "the server sent an archive behind the manifest");
	stream->prefix[0] = '\0';
	if (tablespace->oid != 0)
		(void) snprintf(stream->prefix, sizeof(stream->prefix), "pg_tblspc/%" PRIu32 "/", tablespace->oid);
	tar_init(&stream->tar, visitor);
	if (stream->is_compressed) {
		lz4_stream_release(&stream->lz4);
		TRY(lz4_stream_init(&stream->lz4, err));
	}
	stream->is_archive_open = true;
	return true;
}

static bool stream_manifest(void *context, struct error *err)
{
	struct stream *stream = context;

	TRY(stream_end_archive(stream, err));
	if (stream->is_manifest_open)
		return fail(err, ERROR_CORRUPT, "the server sent two manifests");
	stream->is_manifest_open = true;
	stream->is_checking = false;
	stream->kept = NULL;
	const struct intake_file file = {MANIFEST_DATA, BACKUP_MANIFEST_NAME, 0600, clock_now_us(), 0};

	return intake_begin_file(&stream->intake, &file, err);
}

/* Progress counts what the server reads, as its estimate does, and not what passes the network. */
static bool stream_archive_data(struct stream *stream, struct bytes content, struct error *err)
{
	progress_add(&stream->progress, content.size);
	return tar_parse(&stream->tar, content, err);
}

static bool stream_compressed_data(struct stream *stream, struct bytes stored, struct error *err)
{
	struct bytes content;

	do {
		if (!lz4_stream_decode(&stream->lz4, &stored, &content, err))
			return fail_in(err, "the archive that the server sent");
		TRY(stream_archive_data(stream, content, err));
	} while (stored.size > 0 || content.size > 0);
	return true;
}

static bool stream_data(void *context, struct bytes content, struct error *err)
{
	struct stream *stream = context;

	if (stream->is_manifest_open) {
		progress_add(&stream->progress, content.size);
		return intake_add(&stream->intake, content, err);
	}
	return stream->is_compressed ? stream_compressed_data(stream, content, err)
				     : stream_archive_data(stream, content, err);
}

struct base_backup_visitor stream_visitor(struct stream *stream)
{
	return (struct base_backup_visitor){
		.begin = stream_begin,
		.archive = stream_archive,
		.manifest = stream_manifest,
		.data = stream_data,
		.context = stream,
	};
}

/* --------------------------------------------------------------------------------------------------- whole */

static bool stream_check_control(struct stream *stream, struct error *err)
{
	struct control_file control;

	if (stream->control.size == 0)
		return fail(err, ERROR_CORRUPT, "the server did not send \"%s\"", CONTROL_FILE_NAME);
	if (!control_file_parse(buf_bytes(&stream->control), &control, err))
		return fail_in(err, "the server sent a damaged \"%s\"", CONTROL_FILE_NAME) ||
		       fail_hint(err, "It was probably read while the server wrote it: run the backup again.");
	if (control.system_identifier != stream->repo->layout.system_identifier)
		return fail(err, ERROR_CORRUPT,
			    "the server sent files of the cluster %" PRIu64 ", but says it is %" PRIu64,
			    control.system_identifier, stream->repo->layout.system_identifier);
	return true;
}

static bool stream_check_label(struct stream *stream, struct error *err)
{
	struct backup *backup = stream->backup;
	struct backup_label label;

	if (stream->label.size == 0)
		return fail(err, ERROR_CORRUPT, "the server did not send \"%s\"", BACKUP_LABEL_NAME);
	TRY(backup_label_parse(buf_bytes(&stream->label), &label, err));
	if (label.start != backup->start_lsn || label.timeline != backup->start_timeline)
		return fail(err, ERROR_CORRUPT, "\"%s\" begins somewhere else than the server said", BACKUP_LABEL_NAME);
	backup->from_standby = label.from_standby;
	return true;
}

bool stream_check(struct stream *stream, struct error *err)
{
	TRY(stream_end_archive(stream, err));
	if (!stream->is_manifest_open)
		return fail(err, ERROR_CORRUPT, "the server did not send its manifest");
	TRY(intake_end_file(&stream->intake, err));
	TRY(stream_check_control(stream, err));
	TRY(stream_check_label(stream, err));
	TRY(server_branch_check(stream->repo, buf_bytes(&stream->mark), err));
	if (stream->has_progress)
		progress_finish(&stream->progress);
	stream->has_progress = false;
	return true;
}

int64_t stream_clock_ahead_us(const struct stream *stream)
{
	/* It was made before it came, and behind the beginning of the backup; with tablespaces, which are sent before,
	 * long behind. */
	int64_t least_us = stream->label_us - stream->label_received_us;
	int64_t most_us = stream->label_us + CLOCK_STEP_US - stream->begun_us;

	if (stream->label_received_us == 0)
		return 0;
	if (least_us > CLOCK_STEP_US)
		return least_us + CLOCK_STEP_US;
	return most_us < -CLOCK_STEP_US ? most_us : 0;
}
