/* How a stretch of WAL lies in time, in at most WAL_MARKS_MAX steps: each says of some consecutive segments how many
 * bytes and commits they hold, and between which times. The newest segments have a mark each; older ones share, in
 * equal parts. Knows nothing of paths or windows.
 */
#pragma once

#include "base/json.h"

#define WAL_MARKS_MAX 8192

struct wal_mark {
	uint64_t first, last; /* segments, by number */
	uint64_t stored_bytes;
	uint64_t commits;		  /* with those whose record began before and ends here */
	int64_t time_min_us, time_max_us; /* over commits and aborts; 0: none */
	uint64_t last_commit;		  /* its LSN; 0: none */
	uint32_t last_commit_xid;
	int64_t last_commit_time_us;
};

struct wal_marks {
	int count;
	size_t capacity;
	struct wal_mark *items; /* owned; ascending, without holes */
};

/* Adds what lies behind all others. What it does depends on what is there and what is added alone: whoever goes on
 * with marks that were kept comes to those that would have been made at once. */
bool wal_marks_add(struct wal_marks *marks, const struct wal_mark *mark, struct error *err) MUST_CHECK;
/* Adds those of `more` that lie within these segments. */
bool wal_marks_add_within(struct wal_marks *marks, const struct wal_marks *more, uint64_t first, uint64_t last,
			  struct error *err) MUST_CHECK;
void wal_marks_release(struct wal_marks *marks);
#define WAL_MARKS_CLEANUP __attribute__((cleanup(wal_marks_release)))

uint64_t wal_marks_commits(const struct wal_marks *marks);
/* The last mark that knows a commit; NULL: none does. */
const struct wal_mark *wal_marks_last_commit(const struct wal_marks *marks);

/* An array of arrays of nine numbers each: the members of struct wal_mark in their order. */
bool wal_marks_encode(const struct wal_marks *marks, json_t *array, struct error *err) MUST_CHECK;
bool wal_marks_decode(const json_t *array, struct wal_marks *marks, struct error *err) MUST_CHECK;
