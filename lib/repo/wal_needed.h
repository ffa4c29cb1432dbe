/* Which WAL files are needed: ranges of segments, each of one timeline in one branch. A stretch of a path becomes the
 * ranges that its files are read from. Pure; knows nothing of what is there.
 */
#pragma once

#include "repo/wal_path.h"

struct wal_needed_range {
	char branch[BRANCH_NAME_MAX + 1];
	uint32_t timeline;
	uint64_t first, last; /* segment numbers, both included */
};

struct wal_needed {
	uint32_t segment_size;
	bool is_all; /* whatever there is, and ranges say nothing */
	int count;
	size_t capacity;
	struct wal_needed_range *ranges; /* owned; none touches another of its branch and timeline */
};

void wal_needed_release(struct wal_needed *needed);
#define WAL_NEEDED_CLEANUP __attribute__((cleanup(wal_needed_release)))

bool wal_needed_add(struct wal_needed *needed, const char *branch, uint32_t timeline, uint64_t first, uint64_t last,
		    struct error *err) MUST_CHECK;
/* Everything that may be read on the path for the segments from `first` to `last` (UINT64_MAX: to its end, and what is
 * still to come). Of a segment in which the path changes timeline that is the file of either. */
bool wal_needed_add_path(struct wal_needed *needed, const struct wal_path *path, uint64_t first, uint64_t last,
			 struct error *err) MUST_CHECK;
/* Takes these out again. */
bool wal_needed_remove(struct wal_needed *needed, const char *branch, uint32_t timeline, uint64_t first, uint64_t last,
		       struct error *err) MUST_CHECK;
/* Is any of these segments needed? */
bool wal_needed_has(const struct wal_needed *needed, const char *branch, uint32_t timeline, uint64_t first,
		    uint64_t last);
