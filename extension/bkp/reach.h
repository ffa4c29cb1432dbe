/* From a time to a base backup, a timeline and a last commit, by the windows of the mirror and their marks alone: what
 * pitr-restore decides with the repository at hand (restore/plan/reach.h), as far as it can be told without reading
 * WAL. Pure: knows nothing of clocks, texts and rows.
 */
#pragma once

#include "mirror.h"

/* How one window leads to the time. */
struct reach {
	const struct mirror_window *window;
	const struct mirror_backup *backup;
	const struct mirror_backup *passed_over; /* a newer one, which is damaged; NULL: none */
	bool contains; /* a commit or rollback behind the time is in the window: replay stops there */
	const struct mirror_mark *inside; /* the time lies within it, so there may be later commits; NULL: exact */
	const struct mirror_commit *last_commit; /* known to lie before it; NULL: none since the backup began */
	uint64 first, last;			 /* segments */
	int64 wal_bytes;
};

enum reach_verdict {
	REACH_FOUND,
	REACH_AMBIGUOUS, /* `other` leads there too, to another commit */
	REACH_BEYOND,	 /* in no window: `before` and `behind` are the nearest ones */
};

struct reach_answer {
	enum reach_verdict verdict;
	struct reach reach; /* BEYOND: all that there is, when the time is behind all that; no window: it is not */
	struct reach other; /* FOUND: one of which it cannot be told without the WAL; no window: there is none */
	const struct mirror_window *before, *behind; /* BEYOND; NULL: none */
};

void reach_find(const struct mirror *mirror, TimestampTz target, struct reach_answer *answer);
/* Does pitr-verify say so? Such a backup is taken only when no other one leads there. */
bool reach_is_damaged(const struct mirror_backup *backup);
/* Is its last commit only reached by its LSN? Behind it is a gap, which no time can be known to lie in front of. */
bool reach_ends_in_gap(const struct mirror_window *window);
