/* The local working directory of pitr-archive and pitr-fetch for one data directory: what they have done, or fetched,
 * ahead of the server. Nothing in it is needed: without it everything is done just the same, when the server asks.
 *
 * What is known ahead is written into records: text files of self-contained lines. A line is believed only while
 * everything it depends on is as it was: the settings that say which repository, the system identifier, the data
 * directory, the server's branch, and the file that it is about. Files are told by device, inode, size and times, never
 * by name alone. Knows nothing of storage, codecs and networks, and links none of their libraries.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/options.h"

#define SPOOL_BINDING_SIZE 4096
#define SPOOL_STAMP_SIZE   128
#define SPOOL_VALUE_SIZE   32
/* A record that has grown beyond this is not read any more. */
#define SPOOL_RECORD_SIZE_MAX (2 * MiB)
/* What is remembered longer than this is not believed, nor what is of the future: the repository has moved on. */
#define SPOOL_RECORD_AGE_MAX_US (INT64_C(10) * 60 * 1000000)

struct spool {
	char root[PATH_MAX];		  /* the setting */
	char directory[PATH_MAX];	  /* below it; of this data directory alone */
	char binding[SPOOL_BINDING_SIZE]; /* everything a line depends on but its file; one line of text */
	uint64_t system_identifier;
};

/* Reads the control file and looks at the branch mark of the data directory; touches nothing else. USAGE when the
 * settings cannot be written in a line. */
bool spool_locate(const struct options *options, const char *pgdata, struct spool *spool, struct error *err) MUST_CHECK;
/* Makes the directory (0700), below the setting's, which must be there or can be made. DENIED when it is not ours. */
bool spool_make(const struct spool *spool, struct error *err) MUST_CHECK;
/* Is it there, and of this user alone? Who else could write in it could have anything believed. NOT_FOUND, DENIED. */
bool spool_check(const struct spool *spool, struct error *err) MUST_CHECK;
/* "<directory>/<name>" */
bool spool_path(const struct spool *spool, const char *name, char path[PATH_MAX], struct error *err) MUST_CHECK;

/* Which file that is and that it has not changed: device, inode, size, times. NOT_FOUND. */
bool spool_stamp(const char *path, char stamp[SPOOL_STAMP_SIZE], struct error *err) MUST_CHECK;
/* The same before the file is read. Only of one that is at rest does the same stamp later on say that it was not
 * written to since: file systems do not tell times apart that are very close. */
bool spool_stamp_at_rest(const char *path, char stamp[SPOOL_STAMP_SIZE], bool *is_at_rest,
			 struct error *err) MUST_CHECK;

/* What a line says: `value` about the file `name`, which has that stamp. One word each. */
struct spool_line {
	const char *name;
	const char *stamp;
	char value[SPOOL_VALUE_SIZE];
};

/* Appends the line to the record, which is a file of the directory, by one write. Not synced: a line that a crash took
 * away costs time only. */
bool spool_remember(const struct spool *spool, const char *record, const struct spool_line *line,
		    struct error *err) MUST_CHECK;
/* Is there such a line, and is it still true? Then its value is filled in. Whatever cannot be read, or is not a file of
 * ours, is not there. */
bool spool_recall(const struct spool *spool, const char *record, struct spool_line *line);
/* The same for who asks about many files: the record, read once (NOT_FOUND; DENIED when it is not ours), and the lines
 * that were read, asked. */
bool spool_read(const struct spool *spool, const char *record, struct buf *lines, struct error *err) MUST_CHECK;
bool spool_find(const struct spool *spool, struct bytes lines, struct spool_line *line);
/* Empties the record. */
bool spool_forget(const struct spool *spool, const char *record, struct error *err) MUST_CHECK;
