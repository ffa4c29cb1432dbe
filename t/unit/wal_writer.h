/* A little of PostgreSQL's xloginsert.c, for the tests of what reads WAL: records are laid out in pages, and noted down
 * as what a walk should see; walk() looks whether it does.
 */
#pragma once

#include <stdlib.h>

#include "base/clock.h"
#include "pg/crc32c.h"
#include "pg/wal_changes.h"
#include "pg/wal_record.h"
#include "tap.h"

#define PAGE	 8192u
#define SEGMENT	 (1u << 20)
#define BASE	 ((uint64_t) 5 * SEGMENT)
#define SEGMENTS 8u
#define EVENTS	 20000
#define MAGIC_13 0xD106
#define MAGIC_15 0xD110
#define MAGIC_18 0xD118
#define NOON	 INT64_C(784000000000000) /* PostgreSQL's time in 2024 */

struct writer {
	uint8_t *wal;
	uint16_t magic;
	uint64_t position, previous;
	int count;
	struct wal_event events[EVENTS];
};

__attribute__((unused)) static struct writer *writer_open(uint16_t magic)
{
	struct writer *writer = calloc(1, sizeof(*writer));

	writer->wal = calloc(SEGMENTS, SEGMENT);
	writer->magic = magic;
	writer->position = BASE;
	writer->previous = BASE - 100;
	srandom(7);
	return writer;
}

__attribute__((unused)) static void writer_close(struct writer *writer)
{
	free(writer->wal);
	free(writer);
}

__attribute__((unused)) static uint8_t *at(const struct writer *writer, uint64_t lsn)
{
	return writer->wal + (lsn - BASE);
}

__attribute__((unused)) static void page_begin(struct writer *writer, uint32_t rest, uint16_t flags)
{
	uint8_t *page = at(writer, writer->position);
	bool is_long = writer->position % SEGMENT == 0;

	store_u16(page, writer->magic);
	store_u16(page + 2, (uint16_t) (flags | (rest > 0 ? 1 : 0) | (is_long ? 2 : 0)));
	store_u32(page + 4, 1);
	store_u64(page + 8, writer->position);
	store_u32(page + 16, rest);
	if (is_long) {
		store_u64(page + 24, 4711);
		store_u32(page + 32, SEGMENT);
		store_u32(page + 36, PAGE);
	}
	writer->position += is_long ? 40 : 24;
}

__attribute__((unused)) static void record_put(struct writer *writer, uint8_t *record, uint32_t total)
{
	for (uint32_t done = 0; done < total;) {
		if (writer->position % PAGE == 0)
			page_begin(writer, total - done, 0);
		uint32_t room = PAGE - (uint32_t) (writer->position % PAGE);
		uint32_t part = total - done < room ? total - done : room;

		memcpy(at(writer, writer->position), record + done, part);
		done += part;
		writer->position += part;
	}
	writer->position = (writer->position + 7) / 8 * 8;
}

__attribute__((unused)) static void record_seal(uint8_t *record, uint32_t total)
{
	uint32_t crc = crc32c_add(CRC32C_INIT, bytes_of(record + 24, total - 24));

	store_u32(record + 20, crc32c_final(crc32c_add(crc, bytes_of(record, 20))));
}

/* Appends a record with `body`, and what should be seen of it. */
__attribute__((unused)) static struct wal_event *append(struct writer *writer, uint8_t manager, uint8_t info,
							uint32_t xid, const void *body, uint32_t size)
{
	uint32_t total = 24 + size;
	uint8_t *record = calloc(1, total);
	struct wal_event *event = &writer->events[writer->count++];

	if (writer->position % PAGE == 0)
		page_begin(writer, 0, 0);
	store_u32(record, total);
	store_u32(record + 4, xid);
	store_u64(record + 8, writer->previous);
	record[16] = info;
	record[17] = manager;
	if (size > 0)
		memcpy(record + 24, body, size);
	record_seal(record, total);
	*event = (struct wal_event){
		.kind = WAL_OTHER, .lsn = writer->position, .previous = writer->previous, .xid = xid};
	writer->previous = writer->position;
	record_put(writer, record, total);
	event->end = writer->position;
	free(record);
	return event;
}

