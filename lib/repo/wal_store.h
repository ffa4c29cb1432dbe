/* One WAL file in, one out: a segment, a .partial, a .backup or a .history, and what the archive knows about them. */
#pragma once

#include "pg/timeline.h"
#include "pg/wal_record.h"
#include "pg/wal_summary.h"
#include "repo/repo.h"

/* Stores the file durably. The same content again: true (after making sure that it is durable). Other content
 * under the name: EXISTS, saying who stored it and when. `segment` as checked; NULL for .backup and .history. */
bool wal_store_put(struct repo *repo, const struct wal_name *name, struct bytes content,
		   const struct wal_segment *segment, struct error *err) MUST_CHECK;
/* Appends the authenticated content, checked against its name. NOT_FOUND: the object is not there (which for a
 * segment does not yet prove the end of the archive: see wal_store_later). */
bool wal_store_get(struct repo *repo, const struct wal_name *name, struct buf *content, struct error *err) MUST_CHECK;
bool wal_store_have(struct repo *repo, const struct wal_name *name, bool *have, struct error *err) MUST_CHECK;
bool wal_store_summary(struct repo *repo, const struct wal_name *name, struct wal_summary *summary,
		       struct error *err) MUST_CHECK;

/* The first segment of the same timeline behind `name`, if a listing shows one. Evidence for a gap, never for absence.
 */
bool wal_store_later(struct repo *repo, const struct wal_name *name, bool *found, struct wal_name *later,
		     struct error *err) MUST_CHECK;
/* The path to a timeline from its history object; timeline 1 needs none. NOT_FOUND when the history is not there. */
bool wal_store_history(struct repo *repo, uint32_t timeline, struct timeline_history *history,
		       struct error *err) MUST_CHECK;
/* Every timeline that has segments or a history, ascending; at most `max`. */
bool wal_store_timelines(struct repo *repo, uint32_t *timelines, int max, int *count, struct error *err) MUST_CHECK;
