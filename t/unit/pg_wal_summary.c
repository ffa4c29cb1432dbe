/* What WAL segments say about themselves, on WAL that wal_writer.h lays out, and joining it. */
#include "pg/wal_summary_json.h"

#include "wal_writer.h"

/* Each segment alone, joined with the next: together they say what the walk of all of them says. */
struct sum {
	uint32_t commits, aborts;
	int restore_points, tablespaces, joined, wrong;
	uint64_t last_record;
};

/* Through JSON and back nothing is lost. */
static bool json_pass(struct wal_summary *summary)
{
	json_t *object JSON_CLEANUP = json_object();
	struct wal_summary *again = malloc(sizeof(*again));
	struct error err;
	bool same = wal_summary_encode(summary, object, &err) && wal_summary_decode(object, again, &err) &&
		    memcmp(again, summary, sizeof(*again)) == 0;

	if (same)
		*summary = *again;
	free(again);
	return same;
}

static void event_count(struct sum *sum, const struct wal_event *event)
{
	sum->commits += event->kind == WAL_COMMIT;
	sum->aborts += event->kind == WAL_ABORT;
	sum->restore_points += event->kind == WAL_RESTORE_POINT;
	sum->tablespaces += event->kind == WAL_TABLESPACE;
}

static const struct wal_event *event_at(const struct writer *writer, uint64_t lsn)
{
	for (int i = 0; i < writer->count; i++)
		if (writer->events[i].lsn == lsn)
			return &writer->events[i];
	return NULL;
}

/* The last record that ends at or before `lsn`. */
static uint64_t last_before(const struct writer *writer, uint64_t lsn)
{
	uint64_t last = 0;

	for (int i = 0; i < writer->count && writer->events[i].end <= lsn; i++)
		last = writer->events[i].lsn;
	return last;
}

static void list_complete(struct wal_items *list, const struct wal_items *written)
{
	if (list->count == 0)
		list->count = written->count;
}

/* What lies behind what is kept. */
static void cut_complete(struct wal_event *event, const struct wal_event *written)
{
	if (!event->is_cut)
		return;
	event->is_cut = false;
	if (event->xid == 0)
		event->xid = written->xid;
	if (event->rows == 0)
		event->rows = written->rows;
	list_complete(&event->subtransactions, &written->subtransactions);
	list_complete(&event->files, &written->files);
	list_complete(&event->statistics, &written->statistics);
	if (!event->path_is_cut || strncmp(event->path, written->path, strlen(event->path)) != 0)
		return;
	event->path_is_cut = false;
	strcpy(event->path, written->path);
}

static void summaries_add(const struct writer *writer, unsigned count, struct sum *sum)
{
	struct wal_summary *summaries = calloc(count, sizeof(*summaries));
	const struct wal_summary *chain[SEGMENTS];
	struct wal_event event;
	struct error err;

	for (unsigned i = 0; i < count; i++) {
		struct wal_segment segment = segment_of(writer, i);

		chain[i] = &summaries[i];
		if (!wal_summary_make(content_of(writer, i), &segment, &summaries[i], &err) ||
		    !json_pass(&summaries[i]))
			sum->wrong++;
		sum->commits += summaries[i].commits;
		sum->aborts += summaries[i].aborts;
		sum->restore_points += summaries[i].restore_point_count;
		sum->tablespaces += summaries[i].tablespace_count;
		for (unsigned j = 0; j < i; j++)
			if (wal_summary_join(&summaries[j], &summaries[i], &event)) {
				const struct wal_event *written = event_at(writer, event.lsn);

				sum->joined++;
				event_count(sum, &event);
				/* Of a prepared transaction: it may lie behind what is kept. */
				if (written != NULL)
					cut_complete(&event, written);
				sum->wrong += written == NULL || !event_equal(written, &event);
			}
		sum->last_record = wal_summary_last_record(chain, (int) i + 1);
		if (sum->last_record != last_before(writer, BASE + (i + 1) * (uint64_t) SEGMENT))
			sum->wrong++;
	}
	free(summaries);
}