/* Anything else: index records, full pages, large ones. */
__attribute__((unused)) static void append_other(struct writer *writer, uint32_t size)
{
	uint8_t *body = malloc(size + 1);

	for (uint32_t i = 0; i < size; i++)
		body[i] = (uint8_t) random();
	append(writer, 11, (uint8_t) random(), (uint32_t) random(), body, size);
	free(body);
}

struct part {
	uint32_t subxacts, files, stats, invalidations;
	const void *subxact_data, *file_data, *stat_data; /* NULL: something */
	uint32_t xid;					  /* 0: made up */
	uint32_t prepared;				  /* the xid of a two-phase one */
	bool has_origin, has_toplevel;
};

__attribute__((unused)) static uint8_t *count_put(uint8_t *to, uint32_t count, uint32_t size, const void *data)
{
	store_u32(to, count);
	if (data != NULL)
		memcpy(to + 4, data, (size_t) count * size);
	else
		memset(to + 4, 0xEE, (size_t) count * size);
	return to + 4 + (size_t) count * size;
}

/* xl_xact_commit or xl_xact_abort with all that may follow. */
__attribute__((unused)) static uint32_t transaction_build(const struct writer *writer, uint8_t *data,
							  const struct part *part, bool is_commit)
{
	uint32_t stat_size = writer->magic >= MAGIC_18 ? 16 : 12;
	uint8_t *to = data + 12;
	uint32_t xinfo = 1 | (part->subxacts ? 2u : 0) | (part->files ? 4u : 0) | (part->stats ? 256u : 0) |
			 (part->prepared ? 16u | 128u : 0) | (part->invalidations ? 8u : 0) |
			 (part->has_origin ? 32u : 0);

	store_u64(data, (uint64_t) NOON + (uint64_t) writer->count);
	store_u32(data + 8, xinfo);
	memset(to, 0xDD, 8);
	to += 8;
	if (part->subxacts)
		to = count_put(to, part->subxacts, 4, part->subxact_data);
	if (part->files)
		to = count_put(to, part->files, 12, part->file_data);
	if (part->stats)
		to = count_put(to, part->stats, stat_size, part->stat_data);
	if (part->invalidations && is_commit)
		to = count_put(to, part->invalidations, 16, NULL);
	if (part->prepared) {
		store_u32(to, part->prepared);
		memcpy(to + 4, "gid", 4);
		to += 8;
	}
	if (part->has_origin) {
		memset(to, 0xCC, 16);
		to += 16;
	}
	return (uint32_t) (to - data);
}

__attribute__((unused)) static uint32_t headers_build(uint8_t *to, const struct part *part, uint32_t size)
{
	uint8_t *begin = to;

	if (part->has_origin) {
		*to++ = 253;
		*to++ = 1;
		*to++ = 2;
	}
	if (part->has_toplevel) {
		*to++ = 252;
		store_u32(to, 77);
		to += 4;
	}
	if (size < 256) {
		*to++ = 255;
		*to++ = (uint8_t) size;
	} else {
		*to++ = 254;
		store_u32(to, size);
		to += 4;
	}
	return (uint32_t) (to - begin);
}

__attribute__((unused)) static void append_transaction(struct writer *writer, bool is_commit, const struct part *part)
{
	uint8_t *data = malloc(2 * SEGMENT), *body = malloc(2 * SEGMENT);
	uint32_t xid = part->xid != 0 ? part->xid : 1000 + (uint32_t) writer->count;
	int64_t time = NOON + writer->count;
	uint32_t size = transaction_build(writer, data, part, is_commit);
	uint32_t headers = headers_build(body, part, size);
	uint8_t operation = is_commit ? (part->prepared ? 0x30 : 0x00) : (part->prepared ? 0x40 : 0x20);

	memcpy(body + headers, data, size);
	struct wal_event *event = append(writer, 1, operation | 0x80, part->prepared ? 0 : xid, body, headers + size);
	event->kind = is_commit ? WAL_COMMIT : WAL_ABORT;
	event->xid = part->prepared ? part->prepared : xid;
	event->time_us = time + POSTGRES_EPOCH_US;
	event->database = 0xDDDDDDDD;
	event->subtransactions.count = part->subxacts;
	event->files.count = part->files;
	event->statistics.count = part->stats;
	free(data);
	free(body);
}

