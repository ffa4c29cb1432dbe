#include "pg/wal_summary.h"

#include <string.h>

#include "pg/wal_top.h"

/* Records whose transactions show which are at work when the segment begins: fewer, and one that wrote nothing for a
 * moment is taken for a new one; more, and new ones are taken for old. */
#define XIDS_SEEN_MAX 16

/* Of these the ones that are kept are chosen at the end. */
#define LOCKS_SEEN_MAX 256

static void kept_fill(struct wal_kept *kept, const struct wal_crossing *crossing)
{
	kept->size = crossing->size < WAL_JOIN_SIZE_MAX ? crossing->size : WAL_JOIN_SIZE_MAX;
	memcpy(kept->data, crossing->first, kept->size);
}

/* What is needed while a segment is walked, and is not part of what it says. */
struct maker {
	struct wal_summary *summary;
	struct wal_changes *changes;
	int xids_seen;	   /* records of transactions, up to XIDS_SEEN_MAX */
	uint32_t xid_seen; /* the youngest of those */
	int lock_count;
	struct wal_lock locks[LOCKS_SEEN_MAX];
};

static void time_note(struct wal_summary *summary, int64_t time_us)
{
	bool is_first = summary->commits + summary->aborts == 0;

	if (is_first || time_us < summary->time_min_us)
		summary->time_min_us = time_us;
	if (is_first || time_us > summary->time_max_us)
		summary->time_max_us = time_us;
}

static void xid_note(struct wal_summary *summary, uint32_t xid)
{
	if (xid == 0)
		return;
	if (summary->xid_min == 0 || xid_precedes(xid, summary->xid_min))
		summary->xid_min = xid;
	if (summary->xid_max == 0 || xid_precedes(summary->xid_max, xid))
		summary->xid_max = xid;
}

static void restore_point_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->restore_point_count++;

	if (at >= WAL_RESTORE_POINTS_MAX)
		return;
	summary->restore_points[at].lsn = event->lsn;
	summary->restore_points[at].time_us = event->time_us;
	memcpy(summary->restore_points[at].name, event->name, strlen(event->name));
}

void wal_tablespace_take(const struct wal_event *event, struct wal_tablespace *tablespace)
{
	tablespace->lsn = event->lsn;
	tablespace->previous = event->previous;
	tablespace->oid = event->tablespace;
	memcpy(tablespace->path, event->path, strlen(event->path) + 1);
}

static void tablespace_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->tablespace_count++;

	if (at < WAL_TABLESPACES_MAX)
		wal_tablespace_take(event, &summary->tablespaces[at]);
}

static void database_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->database_count++;

	if (at >= WAL_DATABASES_MAX)
		return;
	summary->databases[at].lsn = event->lsn;
	summary->databases[at].xid = event->xid;
	summary->databases[at].oid = event->database;
	summary->databases[at].is_dropped = event->kind == WAL_DATABASE_DROP;
}

void wal_drop_take(const struct wal_event *event, struct wal_drop *drop)
{
	memset(drop, 0, sizeof(*drop));
	drop->lsn = event->lsn;
	drop->time_us = event->time_us;
	drop->xid = event->xid;
	drop->database = event->database;
	drop->file_count = event->files.count;
	for (uint32_t i = 0; i < event->files.shown && i < WAL_DROP_FILES_MAX; i++)
		drop->files[i] = wal_event_file(event, i);
	for (uint32_t i = 0; i < event->statistics.shown; i++) {
		uint32_t relation;

		if (!wal_event_dropped_relation(event, i, &relation))
			continue;
		if (drop->relation_count < WAL_DROP_RELATIONS_MAX)
			drop->relations[drop->relation_count] = relation;
		drop->relation_count++;
	}
}

static void drop_note(struct wal_summary *summary, const struct wal_event *event)
{
	if (event->files.count == 0) /* views, and tables that were temporary */
		return;
	int at = summary->drop_count++;

	if (at < WAL_DROPS_MAX)
		wal_drop_take(event, &summary->drops[at]);
}

