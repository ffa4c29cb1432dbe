/* Makes the index over WAL (wal_index.h) of one timeline in the branch that a path ends in: of every block of segments
 * to which none will be added. Never replaces or removes an object.
 */
#pragma once

#include "repo/wal_path.h"

struct wal_index_update {
	/* asked */
	const struct layout *layout; /* the timeline's segments that belong to its first branch */
	uint32_t timeline, segment_size;
	bool is_over;	     /* nothing more comes to the timeline: its last block counts too */
	bool checks;	     /* hold what there is against the segments, too; else: only what lies behind it */
	int64_t deadline_ms; /* blocks that are not begun by then are left for another time; 0: none */
	int jobs;
	/* answered; counts of blocks, and of segments */
	int blocks, good, written;
	int incomplete, different, damaged; /* why those of them that had an index were written again */
	int objects_damaged;
	uint64_t segments;   /* that are in the index afterwards, as far as it was looked at */
	uint64_t unreadable; /* that are not, because what is stored beside them cannot be read */
	struct error why;    /* of the last of these */
	bool is_late;	     /* the deadline came first */
};

bool wal_index_update_run(struct repo *repo, struct wal_index_update *update, struct error *err) MUST_CHECK;

/* After a backup: goes on with every timeline of the branch that is written to, for a while. DENIED when the
 * credentials may not write there. */
bool wal_index_update_recent(struct repo *repo, uint32_t segment_size, int jobs, struct error *err) MUST_CHECK;
