/* What WAL segments say about themselves, on WAL that wal_writer.h lays out, and joining it. */
#include "pg/wal_summary.h"

#include "wal_writer.h"

/* Each segment alone, joined with the next: together they say what the walk of all of them says. */
struct sum {
	uint32_t commits, aborts;
	int restore_points, tablespaces, joined, wrong;
	uint64_t last_record;
};

static bool json_pass(struct wal_summary *summary)
{
	json_t *object JSON_CLEANUP = json_object();
	struct wal_summary *again = malloc(sizeof(*again));
	struct error err;
	bool same = wal_summary_encode(summary, object, &err) && wal_summary_decode(object, again, &err) &&
		    memcmp(again, summary, sizeof(*again)) == 0;

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

/* What of a path lies behind what is kept. */
static void path_complete(struct wal_event *event, const struct wal_event *written)
{
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
				if (event.xid == 0 && written != NULL)
					event.xid = written->xid;
				if (written != NULL)
					path_complete(&event, written);
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
	int accepted = 0, fields = 0;
	const char *key;
	json_t *value;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *object JSON_CLEANUP = NULL;

		ok(json_decode(bytes_of_text(texts[i]), "a test", &object, &err) &&
			   !wal_summary_decode(object, summary, &err) && err.kind == ERROR_CORRUPT,
		   "refused: %s", err.text);
	}
	fill(writer, BASE + 3 * SEGMENT);
	json_t *whole JSON_CLEANUP = json_object();
	ok(wal_summary_make(content_of(writer, 1), &segment, summary, &err) &&
		   wal_summary_encode(summary, whole, &err) && json_object_get(whole, "head") != NULL &&
		   json_object_get(whole, "tail") != NULL,
	   "a summary with head and tail as JSON");
	json_object_foreach(whole, key, value)
	{
		json_t *damaged JSON_CLEANUP = json_copy(whole);

		fields++;
		json_object_set_new(damaged, key, json_real(1.5));
		accepted += wal_summary_decode(damaged, summary, &err);
		json_object_del(damaged, key);
		if (strcmp(key, "head") != 0 && strcmp(key, "tail") != 0)
			accepted += wal_summary_decode(damaged, summary, &err);
	}
	ok(accepted == 0 && fields == 23, "none of its %d fields may be missing or of another type", fields);
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
	decode_test();
	mutations_test();
	return done_testing();
}