__attribute__((unused)) static void append_simple_commit(struct writer *writer)
{
	uint8_t body[10] = {255, 8};
	int64_t time = NOON + writer->count;

	store_u64(body + 2, (uint64_t) time);
	struct wal_event *event = append(writer, 1, 0, (uint32_t) writer->count, body, sizeof(body));
	event->kind = WAL_COMMIT;
	event->time_us = time + POSTGRES_EPOCH_US;
}

__attribute__((unused)) static void append_restore_point(struct writer *writer, const char *name)
{
	uint8_t body[2 + 72] = {255, 72};
	int64_t time = NOON + writer->count;

	store_u64(body + 2, (uint64_t) time);
	strncpy((char *) body + 10, name, 63);
	struct wal_event *event = append(writer, 0, 0x70, 0, body, sizeof(body));
	event->kind = WAL_RESTORE_POINT;
	event->time_us = time + POSTGRES_EPOCH_US;
	strcpy(event->name, name);
}

__attribute__((unused)) static void append_tablespace(struct writer *writer, uint32_t oid, const char *path)
{
	uint8_t body[5 + 4 + WAL_PATH_SIZE] = {254};
	uint32_t size = (uint32_t) strlen(path) + 1;

	store_u32(body + 1, 4 + size);
	store_u32(body + 5, oid);
	memcpy(body + 9, path, size);
	struct wal_event *event = append(writer, 5, 0, (uint32_t) writer->count, body, 9 + size);
	if (size == 1)
		return;
	event->kind = WAL_TABLESPACE;
	event->tablespace = oid;
	strcpy(event->path, path);
}

/* A record about rows: `images` is how its block references look, see blocks_build(). */
__attribute__((unused)) static uint32_t blocks_build(uint8_t *body, uint16_t magic, const struct relation_file *file,
						     unsigned images, uint32_t *data_size)
{
	bool is_old = magic < MAGIC_15;
	uint8_t *to = body;

	for (uint8_t id = 0; id <= images / 4 % 3; id++) {
		bool has_image = images % 2 != 0, is_compressed = images / 2 % 2 != 0, is_same = id > 0;
		uint8_t method = (uint8_t) (is_old ? 0x02 : 0x04 << images % 3);

		*to++ = id;
		*to++ = (uint8_t) ((has_image ? 0x10 : 0) | 0x20 | (is_same ? 0x80 : 0));
		store_u16(to, 7);
		to += 2;
		*data_size += 7;
		if (has_image) {
			store_u16(to, 100);
			store_u16(to + 2, 50);
			to[4] = (uint8_t) (1 | (is_old ? 0x04 : 0x02) | (is_compressed ? method : 0));
			to += 5;
			*data_size += 100;
			if (is_compressed) {
				store_u16(to, 30);
				to += 2;
			}
		}
		if (!is_same) {
			store_u32(to, file->tablespace);
			store_u32(to + 4, file->database);
			store_u32(to + 8, file->number);
			to += 12;
		}
		store_u32(to, 4711);
		to += 4;
	}
	return (uint32_t) (to - body);
}

__attribute__((unused)) static void append_rows(struct writer *writer, enum wal_event_kind kind, uint32_t xid,
						struct relation_file file, uint16_t rows)
{
	bool is_multi = rows > 1;
	uint8_t info = is_multi ? 0x50 : kind == WAL_INSERT ? 0x00 : kind == WAL_DELETE ? 0x10 : 0x20;
	uint8_t body[1200];
	uint32_t data_size = 0;
	uint32_t size = blocks_build(body, writer->magic, &file, (unsigned) writer->count, &data_size);

	if (kind == WAL_UPDATE && writer->count % 2 != 0)
		info = 0x40;
	body[size++] = 255;
	body[size++] = 6;
	memset(body + size, 0xBB, data_size);
	size += data_size;
	memset(body + size, 0, 6);
	store_u16(body + size + 2, rows);
	size += 6;
	struct wal_event *event =
		append(writer, is_multi ? 9 : 10, (uint8_t) (info | (writer->count % 3 ? 0 : 0x80)), xid, body, size);