static void summaries_check(const struct writer *writer, const char *what)
{
	struct sum sum = {.commits = 0}, written = {.commits = 0};

	for (int i = 0; i < writer->count; i++)
		event_count(&written, &writer->events[i]);
	summaries_add(writer, segments_begun(writer), &sum);
	ok(sum.wrong == 0 && sum.commits == written.commits && sum.aborts == written.aborts &&
		   sum.restore_points == written.restore_points && sum.tablespaces == written.tablespaces,
	   "%s: summaries and %d joins count %u of %u commits, %u of %u aborts, %d of %d restore points, "
	   "%d of %d tablespaces; %d wrong",
	   what, sum.joined, sum.commits, written.commits, sum.aborts, written.aborts, sum.restore_points,
	   written.restore_points, sum.tablespaces, written.tablespaces, sum.wrong);
}

static const char *long_path(size_t length)
{
	static char path[WAL_PATH_SIZE];

	memset(path, 'x', length);
	path[0] = '/';
	path[length] = '\0';
	return path;
}

static void join_test(void)
{
	struct part small = {.subxacts = 5, .prepared = 7}, large = {.subxacts = 100, .stats = 20, .prepared = 8};

	for (unsigned left = 8; left <= 1200; left += left < 48 ? 8 : 400) {
		struct writer *writer = writer_open(MAGIC_18);
		char what[64];

		fill_to(writer, BASE + SEGMENT - left);
		append_transaction(writer, true, left % 3 ? &small : &large);
		fill_to(writer, BASE + 2 * SEGMENT - left);
		append_restore_point(writer, "at the edge");
		fill_to(writer, BASE + 3 * SEGMENT - left);
		append_transaction(writer, false, &large);
		fill_to(writer, BASE + 4 * SEGMENT - left);
		append_tablespace(writer, 16400, left % 3 ? "/short" : long_path(700));
		fill_to(writer, BASE + 5 * SEGMENT - left);
		append_switch(writer);
		fill(writer, writer->position + SEGMENT / 3);
		snprintf(what, sizeof(what), "records that begin %u bytes before the segment's end", left);
		summaries_check(writer, what);
		writer_close(writer);
	}
}

/* The transaction of a two-phase commit stands at its end; when the middle was not kept, it cannot be told. */
static void join_cut_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct part part = {.subxacts = 350, .prepared = 4242, .has_origin = true};
	struct wal_summary before, after;
	struct wal_segment segment = segment_of(writer, 0);
	struct wal_event event;
	struct error err;

	fill_to(writer, BASE + SEGMENT - 1032);
	append_transaction(writer, true, &part);
	const struct wal_event *written = &writer->events[writer->count - 1];
	bool made = wal_summary_make(content_of(writer, 0), &segment, &before, &err);

	segment = segment_of(writer, 1);
	ok(made && wal_summary_make(content_of(writer, 1), &segment, &after, &err) &&
		   wal_summary_join(&before, &after, &event) && event.kind == WAL_COMMIT && event.xid == 0 &&
		   event.lsn == written->lsn && event.end == written->end && event.time_us == written->time_us,
	   "a commit larger than what is kept joins as one of an unknown transaction");
	writer_close(writer);
}

static void join_huge_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);

	fill(writer, BASE + SEGMENT / 2);
	append_other(writer, 3 * SEGMENT);
	append_simple_commit(writer);
	append_restore_point(writer, "\xFF\xFE latin");
	fill(writer, BASE + 6 * SEGMENT);
	summaries_check(writer, "a record of more than three segments");
	writer_close(writer);
}

