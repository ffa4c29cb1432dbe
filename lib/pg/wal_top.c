#include "pg/wal_top.h"

#include <stdlib.h>
#include <string.h>

/* Catalogs have lower numbers until they are rewritten: FirstNormalObjectId of access/transam.h. */
#define NUMBER_MIN 16384

/* Relations that change within one segment. */
#define RELATIONS_MAX 1024
#define SLOTS	      2048 /* a power of two, so that half of them stay empty */

struct wal_top {
	int change_count;
	struct wal_change changes[WAL_CHANGES_MAX]; /* the weightiest first */
	int relation_count;
	struct wal_relation_rows relations[RELATIONS_MAX];
	uint16_t slots[SLOTS]; /* 1 + where in `relations`; 0: empty */
	uint64_t other;
};

bool wal_top_open(struct wal_top **top, struct error *err)
{
	*top = calloc(1, sizeof(**top));
	return *top != NULL || fail(err, ERROR_SYSTEM, "out of memory");
}

void wal_top_close(struct wal_top *top)
{
	free(top);
}

static void relation_note(struct wal_top *top, const struct wal_change *change)
{
	uint32_t slot = relation_file_hash(&change->file, 0) % SLOTS;

	while (top->slots[slot] != 0 && !relation_file_equal(&top->relations[top->slots[slot] - 1].file, &change->file))
		slot = (slot + 1) % SLOTS;
	if (top->slots[slot] == 0) {
		if (top->relation_count == RELATIONS_MAX) {
			top->other += change->rows.inserts + change->rows.updates + change->rows.deletes;
			return;
		}
		top->relations[top->relation_count].file = change->file;
		top->slots[slot] = (uint16_t) ++top->relation_count;
	}
	wal_rows_add(&top->relations[top->slots[slot] - 1].rows, &change->rows);
}

static bool is_worth_it(const struct wal_rows *rows)
{
	return rows->updates + rows->deletes >= WAL_CHANGE_ROWS_MIN || rows->inserts >= WAL_CHANGE_INSERT_MIN;
}

/* Into its place among those that are kept, if it has one there. */
static void change_note(struct wal_top *top, const struct wal_change *change)
{
	int at = top->change_count < WAL_CHANGES_MAX ? top->change_count : WAL_CHANGES_MAX;

	top->change_count++;
	while (at > 0 && wal_rows_outweigh(&change->rows, &top->changes[at - 1].rows)) {
		if (at < WAL_CHANGES_MAX)
			top->changes[at] = top->changes[at - 1];
		at--;
	}
	if (at < WAL_CHANGES_MAX)
		top->changes[at] = *change;
}

void wal_top_note(void *context, const struct wal_change *change, bool is_aborted)
{
	struct wal_top *top = context;

	if (is_aborted || change->file.number < NUMBER_MIN)
		return;
	relation_note(top, change);
	if (is_worth_it(&change->rows))
		change_note(top, change);
}

static int relation_compare(const void *a, const void *b)
{
	const struct wal_relation_rows *left = a, *right = b;

	if (wal_rows_outweigh(&left->rows, &right->rows))
		return -1;
	return wal_rows_outweigh(&right->rows, &left->rows) ? 1 : 0;
}

void wal_top_fill(const struct wal_top *top, struct wal_summary *summary)
{
	struct wal_relation_rows relations[RELATIONS_MAX];
	size_t relation_count = (size_t) top->relation_count;
	int change_count = top->change_count < WAL_CHANGES_MAX ? top->change_count : WAL_CHANGES_MAX;

	summary->change_count = top->change_count;
	memcpy(summary->changes, top->changes, (size_t) change_count * sizeof(top->changes[0]));
	memcpy(relations, top->relations, relation_count * sizeof(relations[0]));
	qsort(relations, relation_count, sizeof(relations[0]), relation_compare);
	if (relation_count > WAL_RELATIONS_MAX)
		relation_count = WAL_RELATIONS_MAX;
	summary->relation_count = top->relation_count;
	memcpy(summary->relations, relations, relation_count * sizeof(relations[0]));
	summary->other_changes += top->other;
}
