/* The walker of WAL records, on WAL that wal_writer.h lays out, for every version. */
#include "pg/wal_record.h"

#include "wal_writer.h"

static void all_seen_test(uint16_t magic)
{
	struct writer *writer = writer_open(magic);
	struct seen seen;
	uint64_t end;
	int version = wal_magic_version(magic);

	fill(writer, BASE + 3 * SEGMENT);
	append_switch(writer);
	fill(writer, BASE + 5 * SEGMENT + SEGMENT / 2);
	bool ended = walk(writer, 0, segments_begun(writer), &seen, &end);
	ok(seen.wrong == 0 && seen.skipped == 0 && seen.count == writer->count,
	   "%d: %d of %d records seen, in order and with what they say", version, seen.count - seen.wrong,
	   writer->count);
	ok(ended && end == writer->position, "%d: the end of WAL is behind the last of them", version);
	writer_close(writer);
}

/* Every way in which 24 bytes of header can be split, at a page's end and at a segment's. */
static void split_test(void)
{
	int wrong = 0;
	uint64_t end;
	struct seen seen;

	for (unsigned in_segment = 0; in_segment < 2; in_segment++)
		for (unsigned left = 8; left <= 40; left += 8) {
			struct writer *writer = writer_open(MAGIC_15);
			struct part part = {.subxacts = 900, .prepared = 4242, .has_origin = true};

			fill_to(writer, BASE + (in_segment ? SEGMENT : 3 * PAGE) - left);
			wrong += writer->position % PAGE != PAGE - left;
			append_transaction(writer, true, &part);
			append_simple_commit(writer);
			wrong += !walk(writer, 0, 2, &seen, &end);
			wrong += seen.wrong + seen.skipped + (seen.count != writer->count) + (end != writer->position);
			writer_close(writer);
		}
	is_number(wrong, 0, "headers split at every place, between pages and between segments");
}

static void huge_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct part part = {.subxacts = 300000, .prepared = 99, .invalidations = 3};
	struct seen seen;
	uint64_t end;

	fill(writer, BASE + SEGMENT / 2);
	append_other(writer, 2 * SEGMENT + 12345);
	append_simple_commit(writer);
	append_transaction(writer, true, &part);
	append_simple_commit(writer);
	walk(writer, 0, segments_begun(writer), &seen, &end);
	ok(seen.wrong == 0 && seen.count == writer->count, "records of more than a segment, a commit among them");
	writer_close(writer);
}

struct harm {
	const char *what;
	uint64_t offset; /* from the beginning of the third page */
	uint32_t value;
};

static void end_test(void)
{
	static const struct harm harms[] = {
		{"zeroes", 0, 0},
		{"another magic", 0, 0x0001D116},
		{"an unknown flag", 0, 0x0011D110},
		{"a long header amid the segment", 0, 0x0003D110},
		{"an older timeline", 4, 0},
		{"an old address, as recycled segments have", 8, 0x1000},
		{"another length of the rest", 16, 9},
	};
	struct seen seen;
	uint64_t end;

	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		struct writer *writer = writer_open(MAGIC_15);

		fill_to(writer, BASE + 2 * PAGE - 64);
		uint64_t last = writer->position;
		int before = writer->count;

		append_other(writer, 500);
		fill(writer, BASE + SEGMENT);
		store_u32(at(writer, BASE + 2 * PAGE + harms[i].offset), harms[i].value);
		ok(walk(writer, 0, 2, &seen, &end) && end == last && seen.count == before && seen.wrong == 0,
		   "%s: WAL ends before the record that goes on there", harms[i].what);
		writer_close(writer);
	}
}

