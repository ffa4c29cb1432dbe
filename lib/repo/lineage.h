/* The tree of a repository's timelines, over all its branches: the path to each, and which of them are ends: where
 * history goes no further, or goes on although another timeline has left it. */
#pragma once

#include "repo/branch.h"
#include "repo/wal_path.h"

struct lineage {
	int count;
	/* Owned; branch by branch, the default one first; within one by ascending timeline. */
	struct wal_path **paths;
	bool *is_end;
	bool *is_proposed; /* what a restore may choose by itself: not the branches of copies that nobody adopted */
	char production[BRANCH_NAME_MAX + 1];
	/* A timeline that has segments but no history that can be read: what descends from what is in doubt. */
	bool has_unknown;
	char unknown_branch[BRANCH_NAME_MAX + 1];
	uint32_t unknown_timeline;
	struct error unknown_why;
};

/* Branches without an origin are warned about and left out. */
bool lineage_read(struct repo *repo, uint32_t segment_size, struct lineage *lineage, struct error *err) MUST_CHECK;
void lineage_release(struct lineage *lineage);
#define LINEAGE_CLEANUP __attribute__((cleanup(lineage_release)))

/* Does the path end in that branch? */
bool lineage_is_of(const struct wal_path *path, const char *branch);
