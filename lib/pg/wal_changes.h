/* Rows inserted, updated and deleted, counted by transaction and relation while WAL is read. What a transaction's
 * subtransactions did is its own once it commits; what was rolled back is told apart. The table holds running
 * transactions only and is bounded: what finds no room is counted as `other`, never lost silently.
 */
#pragma once

#include "pg/wal_event.h"

struct wal_rows {
	uint64_t inserts, updates, deletes;
};

/* What one transaction did to one relation. */
struct wal_change {
	uint32_t xid;
	struct relation_file file;
	struct wal_rows rows;
	uint64_t commit; /* LSN of the commit; 0: it was not seen */
	int64_t commit_time_us;
};

/* What all transactions did to one relation. */
struct wal_relation_rows {
	struct relation_file file;
	struct wal_rows rows;
};

bool relation_file_equal(const struct relation_file *a, const struct relation_file *b);
uint32_t relation_file_hash(const struct relation_file *file, uint32_t seed);
void wal_rows_add(struct wal_rows *rows, const struct wal_rows *more);
/* Which of two is more worth keeping: more rows updated and deleted, then more inserted. */
bool wal_rows_outweigh(const struct wal_rows *a, const struct wal_rows *b);

/* Sees each transaction and relation once: when it commits, is rolled back, or the counting ends without either. */
typedef void (*wal_change_visit)(void *context, const struct wal_change *change, bool is_aborted);

struct wal_changes;
bool wal_changes_open(wal_change_visit visit, void *context, struct wal_changes **changes,
		      struct error *err) MUST_CHECK;
void wal_changes_close(struct wal_changes *changes);
/* Every event, in order; those that are no rows and end no transaction are passed over. */
void wal_changes_note(struct wal_changes *changes, const struct wal_event *event);
/* Nothing more comes: the transactions that are still running are visited. */
void wal_changes_finish(struct wal_changes *changes);
/* Rows seen, and how many of them found no room. */
struct wal_rows wal_changes_total(const struct wal_changes *changes, uint64_t *other);