/* A switch that begins in one segment and ends in the next leaves all of that unused: that is no early end. */
static void switch_test(void)
{
	int wrong = 0;

	for (unsigned left = 8; left <= 400; left += left < 32 ? 8 : 92) {
		struct writer *writer = writer_open(MAGIC_15);
		struct wal_summary summary;
		struct seen seen;
		struct error err;
		uint64_t end;

		fill_to(writer, BASE + SEGMENT - left);
		append_switch(writer);
		unsigned last = segments_begun(writer) - 1;
		struct wal_segment segment = segment_of(writer, last);

		wrong += !wal_summary_make(content_of(writer, last), &segment, &summary, &err) || summary.ends_early ||
			 summary.end != BASE + (last + 1) * (uint64_t) SEGMENT || last != (left < 24 ? 1 : 0);
		append_simple_commit(writer);
		wrong += !walk(writer, 0, last + 2, &seen, &end) || seen.wrong != 0 || seen.count != writer->count;
		writer_close(writer);
	}
	is_number(wrong, 0, "a segment that was switched does not end early, wherever the switch lies");
}

static void summary_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_segment segment = segment_of(writer, 0);
	struct wal_summary summary;
	struct error err;

	for (int i = 0; i < 70; i++)
		append_restore_point(writer, "many");
	append_simple_commit(writer);
	uint64_t commit = writer->previous;
	append_other(writer, 10);
	ok(wal_summary_make(content_of(writer, 0), &segment, &summary, &err) && summary.restore_point_count == 70 &&
		   json_pass(&summary),
	   "more restore points than are kept are counted");
	ok(summary.ends_early && summary.end == writer->position && summary.last_record == writer->previous &&
		   summary.first_record == BASE + 40 && summary.previous_record == BASE - 100,
	   "where records begin and end in it");
	ok(summary.commits == 1 && summary.last_commit == commit && summary.last_commit_xid == 70 &&
		   summary.time_min_us == NOON + 70 + POSTGRES_EPOCH_US && summary.time_max_us == summary.time_min_us &&
		   summary.last_commit_time_us == summary.time_min_us,
	   "and its last commit");
	memset(writer->wal, 0xA5, SEGMENT);
	ok(wal_summary_make(content_of(writer, 0), &segment, &summary, &err) && summary.ends_early &&
		   summary.end == BASE && summary.last_record == 0,
	   "a summary of noise is made, and says that there is nothing");
	writer_close(writer);
}

