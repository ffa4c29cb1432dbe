/* Which segments wait to be archived: the "*.ready" files in archive_status/ of a data directory (manual, section
 * 73.1 "Database File Layout"; xlogarchive.c and pgarch.c).
 */
#pragma once

#include "pg/wal_name.h"

#define READY_MAX 256

struct ready {
	int waiting; /* segments in all */
	/* The first of those behind the one that is asked for, on its timeline, in the order in which the server will
	 * ask for them. */
	int count;
	struct wal_name names[READY_MAX];
};

/* `path` as PostgreSQL's %p. Only when the server itself waits for that segment: whoever archives a file by hand asks
 * for this one file. */
bool ready_list(const char *path, const struct wal_name *asked, struct ready *ready, struct error *err) MUST_CHECK;
