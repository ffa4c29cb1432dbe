/* The holes in the WAL of a path: which segments, what time is lost with them, and who stored what lies around them,
 * for that server may still have them. Prints what it finds.
 */
#pragma once

#include "base/json.h"
#include "repo/wal_range.h"

struct gaps {
	struct repo *repo;
	int jobs;
	json_t *json; /* array; NULL: text */
	/* Those that were printed for another path, which shares the timeline. Owned. */
	int count;
	struct gap_seen *seen;
};

bool gaps_of_range(struct gaps *gaps, const struct wal_range *range, struct error *err) MUST_CHECK;
void gaps_release(struct gaps *gaps);