	event->kind = kind;
	event->file = file;
	event->rows = rows;
}

/* A record without block references, whose main data is that. */
__attribute__((unused)) static struct wal_event *append_data(struct writer *writer, uint8_t manager, uint8_t info,
							     uint32_t xid, const void *data, uint32_t size)
{
	uint8_t *body = malloc(size + 5);
	const struct part none = {0};
	uint32_t headers = headers_build(body, &none, size);

	memcpy(body + headers, data, size);
	struct wal_event *event = append(writer, manager, info, xid, body, headers + size);
	free(body);
	return event;
}

__attribute__((unused)) static void append_tablespace_drop(struct writer *writer, uint32_t oid)
{
	struct wal_event *event = append_data(writer, 5, 0x10, 5, &oid, 4);

	event->kind = WAL_TABLESPACE_DROP;
	event->tablespace = oid;
}

__attribute__((unused)) static void append_database(struct writer *writer, uint32_t oid, bool is_drop)
{
	const uint32_t created[] = {oid, 1663, 1, 1663}, dropped[] = {oid, 2, 1663, 16400};
	uint8_t info = is_drop ? (writer->magic < MAGIC_15 ? 0x10 : 0x20) : 0x00;
	struct wal_event *event = append_data(writer, 4, info, 6, is_drop ? dropped : created, 16);

	event->kind = is_drop ? WAL_DATABASE_DROP : WAL_DATABASE;
	event->database = oid;
	event->tablespace = 1663;
}

__attribute__((unused)) static void append_truncate(struct writer *writer, uint32_t xid, uint32_t count)
{
	uint32_t *data = malloc((count + 3) * sizeof(*data));

	data[0] = 5;
	data[1] = count;
	data[2] = 1;
	for (uint32_t i = 0; i < count; i++)
		data[3 + i] = 16384 + i;
	struct wal_event *event = append_data(writer, 10, 0x30, xid, data, (count + 3) * 4);

	event->kind = WAL_TRUNCATE;
	event->database = 5;
	event->relations.count = count;
	free(data);
}

__attribute__((unused)) static void append_file_truncate(struct writer *writer, uint32_t xid, struct relation_file file)
{
	const uint32_t data[] = {7, file.tablespace, file.database, file.number, 7};
	struct wal_event *event = append_data(writer, 2, 0x20, xid, data, sizeof(data));

	event->kind = WAL_FILE_TRUNCATE;
	event->file = file;
	event->blocks = 7;
}

__attribute__((unused)) static void append_locks(struct writer *writer, uint32_t xid, uint32_t relation, uint32_t count)
{
	uint32_t *data = malloc((3 * count + 1) * sizeof(*data));

	data[0] = count;
	for (uint32_t i = 0; i < count; i++) {
		data[3 * i + 1] = xid;
		data[3 * i + 2] = 5;
		data[3 * i + 3] = relation + i;
	}
	struct wal_event *event = append_data(writer, 8, 0x00, 0, data, (3 * count + 1) * 4);

	event->kind = WAL_LOCK;
	event->locks.count = count;
	free(data);
}

__attribute__((unused)) static void append_checkpoint(struct writer *writer, bool is_shutdown)
{
	uint8_t data[88] = {0};

	store_u64(data, writer->position - 1000);
	store_u32(data + 8, 3);
	store_u32(data + 12, 2);
	store_u64(data + 24, UINT64_C(0x500000123));
	store_u64(data + 64, 1700000000);
	uint64_t redo = load_u64(data);
	struct wal_event *event = append_data(writer, 0, is_shutdown ? 0x00 : 0x10, 0, data, sizeof(data));

	event->kind = WAL_CHECKPOINT;
	event->redo = redo;
	event->timeline = 3;
	event->previous_timeline = 2;
	event->next_xid = UINT64_C(0x500000123);
	event->time_us = INT64_C(1700000000000000);
	event->is_shutdown = is_shutdown;
}

