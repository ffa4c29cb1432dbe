/* A little of PostgreSQL's xloginsert.c, for the tests of what reads WAL: records are laid out in pages, and noted down
 * as what a walk should see; walk() looks whether it does.
 */
#pragma once

#include <stdlib.h>

#include "base/clock.h"
#include "pg/crc32c.h"
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

/* Anything else: heap and index records, full pages, large ones. */
__attribute__((unused)) static void append_other(struct writer *writer, uint32_t size)
{
	uint8_t *body = malloc(size + 1);

	for (uint32_t i = 0; i < size; i++)
		body[i] = (uint8_t) random();
	append(writer, 10, (uint8_t) random(), (uint32_t) random(), body, size);
	free(body);
}

struct part {
	uint32_t subxacts, files, stats, invalidations;
	uint32_t prepared; /* the xid of a two-phase one */
	bool has_origin, has_toplevel;
};

__attribute__((unused)) static uint8_t *count_put(uint8_t *to, uint32_t count, uint32_t size)
{
	store_u32(to, count);
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
		to = count_put(to, part->subxacts, 4);
	if (part->files)
		to = count_put(to, part->files, 12);
	if (part->stats)
		to = count_put(to, part->stats, stat_size);
	if (part->invalidations && is_commit)
		to = count_put(to, part->invalidations, 16);
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
	uint32_t xid = 1000 + (uint32_t) writer->count;
	int64_t time = NOON + writer->count;
	uint32_t size = transaction_build(writer, data, part, is_commit);
	uint32_t headers = headers_build(body, part, size);
	uint8_t operation = is_commit ? (part->prepared ? 0x30 : 0x00) : (part->prepared ? 0x40 : 0x20);

	memcpy(body + headers, data, size);
	struct wal_event *event = append(writer, 1, operation | 0x80, part->prepared ? 0 : xid, body, headers + size);
	event->kind = is_commit ? WAL_COMMIT : WAL_ABORT;
	event->xid = part->prepared ? part->prepared : xid;
	event->time_us = time + POSTGRES_EPOCH_US;
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

	switch (random() % 9) {
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

__attribute__((unused)) static bool event_equal(const struct wal_event *a, const struct wal_event *b)
{
	return a->kind == b->kind && a->lsn == b->lsn && a->end == b->end && a->previous == b->previous &&
	       a->xid == b->xid && a->time_us == b->time_us && strcmp(a->name, b->name) == 0 &&
	       a->tablespace == b->tablespace && a->path_is_cut == b->path_is_cut && strcmp(a->path, b->path) == 0;
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
