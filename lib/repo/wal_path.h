/* The way to the end of one timeline of one branch: which timelines lead there, and in which branch of the repository
 * the files of each are found. */
#pragma once

#include "pg/timeline.h"
#include "repo/catalog.h"

struct wal_path {
	struct layout layout; /* the chain of branches; the first one is where the path ends */
	struct timeline_history history;
};

/* The timeline at its end. */
uint32_t wal_path_timeline(const struct wal_path *path);
/* "timeline 2", and "timeline 2 of the branch \"copy\"" where it is not the default branch. */
#define WAL_PATH_TEXT_SIZE (BRANCH_NAME_MAX + 48)
void wal_path_format(const struct wal_path *path, char text[WAL_PATH_TEXT_SIZE]);
/* The file that PostgreSQL reads on this path for segment `number`: of a segment in which the path changes timeline,
 * that of the youngest one (XLogFileReadAnyTLI() of xlogrecovery.c). */
void wal_path_name(const struct wal_path *path, uint64_t number, uint32_t segment_size, struct wal_name *name);
/* Was the whole backup taken on this path? */
bool wal_path_has_backup(const struct wal_path *path, const struct backup *backup);