/* More than are kept, and what paths can hold; the worst of all must fit into an object's meta section. */
static void tablespaces_test(void)
{
	static const char *const paths[] = {"/a \"quoted\" one", "/caf\xE9", "/with\nlines", "/\xC3\xA9", "/\\"};
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_segment segment = segment_of(writer, 0);
	struct wal_summary *summary = malloc(sizeof(*summary));
	json_t *object JSON_CLEANUP = json_object();
	struct error err;
	BUF(text, 64 * KiB);
	char path[WAL_PATH_SIZE];

	for (uint32_t i = 0; i < 5; i++)
		append_tablespace(writer, i, paths[i]);
	ok(wal_summary_make(content_of(writer, 0), &segment, summary, &err) && summary->tablespace_count == 5 &&
		   json_pass(summary) && strcmp(summary->tablespaces[1].path, paths[1]) == 0 &&
		   summary->tablespaces[1].previous == summary->tablespaces[0].lsn && summary->tablespaces[4].oid == 4,
	   "tablespaces with any path pass through JSON");
	writer_close(writer);
	writer = writer_open(MAGIC_15);
	memset(path, 1, sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	for (int i = 0; i < 20; i++)
		append_tablespace(writer, 1, path);
	memset(path, 1, 63);
	path[63] = '\0';
	for (int i = 0; i < 70; i++)
		append_restore_point(writer, path);
	segment = segment_of(writer, 0);
	bool is_encoded = wal_summary_make(content_of(writer, 0), &segment, summary, &err) && json_pass(summary) &&
			  wal_summary_encode(summary, object, &err) && json_encode(object, &text, &err);
	ok(is_encoded && summary->tablespace_count == 20 && text.size < 60 * KiB,
	   "more than are kept are counted; the largest summary has %d bytes", (int) text.size);
	free(summary);
	writer_close(writer);
}

/* Members that may be missing alone; of the others each has its list or its count beside it, or is always there. */
static bool is_optional(const char *key)
{
	static const char *const keys[] = {"head",    "tail",	 "recovery_end", "inserts",
					   "updates", "deletes", "other_changes"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* Each member in turn: of another type, missing, and when it is a list each thing in its first row of another type. */
static void members_harm(json_t *whole, struct wal_summary *summary)
{
	int accepted = 0, fields = 0;
	struct error err;
	const char *key;
	json_t *value;

	json_object_foreach(whole, key, value)
	{
		json_t *damaged JSON_CLEANUP = json_copy(whole), *deep JSON_CLEANUP = json_deep_copy(whole);
		json_t *row = json_array_get(json_object_get(deep, key), 0);

		fields++;
		json_object_set_new(damaged, key, json_real(1.5));
		accepted += wal_summary_decode(damaged, summary, &err);
		json_object_del(damaged, key);
		accepted += !is_optional(key) && wal_summary_decode(damaged, summary, &err);
		for (size_t i = 0; i < json_array_size(row); i++) {
			json_t *number = json_deep_copy(json_array_get(row, i));

			json_array_set_new(row, i, json_real(1.5));
			accepted += wal_summary_decode(deep, summary, &err);
			json_array_set_new(row, i, number);
		}
		if (row != NULL)
			accepted += json_array_append_new(json_object_get(deep, key), json_integer(7)) != 0 ||
				    wal_summary_decode(deep, summary, &err);
	}
	ok(accepted == 0 && fields >= 40, "none of its %d members may be missing or of another type (%d accepted)",
	   fields, accepted);
}

static struct wal_summary *summary_of(const struct writer *writer)
{
	struct wal_summary *summary = malloc(sizeof(*summary));
	struct wal_segment segment = segment_of(writer, 0);
	struct error err;

	if (!wal_summary_make(content_of(writer, 0), &segment, summary, &err) || !json_pass(summary))
		abort();
	return summary;
}

static bool change_equal(const struct wal_change *change, uint32_t xid, uint32_t number, const struct wal_rows *rows)
{
	return change->xid == xid && change->file.number == number && memcmp(&change->rows, rows, sizeof(*rows)) == 0;
}

static void rows_append(struct writer *writer, enum wal_event_kind kind, uint32_t xid, uint32_t number, int count)
{
	for (int i = 0; i < count; i++)
		append_rows(writer, kind, xid, (struct relation_file){1663, 5, number}, 1);
}

/* Who changed how much where: subtransactions belong to whom they committed in, what was rolled back to nobody. */
static void changes_test(void)
{
	static const uint32_t subxacts[] = {901, 902};
	struct writer *writer = writer_open(MAGIC_15);
	struct part whole = {.xid = 900, .subxacts = 2, .subxact_data = subxacts}, sub = {.xid = 903};

	rows_append(writer, WAL_DELETE, 901, 20000, 30);
	rows_append(writer, WAL_UPDATE, 902, 20000, 12);
	rows_append(writer, WAL_DELETE, 903, 20000, 50);
	append_rows(writer, WAL_INSERT, 900, (struct relation_file){1663, 5, 20001}, 1200);
	rows_append(writer, WAL_DELETE, 904, 20002, 20);
	rows_append(writer, WAL_DELETE, 900, 1259, 100);
	rows_append(writer, WAL_UPDATE, 905, 20003, 9);
	append_transaction(writer, false, &sub);
	append_transaction(writer, true, &whole);
	uint64_t commit = writer->previous;
	struct wal_summary *summary = summary_of(writer);

	ok(summary->rows.inserts == 1200 && summary->rows.updates == 21 && summary->rows.deletes == 200 &&
		   summary->other_changes == 0,
	   "all rows are counted");
	ok(summary->change_count == 3 &&
		   change_equal(&summary->changes[0], 900, 20000, &(struct wal_rows){0, 12, 30}) &&
		   change_equal(&summary->changes[1], 904, 20002, &(struct wal_rows){0, 0, 20}) &&
		   change_equal(&summary->changes[2], 900, 20001, &(struct wal_rows){1200, 0, 0}),
	   "the changes are by transaction, the heaviest first; few, rolled back and of catalogs are left out");
	ok(summary->changes[0].commit == commit && summary->changes[0].commit_time_us == summary->last_commit_time_us &&
		   summary->changes[1].commit == 0,
	   "and when it committed");
	ok(summary->relation_count == 4 && summary->relations[0].file.number == 20000 &&
		   summary->relations[0].rows.deletes == 30 && summary->relations[3].file.number == 20001,
	   "relations likewise");
	free(summary);
	writer_close(writer);
}

static void drops_append(struct writer *writer, int count)
{
	static const uint32_t files[] = {1663, 5, 20000, 1663, 5, 20001}, statistics[] = {2, 5, 16500, 3, 5, 16501};
	struct part part = {
		.files = 2, .file_data = files, .stats = 2, .stat_data = statistics, .xid = 900, .invalidations = 3};

	for (int i = 0; i < count; i++)
		append_transaction(writer, true, &part);
}

/* What was dropped, emptied, made and removed. */
static void drops_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct part view = {.stats = 1}, undone = {.files = 3};
	const struct relation_file file = {1663, 5, 20009};

	append_locks(writer, 899, 16384, 30);
	append_locks(writer, 900, 16500, 2);
	append_locks(writer, 900, 16500, 2);
	append_truncate(writer, 900, 3);
	append_file_truncate(writer, 0, file);
	append_database(writer, 16700, false);
	append_database(writer, 16700, true);
	drops_append(writer, 1);
	append_transaction(writer, true, &view);
	append_transaction(writer, false, &undone);
	struct wal_summary *summary = summary_of(writer);
	const struct wal_drop *drop = &summary->drops[0];

	ok(summary->drop_count == 1 && drop->xid == 900 && drop->database == 0xDDDDDDDD && drop->file_count == 2 &&
		   drop->files[1].number == 20001 && drop->relation_count == 1 && drop->relations[0] == 16500 &&
		   drop->time_us > 0,
	   "a commit that drops files, and of which relation; neither a view nor what was rolled back");
	ok(summary->lock_count == 32 && summary->locks[0].xid == 900 && summary->locks[0].relation == 16500 &&
		   summary->locks[1].relation == 16501 && summary->locks[2].xid == 899 &&
		   summary->locks[WAL_LOCKS_MAX - 1].relation == 16384 + WAL_LOCKS_MAX - 3,
	   "locks, each once, of who drops something first");
	ok(summary->truncate_count == 1 && summary->truncates[0].xid == 900 && summary->truncates[0].database == 5 &&
		   summary->truncates[0].relation_count == 3 && summary->truncates[0].relations[2] == 16386,
	   "TRUNCATE");
	ok(summary->file_truncation_count == 1 && summary->file_truncations[0].blocks == 7 &&
		   relation_file_equal(&summary->file_truncations[0].file, &file),
	   "a file that was cut");
	ok(summary->database_count == 2 && !summary->databases[0].is_dropped && summary->databases[1].is_dropped &&
		   summary->databases[1].oid == 16700 && summary->databases[1].xid == 6,
	   "databases made and dropped");
	free(summary);
	writer_close(writer);
}

/* Checkpoints, ends of recovery, and transactions in their order, which goes round. */
static void transactions_test(void)
{
	static const uint32_t subxacts[] = {0xFFFFFFF1, 5, 0xFFFFFFF8};
	struct writer *writer = writer_open(MAGIC_15);
	struct part old = {.xid = 0xFFFFFFF0, .subxacts = 3, .subxact_data = subxacts}, young = {.xid = 20},
		    first = {.xid = 12};

	append_checkpoint(writer, false);
	append_checkpoint(writer, true);
	uint64_t checkpoint = writer->previous;
	append_recovery_end(writer);
	rows_append(writer, WAL_INSERT, 12, 20000, 20);
	append_transaction(writer, true, &young);
	append_transaction(writer, false, &old);
	uint64_t aborted = writer->previous;
	append_transaction(writer, true, &first);
	struct wal_summary *summary = summary_of(writer);

	ok(summary->xid_min == 0xFFFFFFF0 && summary->xid_max == 20, "the oldest and the youngest transaction");
	ok(summary->end_count == 2 && summary->ends[0].lsn == aborted && summary->ends[0].is_abort &&
		   summary->ends[0].xid == 0xFFFFFFF0 && summary->ends[0].subtransaction_count == 3 &&
		   summary->ends[0].subtransaction_min == 0xFFFFFFF1 && summary->ends[0].subtransaction_max == 5 &&
		   summary->ends[1].xid == 12 && !summary->ends[1].is_abort,
	   "the ends of those that began earlier");
	ok(summary->checkpoint_count == 2 && summary->checkpoint.lsn == checkpoint && summary->checkpoint.is_shutdown &&
		   summary->checkpoint.timeline == 3 && summary->checkpoint.previous_timeline == 2 &&
		   summary->checkpoint.next_xid == UINT64_C(0x500000123) &&
		   summary->checkpoint.time_us == INT64_C(1700000000000000),
	   "the last checkpoint");
	ok(summary->recovery_end.lsn != 0 && summary->recovery_end.timeline == 3 &&
		   summary->recovery_end.previous_timeline == 2 &&
		   summary->recovery_end.time_us == NOON + POSTGRES_EPOCH_US,
	   "the end of recovery");
	free(summary);
	writer_close(writer);
}

static void lists_fill(struct wal_summary *summary)
{
	/* Nothing takes more room in JSON than ones: numbers all their digits, paths and names as hexadecimal. */
	memset(summary->restore_points, 0xFF, sizeof(summary->restore_points));
	memset(summary->tablespaces, 0xFF, sizeof(summary->tablespaces));
	memset(summary->databases, 0xFF, sizeof(summary->databases));
	memset(summary->drops, 0xFF, sizeof(summary->drops));
	memset(summary->truncates, 0xFF, sizeof(summary->truncates));
	memset(summary->file_truncations, 0xFF, sizeof(summary->file_truncations));
	memset(summary->locks, 0xFF, sizeof(summary->locks));
	memset(summary->changes, 0x7F, sizeof(summary->changes));
	memset(summary->relations, 0x7F, sizeof(summary->relations));
	memset(summary->ends, 0xFF, sizeof(summary->ends));
	for (int i = 0; i < WAL_RESTORE_POINTS_MAX; i++) {
		summary->restore_points[i].time_us = INT64_MIN;
		summary->restore_points[i].name[63] = '\0';
	}
	for (int i = 0; i < WAL_TABLESPACES_MAX; i++) {
		summary->tablespaces[i].path[0] = '/';
		summary->tablespaces[i].path[WAL_PATH_SIZE - 1] = '\0';
	}
	for (int i = 0; i < WAL_DATABASES_MAX; i++)
		summary->databases[i].is_dropped = false;
	for (int i = 0; i < WAL_DROPS_MAX; i++) {
		summary->drops[i].time_us = INT64_MIN;
		summary->drops[i].file_count = summary->drops[i].relation_count = INT32_MAX;
	}
	for (int i = 0; i < WAL_TRUNCATES_MAX; i++)
		summary->truncates[i].relation_count = INT32_MAX;
	for (int i = 0; i < WAL_FILE_TRUNCATIONS_MAX; i++)
		summary->file_truncations[i].lsn = summary->start + summary->segment_size - 1;
	for (int i = 0; i < WAL_CHANGES_MAX; i++) {
		summary->changes[i].commit = summary->start + summary->segment_size - 1;
		summary->changes[i].commit_time_us = INT64_MIN;
	}
	for (int i = 0; i < WAL_ENDS_MAX; i++) {
		summary->ends[i].lsn = summary->start + summary->segment_size - 1;
		summary->ends[i].time_us = INT64_MIN;
		summary->ends[i].is_abort = true;
	}
}

/* Every member at its longest: what a host of the longest name adds must still fit into the meta section of an object,
 * and one request should read both. */
static void bounds_test(void)
{
	struct wal_summary *summary = malloc(sizeof(*summary));
	json_t *object JSON_CLEANUP = json_object();
	struct error err;
	BUF(text, 64 * KiB);

	memset(summary, 0xFF, sizeof(*summary));
	summary->understood = true;
	summary->ends_early = false;
	summary->segment_size = 1u << 30;
	summary->page_size = 65536;
	summary->start = UINT64_C(0xFFFFFFFF00000000) - summary->segment_size;
	summary->time_min_us = summary->time_max_us = summary->last_commit_time_us = INT64_MIN;
	summary->head.size = summary->tail.size = WAL_JOIN_SIZE_MAX;
	summary->checkpoint.time_us = summary->recovery_end.time_us = INT64_MIN;
	summary->checkpoint.is_shutdown = false;
	summary->rows = (struct wal_rows){INT64_MAX, INT64_MAX, INT64_MAX};
	summary->other_changes = INT64_MAX;
	summary->restore_point_count = summary->tablespace_count = summary->checkpoint_count = INT32_MAX;
	summary->database_count = summary->drop_count = summary->truncate_count = INT32_MAX;
	summary->file_truncation_count = summary->lock_count = summary->change_count = INT32_MAX;
	summary->relation_count = summary->end_count = INT32_MAX;
	lists_fill(summary);
	struct wal_summary *again = malloc(sizeof(*again));
	bool is_passed = wal_summary_encode(summary, object, &err) && json_encode(object, &text, &err) &&
			 wal_summary_decode(object, again, &err) && again->end_count == INT32_MAX &&
			 again->changes[WAL_CHANGES_MAX - 1].commit_time_us == INT64_MIN;
	ok(is_passed && text.size > 30 * KiB && text.size < 60 * KiB,
	   "with every member at its longest, a summary has %d bytes", (int) text.size);
	free(again);
	free(summary);
}

/* More of everything than is kept. */
static void many_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct relation_file file = {1663, 5, 30000};
	struct part part = {.xid = 3};

	drops_append(writer, 20);
	for (uint32_t i = 0; i < 40; i++) {
		append_truncate(writer, 900, 20);
		append_file_truncate(writer, 0, file);
		append_database(writer, i, false);
		append_locks(writer, 7 + i, 16384, 20);
		append_transaction(writer, true, &part);
		rows_append(writer, WAL_DELETE, 5000 + i, 30000 + i, 20 + (int) i);
	}
	struct wal_summary *summary = summary_of(writer);

	ok(summary->drop_count == 20 && summary->truncate_count == 40 && summary->truncates[0].relation_count == 20 &&
		   summary->file_truncation_count == 40 && summary->database_count == 40 && summary->end_count == 60 &&
		   summary->lock_count >= 256 && summary->change_count == 40 && summary->relation_count == 40,
	   "more than are kept are counted");
	ok(summary->changes[0].xid == 5039 && summary->changes[WAL_CHANGES_MAX - 1].xid == 5008 &&
		   summary->relations[WAL_RELATIONS_MAX - 1].rows.deletes == 44,
	   "the heaviest changes are kept");
	free(summary);
	writer_close(writer);
}

static void decode_test(void)
{
	static const char *const texts[] = {
		"{}", "{\"understood\":1}",
		"{\"understood\":false,\"magic\":1,\"segment_size\":1,\"page_size\":1,\"start\":\"0/0\"}",
		"{\"understood\":true,\"magic\":53520,\"segment_size\":1048576,\"page_size\":0,\"start\":\"0/0\"}",
		"{\"understood\":true,\"magic\":53520,\"segment_size\":1048576,\"page_size\":8192,\"start\":\"0/0\"}"};
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_summary *summary = malloc(sizeof(*summary));
	struct wal_segment segment = segment_of(writer, 1);
	struct error err;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *object JSON_CLEANUP = NULL;

		ok(json_decode(bytes_of_text(texts[i]), "a test", &object, &err) &&
			   !wal_summary_decode(object, summary, &err) && err.kind == ERROR_CORRUPT,
		   "refused: %s", err.text);
	}
	fill_to(writer, BASE + SEGMENT - 400);
	append_other(writer, 1000);
	fill_to(writer, BASE + 2 * SEGMENT - 400);
	append_other(writer, 1000);
	json_t *whole JSON_CLEANUP = json_object();
	ok(wal_summary_make(content_of(writer, 1), &segment, summary, &err) &&
		   wal_summary_encode(summary, whole, &err) && json_object_get(whole, "head") != NULL &&
		   json_object_get(whole, "tail") != NULL,
	   "a summary with head and tail as JSON");
	members_harm(whole, summary);
	free(summary);
	writer_close(writer);
}

