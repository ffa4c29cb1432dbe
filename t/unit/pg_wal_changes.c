/* Counting rows by transaction and relation, beyond what the table holds. */
#include "pg/wal_changes.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define ROOM 16384 /* of the table */

struct sum {
	int visits, aborted, committed;
	uint64_t rows;
	struct wal_change last;
};

static void visit(void *context, const struct wal_change *change, bool is_aborted)
{
	struct sum *sum = context;

	sum->visits++;
	sum->aborted += is_aborted;
	sum->committed += change->commit != 0;
	sum->rows += change->rows.inserts + change->rows.updates + change->rows.deletes;
	sum->last = *change;
}

static void rows_note(struct wal_changes *changes, uint32_t xid, uint32_t number)
{
	struct wal_event event = {.kind = WAL_DELETE, .xid = xid, .file = {1663, 5, number}, .rows = 1};

	wal_changes_note(changes, &event);
}

static void end_note(struct wal_changes *changes, enum wal_event_kind kind, uint32_t xid, const uint32_t *subxacts,
		     uint32_t count)
{
	struct wal_event event = {.kind = kind, .xid = xid, .lsn = 100, .time_us = 7};

	event.subtransactions = (struct wal_items){(const uint8_t *) subxacts, count, count};
	wal_changes_note(changes, &event);
}

static void full_test(void)
{
	struct wal_changes *changes;
	struct sum sum = {0};
	struct error err;
	uint64_t other;

	if (!wal_changes_open(visit, &sum, &changes, &err))
		abort();
	for (uint32_t i = 0; i < ROOM + 100; i++)
		rows_note(changes, 1000 + i % 50, 16384 + i / 50);
	rows_note(changes, 1000, 16384);
	ok(wal_changes_total(changes, &other).deletes == ROOM + 101 && other == 100 && sum.visits == 0,
	   "what finds no room is counted, what has a place is still added to it");
	for (uint32_t i = 0; i < 50; i++)
		end_note(changes, WAL_COMMIT, 1000 + i, NULL, 0);
	ok(sum.visits == ROOM && sum.committed == ROOM && sum.rows == ROOM + 1, "every one is seen when it commits");
	for (uint32_t i = 0; i < 3 * ROOM; i++) {
		rows_note(changes, i, 20000);
		rows_note(changes, i, 20001);
		end_note(changes, i % 2 != 0 ? WAL_COMMIT : WAL_ABORT, i, NULL, 0);
	}
	ok(wal_changes_total(changes, &other).deletes == 7 * ROOM + 101 && other == 100 && sum.visits == 7 * ROOM &&
		   sum.aborted == 3 * ROOM,
	   "places that became free are used again");
	rows_note(changes, 5, 20001);
	wal_changes_finish(changes);
	ok(sum.visits == 7 * ROOM + 1 && sum.last.xid == 5 && sum.last.commit == 0,
	   "what still runs is seen at the end");
	wal_changes_finish(changes);
	ok(sum.visits == 7 * ROOM + 1, "once");
	wal_changes_close(changes);
}

static void fold_test(void)
{
	static const uint32_t subxacts[] = {11, 12, 10, 12};
	struct wal_changes *changes;
	struct sum sum = {0};
	struct error err;

	if (!wal_changes_open(visit, &sum, &changes, &err))
		abort();
	rows_note(changes, 10, 16384);
	rows_note(changes, 11, 16384);
	rows_note(changes, 12, 16384);
	rows_note(changes, 13, 16384);
	end_note(changes, WAL_ABORT, 13, NULL, 0);
	ok(sum.visits == 1 && sum.aborted == 1 && sum.last.xid == 13, "ROLLBACK TO ends a subtransaction");
	end_note(changes, WAL_COMMIT, 10, subxacts, 4);
	ok(sum.visits == 2 && sum.last.xid == 10 && sum.last.rows.deletes == 3 && sum.last.commit == 100 &&
		   sum.last.commit_time_us == 7,
	   "COMMIT takes its subtransactions with it, itself among them or not");
	end_note(changes, WAL_COMMIT, 10, subxacts, 4);
	is_number(sum.visits, 2, "and leaves nothing");
	wal_changes_close(changes);
}

static void order_test(void)
{
	struct wal_rows few = {5000, 1, 1}, many = {0, 2, 1}, inserted = {6000, 1, 1};

	ok(wal_rows_outweigh(&many, &few) && !wal_rows_outweigh(&few, &many) && wal_rows_outweigh(&inserted, &few) &&
		   !wal_rows_outweigh(&few, &few),
	   "rows that were changed or deleted outweigh those that came");
	ok(xid_precedes(5, 6) && !xid_precedes(6, 6) && xid_precedes(0xFFFFFFF0, 5) && !xid_precedes(5, 0xFFFFFFF0),
	   "transactions go round");
}

int main(void)
{
	full_test();
	fold_test();
	order_test();
	return done_testing();
}
