/* How a segment that was not fetched ahead makes those behind it be: it is noted for the prefetcher that runs, and one
 * is started that does not. Nothing here can fail the segment itself.
 */
#pragma once

#include "config/options.h"
#include "pg/wal_name.h"
#include "repo/spool.h"

struct announcement {
	struct spool spool;
	bool is_wanted; /* a server recovers there, has a spool, and has not asked for this very segment before */
};

/* Before the segment is fetched; `directory` is the data directory. */
void announce_segment(const struct options *options, const char *directory, const struct wal_name *name,
		      struct announcement *announcement);
/* It was fetched. */
void announce_success(const struct options *options, const struct announcement *announcement);