__attribute__((unused)) static void append_recovery_end(struct writer *writer)
{
	uint8_t data[16];

	store_u64(data, (uint64_t) NOON);
	store_u32(data + 8, 3);
	store_u32(data + 12, 2);
	struct wal_event *event = append_data(writer, 0, 0x90, 0, data, sizeof(data));

	event->kind = WAL_RECOVERY_END;
	event->time_us = NOON + POSTGRES_EPOCH_US;
	event->timeline = 3;
	event->previous_timeline = 2;
}

__attribute__((unused)) static void append_switch(struct writer *writer)
{
	struct wal_event *event = append(writer, 0, 0x40, 0, NULL, 0);

	writer->position = (writer->position + SEGMENT - 1) / SEGMENT * SEGMENT;
	event->end = writer->position;
}

__attribute__((unused)) static void append_random(struct writer *writer)
{
	struct part part = {.subxacts = random() % 2 ? (uint32_t) random() % 300 : 0,
			    .files = random() % 4 ? 0 : (uint32_t) random() % 5,
			    .stats = random() % 4 || writer->magic < MAGIC_15 ? 0 : (uint32_t) random() % 9,
			    .invalidations = random() % 3 ? 0 : (uint32_t) random() % 40,
			    .prepared = random() % 2 ? 0 : (uint32_t) random() | 1,
			    .has_origin = random() % 3 == 0,
			    .has_toplevel = random() % 3 == 0 && writer->magic != MAGIC_13};

	const struct relation_file file = {1663, 5, 16384 + (uint32_t) random() % 5};

	switch (random() % 20) {
	case 9:
		append_rows(writer, WAL_INSERT, 700, file, (uint16_t) (1 + random() % 3 * 40));
		break;
	case 10:
		append_rows(writer, WAL_UPDATE, 700, file, 1);
		break;
	case 11:
		append_rows(writer, WAL_DELETE, 700, file, 1);
		break;
	case 12:
		append_locks(writer, 700, 16384 + (uint32_t) random() % 100, 1 + (uint32_t) random() % 20);
		break;
	case 13:
		append_truncate(writer, 700, 1 + (uint32_t) random() % 80);
		break;
	case 14:
		append_file_truncate(writer, 0, file);
		break;
	case 15:
		append_database(writer, 16999, random() % 2 == 0);
		break;
	case 16:
		append_checkpoint(writer, random() % 2 == 0);
		break;
	case 17:
		append_recovery_end(writer);
		break;
	case 18:
		append_tablespace_drop(writer, 16400);
		break;
	case 0:
		append_transaction(writer, true, &part);
		break;
	case 1:
		append_transaction(writer, false, &part);
		break;
	case 2:
		append_restore_point(writer, "before the upgrade");
		break;
	case 3:
		append_simple_commit(writer);
		break;
	case 4:
		append_other(writer, (uint32_t) random() % 20000);
		break;
	case 5:
		append_tablespace(writer, (uint32_t) random() % 12, random() % 4 ? "/srv/space" : "");
		break;
	default:
		append_other(writer, (uint32_t) random() % 300);
	}
}

/* What a walk saw, held against what was written from event `next` on. */
struct seen {
	const struct writer *writer;
	int next, skipped, wrong, count;
};

__attribute__((unused)) static bool lists_equal(const struct wal_event *a, const struct wal_event *b)
{
	return a->subtransactions.count == b->subtransactions.count && a->files.count == b->files.count &&
	       a->statistics.count == b->statistics.count && a->relations.count == b->relations.count &&
	       a->locks.count == b->locks.count;
}

__attribute__((unused)) static bool numbers_equal(const struct wal_event *a, const struct wal_event *b)
{
	return a->database == b->database && a->tablespace == b->tablespace &&
	       relation_file_equal(&a->file, &b->file) && a->rows == b->rows && a->blocks == b->blocks &&
	       a->timeline == b->timeline && a->previous_timeline == b->previous_timeline && a->redo == b->redo &&
	       a->next_xid == b->next_xid && a->is_shutdown == b->is_shutdown;
}

__attribute__((unused)) static bool event_equal(const struct wal_event *a, const struct wal_event *b)
{
	return a->kind == b->kind && a->lsn == b->lsn && a->end == b->end && a->previous == b->previous &&
	       a->xid == b->xid && a->time_us == b->time_us && strcmp(a->name, b->name) == 0 &&
	       a->is_cut == b->is_cut && a->path_is_cut == b->path_is_cut && strcmp(a->path, b->path) == 0 &&
	       numbers_equal(a, b) && lists_equal(a, b);
}