static void damage_test(void)
{
	static const uint32_t offsets[] = {0, 3, 4, 8, 15, 16, 17, 20, 24, 30};
	struct seen seen;
	uint64_t end;
	int wrong = 0;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		struct writer *writer = writer_open(MAGIC_15);

		fill(writer, BASE + SEGMENT / 2);
		int before = writer->count;
		uint64_t last = writer->position;

		append_simple_commit(writer);
		fill(writer, BASE + SEGMENT);
		*at(writer, last + offsets[i]) ^= 0x40;
		wrong += !walk(writer, 0, 2, &seen, &end) || end != last || seen.count != before || seen.wrong != 0;
		writer_close(writer);
	}
	is_number(wrong, 0, "a flipped bit anywhere in a record ends WAL before it");
}

/* A record that is right in itself but not the next one, such as what is left of an earlier life of the page. */
static void stale_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct seen seen;
	uint64_t end;

	fill(writer, BASE + SEGMENT / 2);
	uint64_t last = writer->position;
	int before = writer->count;

	writer->previous -= 8;
	append_simple_commit(writer);
	ok(walk(writer, 0, 1, &seen, &end) && end == last && seen.count == before,
	   "a record that names another before it");
	writer_close(writer);
}

static void overwrite_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct seen seen;
	uint64_t end;

	append_overwriting(writer);
	ok(walk(writer, 0, 2, &seen, &end) && seen.wrong == 0 && seen.count == writer->count && end == writer->position,
	   "a record that was never finished and overwritten is left out");
	store_u16(at(writer, BASE + SEGMENT) + 2, 2);
	ok(walk(writer, 0, 2, &seen, &end) && seen.count == writer->count - 2 && end == BASE + SEGMENT - 200,
	   "without the mark on the page, WAL ends before it");
	writer_close(writer);
}

static void unknown_test(void)
{
	struct writer *writer = writer_open(0xD119);
	struct seen seen;
	uint64_t end;

	fill(writer, BASE + SEGMENT);
	ok(walk(writer, 0, 1, &seen, &end) && seen.count == 0 && end == BASE && seen.wrong == 0,
	   "of an unknown version nothing is understood, without an error");
	writer_close(writer);
}

static void contract_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_segment segment = segment_of(writer, 0), other;
	struct seen seen = {.writer = writer};
	struct wal_walk *opened;
	struct error err;

	fill(writer, BASE + 2 * SEGMENT);
	ok(wal_walk_open(see, &seen, &opened, &err) && wal_walk_segment(opened, content_of(writer, 0), &segment, &err),
	   "one segment");
	other = segment_of(writer, 2);
	ok(!wal_walk_segment(opened, content_of(writer, 2), &other, &err) && err.kind == ERROR_USAGE,
	   "not the next: %s", err.text);
	other = segment_of(writer, 1);
	other.system_identifier = 1;
	ok(!wal_walk_segment(opened, content_of(writer, 1), &other, &err) && err.kind == ERROR_USAGE,
	   "of another system");
	other = segment_of(writer, 1);
	ok(wal_walk_segment(opened, bytes_of(writer->wal + SEGMENT, 5 * PAGE + 77), &other, &err),
	   "a cut one is walked");
	uint64_t end;
	ok(wal_walk_ended(opened, &end) && end <= BASE + SEGMENT + 5 * PAGE && seen.wrong == 0,
	   "and ends where it ends");
	wal_walk_close(opened);
	writer_close(writer);
}

/* Random damage: nothing may be seen that was not written, and the sanitizers watch. */
static void mutations_test(void)
{
	struct writer *writer = writer_open(MAGIC_15);
	struct wal_segment segment = segment_of(writer, 0);
	size_t size = 6 * PAGE;
	uint8_t *copy = malloc(size);
	struct error err;
	uint64_t end;
	int wrong = 0, ended = 0;

	fill(writer, BASE + 8 * PAGE);
	for (int i = 0; i < 20000; i++) {
		struct seen seen = {.writer = writer};
		struct wal_walk *opened;

		damage(writer, copy, size);
		if (!wal_walk_open(see, &seen, &opened, &err) ||
		    !wal_walk_segment(opened, bytes_of(copy, size), &segment, &err))
			wrong++;
		ended += wal_walk_ended(opened, &end);
		wrong += seen.wrong + (end < BASE) + (end > BASE + size);
		wal_walk_close(opened);
	}
	ok(wrong == 0 && ended == 20000, "20000 times damaged: nothing is seen that was not written (%d wrong)", wrong);
	free(copy);
	writer_close(writer);
}

