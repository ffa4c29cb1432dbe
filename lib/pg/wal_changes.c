#include "pg/wal_changes.h"

#include <stdlib.h>

/* Relations that running transactions have changed so far, of which a busy server has some hundred. About 1 MB, of
 * which only what is used is touched. */
#define ENTRIES_MAX 16384
#define BUCKETS	    16384 /* a power of two */

/* Entries are known by their number; 0 is none. Each is in two lists: of what its transaction and relation hash to, and
 * of what its transaction hashes to. */
struct entry {
	struct wal_change change;
	uint32_t next_of_key, next_of_xid;
};

struct wal_changes {
	wal_change_visit visit;
	void *context;
	struct wal_rows total;
	uint64_t other;
	uint32_t used;	  /* entries that have ever been used */
	uint32_t free;	  /* the first of those that are free again, linked by next_of_key */
	uint32_t running; /* entries in use */
	uint32_t by_key[BUCKETS], by_xid[BUCKETS];
	struct entry entries[ENTRIES_MAX + 1];
};

bool relation_file_equal(const struct relation_file *a, const struct relation_file *b)
{
	return a->number == b->number && a->database == b->database && a->tablespace == b->tablespace;
}

void wal_rows_add(struct wal_rows *rows, const struct wal_rows *more)
{
	rows->inserts += more->inserts;
	rows->updates += more->updates;
	rows->deletes += more->deletes;
}

bool wal_rows_outweigh(const struct wal_rows *a, const struct wal_rows *b)
{
	uint64_t changed_a = a->updates + a->deletes, changed_b = b->updates + b->deletes;

	return changed_a != changed_b ? changed_a > changed_b : a->inserts > b->inserts;
}

static uint64_t rows_count(const struct wal_rows *rows)
{
	return rows->inserts + rows->updates + rows->deletes;
}

uint32_t relation_file_hash(const struct relation_file *file, uint32_t seed)
{
	uint64_t hash = ((uint64_t) file->number << 32 | file->database) * UINT64_C(0x9E3779B97F4A7C15);

	hash ^= ((uint64_t) file->tablespace << 32 | seed) * UINT64_C(0xC2B2AE3D27D4EB4F);
	return (uint32_t) (hash >> 32 ^ hash >> 15);
}

static uint32_t *bucket_of_key(struct wal_changes *changes, uint32_t xid, const struct relation_file *file)
{
	return &changes->by_key[relation_file_hash(file, xid) % BUCKETS];
}

static uint32_t *bucket_of_xid(struct wal_changes *changes, uint32_t xid)
{
	return &changes->by_xid[xid % BUCKETS]; /* neighbours, so there is nothing better */
}

bool wal_changes_open(wal_change_visit visit, void *context, struct wal_changes **changes, struct error *err)
{
	*changes = calloc(1, sizeof(**changes));
	if (*changes == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	(*changes)->visit = visit;
	(*changes)->context = context;
	return true;
}

void wal_changes_close(struct wal_changes *changes)
{
	free(changes);
}

static struct entry *entry_find(struct wal_changes *changes, uint32_t xid, const struct relation_file *file)
{
	uint32_t at = *bucket_of_key(changes, xid, file);

	for (; at != 0; at = changes->entries[at].next_of_key) {
		const struct wal_change *change = &changes->entries[at].change;

		if (change->xid == xid && relation_file_equal(&change->file, file))
			return &changes->entries[at];
	}
	return NULL;
}

static struct entry *entry_new(struct wal_changes *changes, uint32_t xid, const struct relation_file *file)
{
	uint32_t *of_key = bucket_of_key(changes, xid, file), *of_xid = bucket_of_xid(changes, xid);
	uint32_t at = changes->free;

	if (at != 0)
		changes->free = changes->entries[at].next_of_key;
	else if (changes->used < ENTRIES_MAX)
		at = ++changes->used;
	else
		return NULL;
	changes->entries[at] =
		(struct entry){.change = {.xid = xid, .file = *file}, .next_of_key = *of_key, .next_of_xid = *of_xid};
	*of_key = *of_xid = at;
	changes->running++;
	return &changes->entries[at];
}

static void rows_note(struct wal_changes *changes, uint32_t xid, const struct relation_file *file,
		      const struct wal_rows *rows)
{
	struct entry *entry = entry_find(changes, xid, file);

	if (entry == NULL)
		entry = entry_new(changes, xid, file);
	if (entry != NULL)
		wal_rows_add(&entry->change.rows, rows);
	else
		changes->other += rows_count(rows);
}

/* Takes one entry of the transaction out of the table; false: it has none, or no more. */
static bool entry_take(struct wal_changes *changes, uint32_t xid, struct wal_change *change)
{
	uint32_t *link = bucket_of_xid(changes, xid);

	while (*link != 0 && changes->entries[*link].change.xid != xid)
		link = &changes->entries[*link].next_of_xid;
	uint32_t at = *link;
	if (at == 0)
		return false;
	struct entry *entry = &changes->entries[at];
	*change = entry->change;
	*link = entry->next_of_xid;
	link = bucket_of_key(changes, xid, &change->file);
	while (*link != at)
		link = &changes->entries[*link].next_of_key;
	*link = entry->next_of_key;
	entry->next_of_key = changes->free;
	changes->free = at;
	changes->running--;
	return true;
}

/* What the subtransactions did becomes the transaction's own, which is then done. */
static void transaction_end(struct wal_changes *changes, const struct wal_event *event)
{
	struct wal_change change;

	if (changes->running == 0)
		return;
	for (uint32_t i = 0; i < event->subtransactions.shown; i++) {
		uint32_t xid = wal_event_xid(event, i);

		while (xid != event->xid && entry_take(changes, xid, &change))
			rows_note(changes, event->xid, &change.file, &change.rows);
	}
	while (entry_take(changes, event->xid, &change)) {
		if (event->kind == WAL_COMMIT) {
			change.commit = event->lsn;
			change.commit_time_us = event->time_us;
		}
		changes->visit(changes->context, &change, event->kind == WAL_ABORT);
	}
}

void wal_changes_note(struct wal_changes *changes, const struct wal_event *event)
{
	struct wal_rows rows = {0};

	switch (event->kind) {
	case WAL_COMMIT:
	case WAL_ABORT:
		transaction_end(changes, event);
		return;
	case WAL_INSERT:
		rows.inserts = event->rows;
		break;
	case WAL_UPDATE:
		rows.updates = event->rows;
		break;
	case WAL_DELETE:
		rows.deletes = event->rows;
		break;
	default:
		return;
	}
	wal_rows_add(&changes->total, &rows);
	rows_note(changes, event->xid, &event->file, &rows);
}

void wal_changes_finish(struct wal_changes *changes)
{
	struct wal_change change;

	for (size_t i = 0; i < BUCKETS && changes->running > 0; i++)
		while (changes->by_xid[i] != 0 &&
		       entry_take(changes, changes->entries[changes->by_xid[i]].change.xid, &change))
			changes->visit(changes->context, &change, false);
}

struct wal_rows wal_changes_total(const struct wal_changes *changes, uint64_t *other)
{
	*other = changes->other;
	return changes->total;
}
