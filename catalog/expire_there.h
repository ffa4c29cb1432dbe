/* What there is in the repository, as far as it can be proven: the catalog, the paths of history, every name.
 *
 * A listing shows what there is, never what there is not. Whatever would make something go because it is not listed (a
 * backup, its WAL, a timeline, the end of one) is asked for by its name; where the store then has what the listing had
 * not, the run ends. So is what earlier runs have seen (expire_memory.h).
 */
#pragma once

#include "expire.h"

/* UNREACHABLE when a listing is not to be trusted, CORRUPT when something cannot be read that may have to be kept. */
bool expire_there_read(struct expire *expire, struct error *err) MUST_CHECK;
/* Reads the facts again, for pins that were made meanwhile. A pin that was known stays one. */
bool expire_there_read_facts(struct expire *expire, struct error *err) MUST_CHECK;

/* Has a listing shown it? */
bool expire_is_listed(const struct expire *expire, const char *key);
/* The last segment of the timeline that the path's own branch has, of all or of those that the plan lets stay; false:
 * none. */
bool expire_last_segment(const struct expire *expire, const struct wal_path *path, bool that_stays,
			 struct wal_name *last);
/* An object that no listing has shown: it must not be there. UNREACHABLE when it is. */
bool expire_demand_absent(struct expire *expire, const char *key, enum object_kind kind, bool *is_absent,
			  struct error *err) MUST_CHECK;
/* A backup that something speaks of is in the catalog, or proven not to be complete. */
bool expire_check_backup(struct expire *expire, const char *branch, const char *label, struct error *err) MUST_CHECK;