static void truncate_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->truncate_count++;

	if (at >= WAL_TRUNCATES_MAX)
		return;
	struct wal_truncate *truncate = &summary->truncates[at];

	truncate->lsn = event->lsn;
	truncate->xid = event->xid;
	truncate->database = event->database;
	truncate->relation_count = event->relations.count;
	for (uint32_t i = 0; i < event->relations.shown && i < WAL_DROP_RELATIONS_MAX; i++)
		truncate->relations[i] = wal_event_relation(event, i);
}

static void file_truncation_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->file_truncation_count++;

	if (at >= WAL_FILE_TRUNCATIONS_MAX)
		return;
	summary->file_truncations[at].lsn = event->lsn;
	summary->file_truncations[at].xid = event->xid;
	summary->file_truncations[at].file = event->file;
	summary->file_truncations[at].blocks = event->blocks;
}

static void lock_note(struct maker *maker, const struct wal_lock *lock)
{
	for (int i = 0; i < maker->lock_count; i++)
		if (memcmp(&maker->locks[i], lock, sizeof(*lock)) == 0)
			return;
	maker->summary->lock_count++;
	if (maker->lock_count < LOCKS_SEEN_MAX)
		maker->locks[maker->lock_count++] = *lock;
}

static void locks_note(struct maker *maker, const struct wal_event *event)
{
	for (uint32_t i = 0; i < event->locks.shown; i++) {
		struct wal_lock lock = wal_event_lock(event, i);

		lock_note(maker, &lock);
	}
}

static void checkpoint_note(struct wal_summary *summary, const struct wal_event *event)
{
	struct wal_checkpoint *checkpoint = &summary->checkpoint;

	summary->checkpoint_count++;
	checkpoint->lsn = event->lsn;
	checkpoint->redo = event->redo;
	checkpoint->next_xid = event->next_xid;
	checkpoint->time_us = event->time_us;
	checkpoint->timeline = event->timeline;
	checkpoint->previous_timeline = event->previous_timeline;
	checkpoint->is_shutdown = event->is_shutdown;
}

static void recovery_end_note(struct wal_summary *summary, const struct wal_event *event)
{
	summary->recovery_end.lsn = event->lsn;
	summary->recovery_end.time_us = event->time_us;
	summary->recovery_end.timeline = event->timeline;
	summary->recovery_end.previous_timeline = event->previous_timeline;
}

/* Transactions get their numbers in order, so what is not younger than those that are at work when the segment begins
 * began before it, but for a few. */
static void old_end_note(struct maker *maker, const struct wal_event *event)
{
	struct wal_summary *summary = maker->summary;

	if (event->xid == 0 || xid_precedes(maker->xid_seen, event->xid))
		return;
	int at = summary->end_count++;
	if (at >= WAL_ENDS_MAX)
		return;
	struct wal_end *end = &summary->ends[at];

	end->lsn = event->lsn;
	end->time_us = event->time_us;
	end->xid = event->xid;
	end->is_abort = event->kind == WAL_ABORT;
	end->subtransaction_count = event->subtransactions.shown;
	for (uint32_t i = 0; i < event->subtransactions.shown; i++) {
		uint32_t xid = wal_event_xid(event, i);

		if (i == 0 || xid_precedes(xid, end->subtransaction_min))
			end->subtransaction_min = xid;
		if (i == 0 || xid_precedes(end->subtransaction_max, xid))
			end->subtransaction_max = xid;
	}
}

static void transaction_note(struct maker *maker, const struct wal_event *event)
{
	struct wal_summary *summary = maker->summary;

	time_note(summary, event->time_us);
	xid_note(summary, event->xid);
	old_end_note(maker, event);
	if (event->kind == WAL_ABORT) {
		summary->aborts++;
		return;
	}
	summary->commits++;
	summary->last_commit = event->lsn;
	summary->last_commit_time_us = event->time_us;
	summary->last_commit_xid = event->xid;
	drop_note(summary, event);
}