static void overwrite_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_segment segment = segment_of(writer, 0);
	struct wal_summary before, after;
	struct wal_event event;
	struct error err;
	uint64_t previous = append_overwriting(writer);

	ok(wal_summary_make(content_of(writer, 0), &segment, &before, &err) &&
		   before.tail_record == BASE + SEGMENT - 200 && !before.ends_early,
	   "the segment of a record that was never finished has a tail");
	segment = segment_of(writer, 1);
	ok(wal_summary_make(content_of(writer, 1), &segment, &after, &err) && after.head_size == 0 &&
		   after.ends_early && after.commits == 1 && after.previous_record == previous,
	   "the next, which overwrites it, has no head");
	ok(!wal_summary_join(&before, &after, &event), "they join no record");
	writer_close(writer);
}

static void unknown_test(void)
{
	struct writer *writer = writer_open(0xD119);
	struct wal_segment segment = segment_of(writer, 0);
	struct wal_summary summary;
	struct error err;

	fill(writer, BASE + SEGMENT);
	ok(wal_summary_make(content_of(writer, 0), &segment, &summary, &err) && !summary.understood &&
		   summary.magic == 0xD119 && summary.start == BASE && json_pass(&summary),
	   "of an unknown version a summary says nothing but that");
	writer_close(writer);
}

