/* One WAL file in, one out: a segment, a .partial, a .backup or a .history, and what the archive knows about them. What
 * is new goes to the branch that repo->layout writes to; what is read is looked for along the chain of branches that is
 * given. */
#pragma once

#include "base/clock.h"
#include "base/json.h"
#include "pg/timeline.h"
#include "pg/wal_record.h"
#include "pg/wal_summary.h"
#include "repo/repo.h"

/* What is stored beside a segment or a .partial: who stored it and when, and what it says about itself. */
struct wal_entry {
	char host[256];
	char stored[CLOCK_TEXT_SIZE]; /* text, for people */
	struct wal_summary summary;
};

/* Who stored a file; empty where its object does not say. */
struct wal_writer {
	char host[256];
	char directory[1024];
	char stored[64]; /* when */
	int64_t pid;
};

/* "host "db1" from "/srv/data" (process 123) at 2024-01-15 …" */
#define WAL_WRITER_TEXT_SIZE 512
void wal_writer_format(const struct wal_writer *writer, char text[WAL_WRITER_TEXT_SIZE]);

/* Stores the file durably. The same content again: true (after making sure that it is durable). Other content
 * under the name: EXISTS, saying who stored it and when. So is a segment or a history from before the branch began that
 * its parent does not have. `segment` as checked; NULL for .backup and .history. */
bool wal_store_put(struct repo *repo, const struct wal_name *name, struct bytes content,
		   const struct wal_segment *segment, struct error *err) MUST_CHECK;
/* Is it in the archive with this content? EXISTS when with another, saying who stored that and when; NOT_FOUND. */
bool wal_store_check(struct repo *repo, const struct layout *layout, const struct wal_name *name, struct bytes content,
		     struct error *err) MUST_CHECK;
/* Is this the content that is stored of the file? NOT_FOUND when there is none. */
bool wal_store_same(struct repo *repo, const struct wal_name *name, struct bytes content, bool *same,
		    struct wal_writer *writer, struct error *err) MUST_CHECK;
/* Appends the authenticated content, checked against its name. NOT_FOUND: the object is not there (which for a
 * segment does not yet prove the end of the archive: see wal_store_later). */
bool wal_store_get(struct repo *repo, const struct layout *layout, const struct wal_name *name, struct buf *content,
		   struct error *err) MUST_CHECK;
bool wal_store_have(struct repo *repo, const struct layout *layout, const struct wal_name *name, bool *have,
		    struct error *err) MUST_CHECK;
/* What is stored beside it, in one request. CORRUPT also when it belongs to another segment. */
bool wal_store_meta(struct repo *repo, const struct layout *layout, const struct wal_name *name, json_t **meta,
		    struct error *err) MUST_CHECK;
bool wal_entry_decode(const json_t *meta, const struct wal_name *name, struct wal_entry *entry,
		      struct error *err) MUST_CHECK;
bool wal_store_entry(struct repo *repo, const struct layout *layout, const struct wal_name *name,
		     struct wal_entry *entry, struct error *err) MUST_CHECK;

/* The first segment of the same timeline behind `name`, if a listing shows one. Evidence for a gap, never for absence.
 */
bool wal_store_later(struct repo *repo, const struct layout *layout, const struct wal_name *name, bool *found,
		     struct wal_name *later, struct error *err) MUST_CHECK;
/* The path to a timeline from its history object; timeline 1 needs none. NOT_FOUND when the history is not there. */
bool wal_store_history(struct repo *repo, const struct layout *layout, uint32_t timeline,
		       struct timeline_history *history, struct error *err) MUST_CHECK;
/* Every timeline that has a history in that branch, ascending; at most `max`. One listing. */
bool wal_store_histories(struct repo *repo, const char *branch, uint32_t *timelines, int max, int *count,
			 struct error *err) MUST_CHECK;
/* Every timeline that has segments or a history in that branch, ascending; at most `max`. */
bool wal_store_timelines(struct repo *repo, const char *branch, uint32_t *timelines, int max, int *count,
			 struct error *err) MUST_CHECK;