/* Looks at everything that an event lends; the sanitizers watch. */
static uint32_t event_use(const struct wal_event *event)
{
	uint32_t sum = 0, relation;

	for (uint32_t i = 0; i < event->subtransactions.shown; i++)
		sum += wal_event_xid(event, i);
	for (uint32_t i = 0; i < event->files.shown; i++)
		sum += wal_event_file(event, i).number;
	for (uint32_t i = 0; i < event->statistics.shown; i++)
		sum += wal_event_dropped_relation(event, i, &relation) ? relation : 0;
	for (uint32_t i = 0; i < event->relations.shown; i++)
		sum += wal_event_relation(event, i);
	for (uint32_t i = 0; i < event->locks.shown; i++)
		sum += wal_event_lock(event, i).relation;
	return sum;
}

/* Does what was not there count as cut, and nothing else? */
static bool event_is_sound(const struct wal_event *event, bool is_whole)
{
	bool is_less = event->subtransactions.shown < event->subtransactions.count ||
		       event->files.shown < event->files.count || event->statistics.shown < event->statistics.count ||
		       event->relations.shown < event->relations.count || event->locks.shown < event->locks.count;

	(void) event_use(event);
	return memchr(event->name, 0, sizeof(event->name)) != NULL &&
	       memchr(event->path, 0, sizeof(event->path)) != NULL && (!is_less || event->is_cut) &&
	       !(event->is_cut && is_whole);
}

/* Block references and all the kinds of main data, sealed right but filled with nonsense. */
static void nonsense_test(void)
{
	static const uint8_t managers[] = {0, 1, 1, 1, 2, 4, 5, 8, 9, 10, 10};
	static const uint16_t magics[] = {MAGIC_13, MAGIC_15, MAGIC_18};
	uint8_t record[600];
	struct wal_event event;
	struct error err;
	int wrong = 0, counts[WAL_OTHER + 1] = {0};

	srandom(9);
	for (int i = 0; i < 200000; i++) {
		uint32_t total = 24 + (uint32_t) random() % 200;
		uint32_t size = random() % 2 ? total : (uint32_t) random() % total;

		for (size_t j = 0; j < total; j++)
			record[j] = (uint8_t) (random() % 2 ? random() % 4 : random());
		record[16] = (uint8_t) (random() % 16 << 4);
		record[17] = managers[(size_t) random() % sizeof(managers)];
		record[24] = (uint8_t) (random() % 3 == 0 ? 0 : 252 + random() % 4);
		if (record[24] == 255 && total > 26)
			record[25] = (uint8_t) (total - 26);
		if (record[17] == 5)
			record[30] = '/';
		record_seal(record, total);
		uint8_t *exact = malloc(size > 0 ? size : 1);
		memcpy(exact, record, size);
		bool passed = wal_record_decode(magics[i % 3], bytes_of(exact, size), total, &event, &err);
		wrong += passed != (size >= 24) || (passed && !event_is_sound(&event, size == total));
		if (passed)
			counts[event.kind]++;
		free(exact);
	}
	for (int kind = 0; kind <= WAL_OTHER; kind++)
		wrong += counts[kind] == 0;
	is_number(wrong, 0, "200000 records of nonsense are read without harm, and taken for every kind there is");
}

