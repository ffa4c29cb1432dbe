/* A WAL segment as it lies in pg_wal: read, checked against its name, and known by its stamp. Knows nothing of
 * repositories.
 */
#pragma once

#include <limits.h>

#include "pg/wal_segment.h"
#include "repo/spool.h"

struct segment_file {
	struct wal_name name;
	char path[PATH_MAX];
	char stamp[SPOOL_STAMP_SIZE]; /* as it was before it was read */
	bool is_at_rest;	      /* … and nobody had just written to it */
	struct buf content;	      /* its memory serves for the next one, too */
	struct wal_segment segment;   /* what its header says */
};

/* Reads the segment `name` at `path`, which must be what its name says. What was read before is gone. */
bool segment_file_read(struct segment_file *file, const char *path, const struct wal_name *name,
		       struct error *err) MUST_CHECK;
/* Is it certain that what lies there is still what was read? */
bool segment_file_is_same(const struct segment_file *file);
void segment_file_release(struct segment_file *file); /* also one that is {0} */
#define SEGMENT_FILE_CLEANUP __attribute__((cleanup(segment_file_release)))