static void event_count(struct maker *maker, const struct wal_event *event)
{
	struct wal_summary *summary = maker->summary;

	switch (event->kind) {
	case WAL_COMMIT:
	case WAL_ABORT:
		transaction_note(maker, event);
		break;
	case WAL_RESTORE_POINT:
		restore_point_note(summary, event);
		break;
	case WAL_TABLESPACE:
		tablespace_note(summary, event);
		break;
	case WAL_DATABASE:
	case WAL_DATABASE_DROP:
		database_note(summary, event);
		break;
	case WAL_TRUNCATE:
		truncate_note(summary, event);
		break;
	case WAL_FILE_TRUNCATE:
		file_truncation_note(summary, event);
		break;
	case WAL_LOCK:
		locks_note(maker, event);
		break;
	case WAL_CHECKPOINT:
		checkpoint_note(summary, event);
		break;
	case WAL_RECOVERY_END:
		recovery_end_note(summary, event);
		break;
	default: /* rows are counted by wal_changes_note() */
		break;
	}
}

static bool event_note(void *context, const struct wal_event *event, struct error *err)
{
	struct maker *maker = context;
	struct wal_summary *summary = maker->summary;

	(void) err;
	if (summary->first_record == 0) {
		summary->first_record = event->lsn;
		summary->previous_record = event->previous;
	}
	summary->last_record = event->lsn;
	if (event->xid != 0 && maker->xids_seen < XIDS_SEEN_MAX) {
		if (maker->xids_seen++ == 0 || xid_precedes(maker->xid_seen, event->xid))
			maker->xid_seen = event->xid;
	}
	event_count(maker, event);
	wal_changes_note(maker->changes, event);
	return true;
}

/* The head may be the last bytes of a segment switch, whose record is a mere header of which at most 16 bytes can lie
 * here; then nothing follows, and that is no early end. What says so lies in the last 8 bytes. */
static bool head_is_switch(const struct wal_summary *summary)
{
	uint8_t header[WAL_RECORD_HEADER_SIZE] = {0};
	size_t size = summary->head.size;

	if (summary->head_end == 0 || (size != 8 && size != 16))
		return false;
	memcpy(header + sizeof(header) - size, summary->head.data, size);
	return wal_record_is_switch(header);
}

static void crossings_note(struct wal_summary *summary, const struct wal_walk *walk)
{
	const struct wal_crossing *head = wal_walk_head(walk), *tail = wal_walk_tail(walk);
	uint64_t segment_end = summary->start + summary->segment_size;

	summary->ends_early = wal_walk_ended(walk, &summary->end);
	if (head != NULL) {
		summary->head_size = head->total;
		summary->head_end = head->end;
		kept_fill(&summary->head, head);
	}
	if (tail != NULL) {
		if (summary->first_record == 0)
			summary->first_record = tail->lsn;
		summary->tail_record = tail->lsn;
		summary->tail_total = tail->total;
		summary->tail_size = tail->size;
		kept_fill(&summary->tail, tail);
	}
	if (summary->ends_early && summary->end == summary->head_end && head_is_switch(summary)) {
		summary->ends_early = false;
		summary->end = segment_end;
	}
}

static bool drops_something(const struct wal_summary *summary, uint32_t xid)
{
	for (int i = 0; i < summary->drop_count && i < WAL_DROPS_MAX; i++)
		if (summary->drops[i].xid == xid)
			return true;
	for (int i = 0; i < summary->truncate_count && i < WAL_TRUNCATES_MAX; i++)
		if (summary->truncates[i].xid == xid)
			return true;
	return false;
}

/* Those first that say which relation was dropped or emptied. */
static void locks_choose(const struct maker *maker)
{
	struct wal_summary *summary = maker->summary;
	int kept = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < maker->lock_count && kept < WAL_LOCKS_MAX; i++)
			if (drops_something(summary, maker->locks[i].xid) == (pass == 0))
				summary->locks[kept++] = maker->locks[i];
}

static void walk_cleanup(struct wal_walk **walk)
{
	wal_walk_close(*walk);
}

static void changes_cleanup(struct wal_changes **changes)
{
	wal_changes_close(*changes);
}