/* Summaries of damaged segments: whatever they say, they are made, pass through JSON, and join without harm. */
static void mutations_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_summary *summaries = calloc(2, sizeof(*summaries));
	struct wal_event event;
	struct error err;
	uint8_t *copy = malloc(SEGMENT);
	int wrong = 0, joined = 0;

	fill(writer, BASE + 8 * PAGE);
	append_other(writer, 2 * SEGMENT);
	fill(writer, BASE + 4 * SEGMENT);
	for (int i = 0; i < 1000; i++) {
		struct wal_segment segment = segment_of(writer, (unsigned) i % 3);

		memcpy(copy, content_of(writer, (unsigned) i % 3).data, SEGMENT);
		for (long changes = random() % 8; changes >= 0; changes--)
			copy[(size_t) random() % (random() % 2 ? 40 : SEGMENT)] = (uint8_t) random();
		wrong += !wal_summary_make(bytes_of(copy, SEGMENT), &segment, &summaries[i % 2], &err);
		wrong += !json_pass(&summaries[i % 2]);
		for (long bytes = random() % 4; bytes > 0; bytes--)
			((uint8_t *) &summaries[i % 2].head_size)[random() % 64] = (uint8_t) random();
		summaries[i % 2].head.size %= WAL_JOIN_SIZE_MAX + 1;
		joined += wal_summary_join(&summaries[0], &summaries[1], &event);
		joined += wal_summary_join(&summaries[1], &summaries[0], &event);
	}
	ok(wrong == 0, "1000 summaries of damaged segments (%d joined)", joined);
	free(copy);
	free(summaries);
	writer_close(writer);
}

int main(void)
{
	join_test();
	join_huge_test();
	join_cut_test();
	switch_test();
	overwrite_test();
	unknown_test();
	summary_test();
	tablespaces_test();
	changes_test();
	drops_test();
	transactions_test();
	many_test();
	bounds_test();
	decode_test();
	mutations_test();
	return done_testing();
}
