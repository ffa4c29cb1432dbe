/* One WAL file inward, the walk of archive_command/archive.c read from the other end: parse the name, get and
 * authenticate the content, check that it is what the name says, put it where the server wants it.
 */
#pragma once

#include "base/error.h"
#include "config/options.h"

/* The exit status that makes PostgreSQL end recovery: for proven absence, and for no failure whatsoever. */
#define FETCH_EXIT_ABSENT 1

/* `destination` as PostgreSQL's %p. True with *is_absent set when it is proven that the file is not in the archive and
 * that recovery may end there, or that the server ends recovery and has the history itself; nothing is written then.
 * Whatever could not be found out is false. */
bool fetch_file(const struct options *options, const char *name, const char *destination, bool *is_absent,
		struct error *err) MUST_CHECK;
