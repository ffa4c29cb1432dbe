/* One WAL file outward: parse its name, read it, check that it is what the name says, store it; of segments also those
 * that come next (ahead.h).
 * PostgreSQL manual, section 26.3.1; the caller's exit status 0 means "durably stored", and nothing else does.
 */
#pragma once

#include "base/error.h"
#include "config/options.h"

/* `path` as PostgreSQL's %p: relative to the data directory, which is the working directory. */
bool archive_file(const struct options *options, const char *path, struct error *err) MUST_CHECK;
