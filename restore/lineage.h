/* The timelines of a repository, each with the path that leads to it, and which of them are ends: where the history of
 * the cluster goes no further, or goes on although another timeline has branched off.
 */
#pragma once

#include "repo/catalog.h"
#include "repo/wal_store.h"

struct lineage {
	int count;
	struct timeline_history **paths; /* owned; ascending timelines */
	bool *is_end;
};

/* A timeline whose history file is not in the archive is warned about and left out: PostgreSQL could not follow it. */
bool lineage_read(struct repo *repo, uint32_t segment_size, struct lineage *lineage, struct error *err) MUST_CHECK;
void lineage_release(struct lineage *lineage);
#define LINEAGE_CLEANUP __attribute__((cleanup(lineage_release)))

uint32_t path_timeline(const struct timeline_history *path);
/* NULL when there is no such timeline. */
const struct timeline_history *lineage_find(const struct lineage *lineage, uint32_t timeline);
/* Was the whole backup taken on this path? */
bool path_has_backup(const struct timeline_history *path, const struct backup *backup);
