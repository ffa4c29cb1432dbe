/* The workers of the prefetcher: each brings one segment at a time into a file of the spool, authenticated and checked
 * as any other, through a buffer that is used again. Which segment, and what becomes of its file, the caller decides.
 */
#pragma once

#include "pg/wal_name.h"
#include "repo/repo.h"
#include "repo/spool.h"

struct lanes;

/* What became of a segment. */
struct landing {
	struct wal_name name;
	bool is_whole; /* false: it could not be fetched, or written; what there is of the file is to be removed */
	uint32_t crc;
	int64_t duration_ms;
};

/* They are never closed: a request that nobody needs any more may take long, so the process ends instead. */
bool lanes_open(struct repo *repo, const struct spool *spool, int count, struct lanes **lanes,
		struct error *err) MUST_CHECK;
/* One more; at most `count` at a time, counted until they have landed. Its file is there from now on, to say that it is
 * on its way. */
bool lanes_start(struct lanes *lanes, const struct wal_name *name, struct error *err) MUST_CHECK;
bool lanes_have_room(struct lanes *lanes);
/* One that has come to its end; false: none has. */
bool lanes_land(struct lanes *lanes, struct landing *landing);
/* Waits until one has, or for that long. */
void lanes_wait(struct lanes *lanes, int timeout_ms);