static void top_cleanup(struct wal_top **top)
{
	wal_top_close(*top);
}

static bool segment_summarize(struct bytes content, const struct wal_segment *segment, struct wal_summary *summary,
			      struct error *err)
{
	struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;
	struct wal_top *top __attribute__((cleanup(top_cleanup))) = NULL;
	struct wal_changes *changes __attribute__((cleanup(changes_cleanup))) = NULL;
	struct maker maker = {.summary = summary};

	TRY(wal_top_open(&top, err));
	TRY(wal_changes_open(wal_top_note, top, &changes, err));
	maker.changes = changes;
	TRY(wal_walk_open(event_note, &maker, &walk, err));
	TRY(wal_walk_segment(walk, content, segment, err));
	crossings_note(summary, walk);
	locks_choose(&maker);
	wal_changes_finish(changes);
	summary->rows = wal_changes_total(changes, &summary->other_changes);
	wal_top_fill(top, summary);
	return true;
}

bool wal_summary_make(struct bytes content, const struct wal_segment *segment, struct wal_summary *summary,
		      struct error *err)
{
	memset(summary, 0, sizeof(*summary));
	summary->understood = wal_magic_version(segment->magic) != 0;
	summary->magic = segment->magic;
	summary->segment_size = segment->segment_size;
	summary->page_size = segment->page_size;
	summary->start = segment->start;
	return !summary->understood || segment_summarize(content, segment, summary, err);
}

/* Bytes of records that fit in a segment which holds nothing but the middle of one record. */
static uint64_t segment_capacity(const struct wal_summary *summary)
{
	uint64_t pages = summary->segment_size / summary->page_size;

	return summary->segment_size - WAL_PAGE_HEADER_LONG_SIZE - (pages - 1) * WAL_PAGE_HEADER_SIZE;
}

/* Do they belong together: the same record's beginning and its end, with only its middle between them? */
bool wal_summary_fits(const struct wal_summary *before, const struct wal_summary *after)
{
	if (!before->understood || !after->understood || before->tail_record == 0 || after->head_end == 0 ||
	    before->magic != after->magic || before->segment_size != after->segment_size ||
	    before->page_size != after->page_size || after->start <= before->start ||
	    (after->start - before->start) % before->segment_size != 0)
		return false;
	uint64_t between = (after->start - before->start) / before->segment_size - 1;

	return between <= WAL_RECORD_SIZE_MAX / WAL_SEGMENT_SIZE_MIN + 1 &&
	       before->tail_total == before->tail_size + between * segment_capacity(before) + after->head_size;
}

bool wal_summary_join(const struct wal_summary *before, const struct wal_summary *after, struct wal_event *event)
{
	uint8_t *record = event->joined;
	struct error ignored;

	if (!wal_summary_fits(before, after))
		return false;
	size_t size = before->tail.size;
	memcpy(record, before->tail.data, size);
	if (size == before->tail_size && after->start - before->start == before->segment_size) {
		memcpy(record + size, after->head.data, after->head.size);
		size += after->head.size;
	}
	if (!wal_record_decode(before->magic, bytes_of(record, size), before->tail_total, event, &ignored))
		return false;
	event->lsn = before->tail_record;
	event->end = wal_record_is_switch(record) ? after->start + after->segment_size : after->head_end;
	return true;
}

uint64_t wal_summary_last_record(const struct wal_summary *const *summaries, int count)
{
	bool tail_is_complete = false; /* what is unfinished at the end of this one was finished in a later one */

	for (int i = count - 1; i >= 0; i--) {
		const struct wal_summary *summary = summaries[i];

		if (!summary->understood)
			return 0;
		if (tail_is_complete && summary->tail_record != 0)
			return summary->tail_record;
		if (!tail_is_complete && summary->last_record != 0)
			return summary->last_record;
		if (tail_is_complete && (summary->head_size == 0 || summary->head_end != 0))
			return 0;
		tail_is_complete = tail_is_complete || summary->head_end != 0;
	}
	return 0;
}
