/* What has been stored ahead of the server: written down by the call that stored it, read by the front when the server
 * asks for it.
 */
#pragma once

#include "config/options.h"

#define ARCHIVED_RECORD_SIZE 32

/* The file of the spool in which it stands. Whoever archives to two repositories has two. */
void archived_record(const struct options *options, char record[ARCHIVED_RECORD_SIZE]);
/* Is the segment at `path` (PostgreSQL's %p) known to be durably stored, unchanged since, in the repository that the
 * settings name? False for whatever cannot be found out: the whole program sees to it then. */
bool archived_before(const struct options *options, const char *path);
