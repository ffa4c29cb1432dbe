#include "pg/wal_directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/fs.h"

struct reading {
	struct wal_directory *directory;
	uint64_t foreign; /* a system identifier that is not the wanted one; 0: none was seen */
};

void wal_directory_release(struct wal_directory *directory)
{
	free(directory->files);
	directory->files = NULL;
	directory->count = 0;
	directory->capacity = 0;
}

static bool file_add(struct wal_directory *directory, struct wal_file file, struct error *err)
{
	if (directory->count == WAL_FILES_MAX ||
	    !ARRAY_RESERVE(&directory->files, directory->count, &directory->capacity, err))
		return fail(err, ERROR_SYSTEM, "out of memory for more than %d WAL segments", directory->count);
	directory->files[directory->count++] = file;
	return true;
}

static bool file_is_ready(const struct wal_directory *directory, const struct wal_name *name, bool *is_ready,
			  struct error *err)
{
	char status[PATH_MAX], path[PATH_MAX];

	(void) snprintf(status, sizeof(status), "archive_status/%s.ready", name->text);
	TRY(path_join(path, directory->path, status, err));
	return fs_exists(path, is_ready, err);
}

/* Does the first page say what the name does? A file that cannot be read is an error, one that is none is not. */
static bool segment_look(struct reading *reading, const char *path, const struct wal_name *name, bool *is_segment,
			 struct wal_segment *segment, struct error *err)
{
	struct wal_directory *directory = reading->directory;
	struct error ignored;
	uint64_t size;
	BUF(head, WAL_PAGE_HEADER_LONG_SIZE);

	*is_segment = false;
	if (!fs_read_range(path, 0, WAL_PAGE_HEADER_LONG_SIZE, &head, &size, err))
		return err->kind == ERROR_NOT_FOUND; /* the server has removed it meanwhile */
	if (!wal_segment_check_header(buf_bytes(&head), size, name, segment, &ignored))
		return true;
	if (directory->system_identifier == 0)
		directory->system_identifier = segment->system_identifier;
	if (directory->segment_size == 0 && segment->system_identifier == directory->system_identifier)
		directory->segment_size = segment->segment_size;
	*is_segment = segment->system_identifier == directory->system_identifier &&
		      segment->segment_size == directory->segment_size;
	if (segment->system_identifier != directory->system_identifier)
		reading->foreign = segment->system_identifier;
	return true;
}

static bool reading_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	struct reading *reading = context;
	struct wal_directory *directory = reading->directory;
	struct error ignored;
	struct wal_name name;
	struct wal_segment segment;
	char path[PATH_MAX];
	bool is_segment, is_ready;

	if (is_directory || !wal_name_parse(text, &name, &ignored))
		return true;
	if (name.kind == WAL_HISTORY && directory->history_count < TIMELINES_MAX)
		directory->histories[directory->history_count++] = name.timeline;
	if (name.kind != WAL_SEGMENT)
		return true;
	TRY(path_join(path, directory->path, text, err));
	TRY(segment_look(reading, path, &name, &is_segment, &segment, err));
	if (!is_segment)
		return true;
	TRY(file_is_ready(directory, &name, &is_ready, err));
	return file_add(directory,
			(struct wal_file){.timeline = name.timeline,
					  .number = wal_segment_number(&name, segment.segment_size),
					  .is_ready = is_ready},
			err);
}

static int file_compare(const void *left, const void *right)
{
	const struct wal_file *a = left, *b = right;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a->timeline < b->timeline ? -1 : a->timeline > b->timeline;
}

/* <path>/pg_wal where there is one, else the path itself. */
static bool directory_locate(const char *path, char located[PATH_MAX], struct error *err)
{
	bool is_data_directory;

	TRY(path_join(located, path, "pg_wal", err));
	TRY(fs_exists(located, &is_data_directory, err));
	if (!is_data_directory && (size_t) snprintf(located, PATH_MAX, "%s", path) >= PATH_MAX)
		return fail(err, ERROR_USAGE, "the path \"%.200s…\" is too long", path);
	return true;
}

bool wal_directory_read(const char *path, uint64_t system_identifier, struct wal_directory *directory,
			struct error *err)
{
	struct reading reading = {.directory = directory};

	*directory = (struct wal_directory){.system_identifier = system_identifier};
	TRY(directory_locate(path, directory->path, err));
	if (!fs_each(directory->path, reading_visit, &reading, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return false;
	}
	if (directory->count == 0 && reading.foreign != 0)
		return fail(err, ERROR_USAGE,
			    "the WAL in \"%s\" is of the system identifier %" PRIu64 ", not of %" PRIu64,
			    directory->path, reading.foreign, system_identifier);
	qsort(directory->files, (size_t) directory->count, sizeof(*directory->files), file_compare);
	return true;
}

const struct wal_file *wal_directory_find(const struct wal_directory *directory, uint32_t timeline, uint64_t number)
{
	struct wal_file wanted = {.timeline = timeline, .number = number};

	if (directory->count == 0)
		return NULL;
	return bsearch(&wanted, directory->files, (size_t) directory->count, sizeof(wanted), file_compare);
}

bool wal_directory_load(const struct wal_directory *directory, const struct wal_name *name, struct buf *content,
			struct wal_segment *segment, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, directory->path, name->text, err));
	TRY(fs_read_file(path, content, err));
	if (!wal_segment_check(buf_bytes(content), name, segment, err))
		return fail_in(err, "in \"%s\"", directory->path);
	if (segment->system_identifier == directory->system_identifier)
		return true;
	return fail(err, ERROR_CORRUPT, "\"%s\" holds WAL of another cluster", path);
}

#define HISTORY_SIZE_MAX (1 * MiB)

bool wal_directory_history(const struct wal_directory *directory, uint32_t timeline, struct buf *text,
			   struct timeline_history *history, struct error *err)
{
	char name[24], path[PATH_MAX];

	(void) snprintf(name, sizeof(name), "%08" PRIX32 ".history", timeline);
	TRY(path_join(path, directory->path, name, err));
	TRY(fs_read_file(path, text, err));
	if (!timeline_history_parse(timeline, buf_bytes(text), history, err))
		return fail_in(err, "\"%s\"", path);
	return true;
}
