/* A pg_wal directory: which of its files are the segments that their names say, and which timeline histories are there.
 *
 * A recycled segment that waits to be written (its first page is still that of an older one) and a preallocated one
 * (zeroes) are none. Only reads, so that it serves for the directory of a running server, of a stopped one, and for
 * what is left of a lost one.
 */
#pragma once

#include <limits.h>

#include "pg/timeline.h"
#include "pg/wal_segment.h"

struct wal_file {
	uint32_t timeline;
	uint64_t number;
	bool is_ready; /* the server has not archived it: archive_status/….ready */
};

struct wal_directory {
	char path[PATH_MAX];
	uint64_t system_identifier; /* 0: there is no segment in it */
	uint32_t segment_size;
	int count;
	size_t capacity;
	struct wal_file *files; /* owned; by number, then by timeline */
	int history_count;
	uint32_t histories[TIMELINES_MAX]; /* ascending */
};

#define WAL_FILES_MAX (1 << 24)

/* `path` is pg_wal itself or a data directory. With a system identifier, segments of others are left out, and a
 * directory that has only those is USAGE; 0: that of the first segment counts. */
bool wal_directory_read(const char *path, uint64_t system_identifier, struct wal_directory *directory,
			struct error *err) MUST_CHECK;
void wal_directory_release(struct wal_directory *directory);
#define WAL_DIRECTORY_CLEANUP __attribute__((cleanup(wal_directory_release)))

/* NULL when it is not there. */
const struct wal_file *wal_directory_find(const struct wal_directory *directory, uint32_t timeline, uint64_t number);
/* Appends the content of a segment, checked against its name. NOT_FOUND when it has gone since. */
bool wal_directory_load(const struct wal_directory *directory, const struct wal_name *name, struct buf *content,
			struct wal_segment *segment, struct error *err) MUST_CHECK;
/* Appends the text of a timeline's history and parses it. NOT_FOUND when it is not there. */
bool wal_directory_history(const struct wal_directory *directory, uint32_t timeline, struct buf *text,
			   struct timeline_history *history, struct error *err) MUST_CHECK;