__attribute__((unused)) static bool see(void *context, const struct wal_event *event, struct error *err)
{
	struct seen *seen = context;

	(void) err;
	while (seen->next < seen->writer->count && seen->writer->events[seen->next].lsn < event->lsn) {
		seen->next++;
		seen->skipped++;
	}
	if (seen->next >= seen->writer->count || !event_equal(event, &seen->writer->events[seen->next])) {
		if (seen->wrong++ == 0)
			printf("# first wrong event: kind %d at %llX, xid %u\n", (int) event->kind,
			       (unsigned long long) event->lsn, event->xid);
	} else {
		seen->next++;
	}
	seen->count++;
	return true;
}

__attribute__((unused)) static struct wal_segment segment_of(const struct writer *writer, unsigned number)
{
	return (struct wal_segment){.magic = writer->magic,
				    .system_identifier = 4711,
				    .segment_size = SEGMENT,
				    .page_size = PAGE,
				    .timeline = 1,
				    .start = BASE + (uint64_t) number * SEGMENT};
}

__attribute__((unused)) static struct bytes content_of(const struct writer *writer, unsigned number)
{
	return bytes_of(writer->wal + (size_t) number * SEGMENT, SEGMENT);
}

/* Walks segments [from, to); true when WAL ended there. */
__attribute__((unused)) static bool walk(const struct writer *writer, unsigned from, unsigned to, struct seen *seen,
					 uint64_t *end)
{
	struct wal_walk *opened;
	struct error err;

	*seen = (struct seen){.writer = writer};
	if (!wal_walk_open(see, seen, &opened, &err))
		return false;
	for (unsigned i = from; i < to; i++) {
		struct wal_segment segment = segment_of(writer, i);

		if (!wal_walk_segment(opened, content_of(writer, i), &segment, &err)) {
			printf("# %s\n", err.text);
			seen->wrong++;
		}
	}
	bool ended = wal_walk_ended(opened, end);
	wal_walk_close(opened);
	return ended;
}

__attribute__((unused)) static unsigned segments_begun(const struct writer *writer)
{
	return (unsigned) ((writer->position - BASE + SEGMENT - 1) / SEGMENT);
}

__attribute__((unused)) static void fill(struct writer *writer, uint64_t until)
{
	while (writer->position < until && writer->count < EVENTS - 100)
		append_random(writer);
}

/* As fill(), but to exactly that address: a multiple of 8, at least 40 beyond a page's beginning. */
__attribute__((unused)) static void fill_to(struct writer *writer, uint64_t lsn)
{
	while (writer->position + 3 * PAGE < lsn)
		append_random(writer);
	while (writer->position / PAGE < lsn / PAGE)
		append_other(writer, 100);
	while (lsn - writer->position > 400)
		append_other(writer, 100);
	append_other(writer, (uint32_t) (lsn - writer->position) - 24);
}

/* A crash amid a record: the server goes on at the page where the rest should have been. Returns the start of the
 * last record before that. */
__attribute__((unused)) static uint64_t append_overwriting(struct writer *writer)
{
	fill_to(writer, BASE + SEGMENT - 200);
	uint64_t previous = writer->previous;

	append_other(writer, 5000);
	memset(at(writer, BASE + SEGMENT), 0, SEGMENT);
	writer->position = BASE + SEGMENT;
	writer->previous = previous;
	writer->count--;
	page_begin(writer, 0, 8);
	append(writer, 0, 0xD0, 0, "\377\020................", 18);
	append_simple_commit(writer);
	return previous;
}

/* The first `size` bytes, a few of them changed, page headers more often than others. */
__attribute__((unused)) static void damage(const struct writer *writer, uint8_t *copy, size_t size)
{
	memcpy(copy, writer->wal, size);
	for (long changes = random() % 3; changes >= 0; changes--) {
		size_t place = (size_t) random() % size;

		if (random() % 3 == 0)
			place = place / PAGE * PAGE + (size_t) random() % 40;
		copy[place] = (uint8_t) random();
	}
}
