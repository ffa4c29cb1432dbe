/* The holes in the WAL of a path: which segments, what time is lost with them, and who stored what lies around them,
 * for that server may still have them. Finds and encodes; whoever asks prints.
 */
#pragma once

#include "base/json.h"
#include "repo/retired_wal.h"
#include "repo/wal_range.h"

/* A segment next to a hole. */
struct gap_neighbour {
	struct wal_name name;
	char host[256]; /* "": not known, and what follows neither */
	char stored[CLOCK_TEXT_SIZE];
};

struct gap {
	int place;			/* of the path on which it was found first, among the lineage's */
	struct wal_name first, last;	/* that are missing … */
	uint64_t missing, missing_last; /* … by number */
	char branch[BRANCH_NAME_MAX + 1];
	int64_t before_us, behind_us; /* last commit before it, first commit or rollback behind; 0: not known */
	struct gap_neighbour before, behind;
};

#define GAPS_MAX 10000

struct gaps {
	int count;
	size_t capacity;
	struct gap *items; /* owned */
};

/* A question: which holes does the range have that `gaps` has not yet? */
struct gap_search {
	struct repo *repo;
	const struct wal_range *range;
	int place, jobs;
	const struct gaps *known;	  /* what was found out about some earlier; NULL: nothing was */
	const struct wal_needed *retired; /* WAL that was removed on purpose, which is no hole; NULL: none */
};

bool gaps_find(const struct gap_search *search, struct gaps *gaps, struct error *err) MUST_CHECK;
void gaps_release(struct gaps *gaps);
#define GAPS_CLEANUP __attribute__((cleanup(gaps_release)))

/* Is this hole on the path? */
bool gap_is_on(const struct gap *gap, const struct wal_path *path, uint32_t segment_size);

bool gap_encode(const struct gap *gap, json_t *json, struct error *err) MUST_CHECK;
bool gap_decode(const json_t *json, uint32_t segment_size, struct gap *gap, struct error *err) MUST_CHECK;
/* Adds a copy. */
bool gaps_add(struct gaps *gaps, const struct gap *gap, struct error *err) MUST_CHECK;
