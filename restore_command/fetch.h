/* One WAL file inward, the walk of archive_command/archive.c read from the other end: parse the name, get and
 * authenticate the content, check that it is what the name says, put it where the server wants it.
 */
#pragma once

#include "base/error.h"
#include "config/options.h"

/* Fails with NOT_FOUND only when the file is proven absent. `destination` as PostgreSQL's %p. */
bool fetch_file(const struct options *options, const char *name, const char *destination,
		struct error *err) MUST_CHECK;

/* Who is asking: a standby (it asks again by itself), or a server in archive recovery (it would take a failure
 * for the end of the archive). Told by the signal files in the data directory of `destination`. */
enum error_audience fetch_audience(const char *destination);