/* COMMIT PREPARED of 1000 subtransactions that are not there. */
static void cut_test(void)
{
	uint8_t record[24 + 5 + 16] = {[16] = 0x30 | 0x80, [17] = 1, [24] = 254, [25] = 16};
	struct wal_event event;
	struct error err;

	store_u64(record + 29, (uint64_t) NOON);
	store_u32(record + 37, 2 | 16);
	store_u32(record + 41, 1000);
	record_seal(record, sizeof(record));
	ok(wal_record_decode(MAGIC_15, bytes_of(record, sizeof(record)), sizeof(record), &event, &err) &&
		   event.kind == WAL_OTHER,
	   "a commit that does not hold what it says is not taken for one");
	store_u32(record + 25, 5000 - 29);
	ok(wal_record_decode(MAGIC_15, bytes_of(record, sizeof(record)), 5000, &event, &err) &&
		   event.kind == WAL_COMMIT && event.is_cut && event.xid == 0 && event.subtransactions.count == 1000 &&
		   event.subtransactions.shown == 0 && event.time_us == NOON + POSTGRES_EPOCH_US,
	   "where the rest was cut off, its time is known and its transaction is not");
	store_u32(record + 25, 16);
	record[30] ^= 1;
	ok(!wal_record_decode(MAGIC_15, bytes_of(record, sizeof(record)), sizeof(record), &event, &err) &&
		   err.kind == ERROR_CORRUPT,
	   "a whole one is held against its CRC: %s", err.text);
}

/* CREATE TABLESPACE: `length` characters of a path that begins with `first`, with its zero or not, cut to `shown`. */
struct created {
	const char *what;
	char first;
	uint32_t length;
	bool ends;
	uint32_t shown; /* bytes of the record behind its header; 0: all */
	bool is_seen, is_cut;
	uint32_t length_seen;
};

static void tablespace_test(void)
{
	static const struct created rows[] = {
		{"a path", '/', 20, true, 0, true, false, 20},
		{"the longest path", '/', 1023, true, 0, true, false, 1023},
		{"a longer one", '/', 1024, true, 0, false, false, 0},
		{"a relative one", 'x', 20, true, 0, false, false, 0},
		{"one in place", '/', 0, true, 0, false, false, 0},
		{"one without an end", '/', 20, false, 0, false, false, 0},
		{"one cut amid its path", '/', 300, true, 80, true, true, 71},
		{"one cut before its path", '/', 300, true, 9, true, true, 0},
		{"one cut before its identifier's end", '/', 300, true, 8, false, false, 0},
		{"one cut before its zero", '/', 20, true, 29, true, true, 20},
	};
	uint8_t record[24 + 9 + 1100];
	struct wal_event event;
	struct error err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t total = 24 + 9 + rows[i].length + (rows[i].ends ? 1 : 0);
		uint32_t size = rows[i].shown > 0 ? 24 + rows[i].shown : total;

		memset(record, 0, sizeof(record));
		record[17] = 5;
		record[24] = 254;
		store_u32(record + 25, 4 + rows[i].length + 1);
		store_u32(record + 29, 16400);
		memset(record + 33, 'a', rows[i].length);
		if (rows[i].length > 0)
			record[33] = (uint8_t) rows[i].first;
		record_seal(record, total);
		bool passed = wal_record_decode(MAGIC_15, bytes_of(record, size), total, &event, &err);
		ok(passed && (event.kind == WAL_TABLESPACE) == rows[i].is_seen && event.path_is_cut == rows[i].is_cut &&
			   strlen(event.path) == rows[i].length_seen &&
			   event.tablespace == (rows[i].is_seen ? 16400 : 0),
		   "a tablespace is created: %s", rows[i].what);
	}
	record[16] = 0x20;
	record_seal(record, 24 + 30);
	ok(wal_record_decode(MAGIC_15, bytes_of(record, 24 + 30), 24 + 30, &event, &err) && event.kind == WAL_OTHER,
	   "what else may happen to one is none");
}

int main(void)
{
	static const uint16_t magics[] = {MAGIC_13, 0xD10D, MAGIC_15, 0xD113, 0xD116, MAGIC_18};

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		all_seen_test(magics[i]);
	split_test();
	huge_test();
	end_test();
	damage_test();
	stale_test();
	overwrite_test();
	unknown_test();
	contract_test();
	mutations_test();
	nonsense_test();
	cut_test();
	tablespace_test();
	return done_testing();
}
