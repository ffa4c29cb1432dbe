#include "archive.h"

#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "pg/timeline.h"
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

bool archive_file(const struct options *options, const char *path, struct error *err)
{
	const char *base = strrchr(path, '/');
	struct repo *repo REPO_CLEANUP = NULL;
	struct wal_name name;
	struct wal_segment segment;
	uint64_t system_identifier;

	TRY(wal_name_parse(base == NULL ? path : base + 1, &name, err));
	bool is_text = name.kind == WAL_HISTORY || name.kind == WAL_BACKUP;
	BUF(content, is_text ? TEXT_FILE_SIZE_MAX : WAL_SEGMENT_SIZE_MAX);
	TRY(fs_read_file(path, &content, err));
	TRY(archive_check(path, &name, buf_bytes(&content), &segment, &system_identifier, err));
	if (!repo_open(options, system_identifier, &repo, err) ||
	    !wal_store_put(repo, &name, buf_bytes(&content), is_text ? NULL : &segment, err))
		return fail_in(err, "could not archive \"%s\"", name.text);
	log_info("stored \"%s\" in \"%s\"", name.text, storage_url(repo->storage));
	return true;
}
