#include "pg/wal_record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pg/crc32c.h"

/* XLogPageHeaderData (access/xlog_internal.h), the same in 13 to 18. The overwrite flag came with 13.5 and 14.1. */
#define PAGE_AT_MAGIC		0
#define PAGE_AT_INFO		2
#define PAGE_AT_TIMELINE	4
#define PAGE_AT_ADDRESS		8
#define PAGE_AT_REST		16 /* xlp_rem_len */
#define PAGE_FIRST_IS_REST	0x0001
#define PAGE_LONG_HEADER	0x0002
#define PAGE_FIRST_IS_OVERWRITE 0x0008
#define PAGE_FLAGS		0x000F

/* XLogRecord (access/xlogrecord.h), the same in 13 to 18. Records begin at multiples of 8 (MAXALIGN), so that the
 * length, which comes first, is never split; the rest of the header may be. */
#define RECORD_AT_LENGTH   0
#define RECORD_AT_PREVIOUS 8
#define RECORD_AT_CRC	   20
#define RECORD_ALIGNMENT   8

struct wal_walk {
	wal_visit visit;
	void *context;
	struct wal_segment segment; /* the one being walked, or the last */
	uint64_t position;	    /* how far WAL is known to go */
	uint64_t skip_to;	    /* a segment switch leaves the rest of its segment unused up to here */
	uint64_t previous;	    /* start of the last complete record, 0: none yet */
	uint32_t timeline;	    /* of the last page */
	bool started;
	bool ended;
	bool has_head;
	bool in_head;	/* head is still going on */
	bool in_record; /* record is still going on */
	struct wal_crossing head;
	struct wal_crossing record;
	uint32_t record_crc;
	struct buf record_bytes; /* the whole of it, of the few kinds that are read */
	struct wal_event event;	 /* here so that it need not be cleared for each record */
};

static uint64_t align(uint64_t lsn)
{
	return (lsn + RECORD_ALIGNMENT - 1) & ~(uint64_t) (RECORD_ALIGNMENT - 1);
}

bool wal_walk_open(wal_visit visit, void *context, struct wal_walk **walk, struct error *err)
{
	*walk = calloc(1, sizeof(**walk));
	if (*walk == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	(*walk)->visit = visit;
	(*walk)->context = context;
	(*walk)->record_bytes.size_max = WAL_RECORD_SIZE_MAX;
	return true;
}

void wal_walk_close(struct wal_walk *walk)
{
	if (walk == NULL)
		return;
	buf_release(&walk->record_bytes);
	free(walk);
}

bool wal_walk_ended(const struct wal_walk *walk, uint64_t *end_lsn)
{
	*end_lsn = walk->position;
	return walk->ended;
}

const struct wal_crossing *wal_walk_head(const struct wal_walk *walk)
{
	return walk->has_head ? &walk->head : NULL;
}

const struct wal_crossing *wal_walk_tail(const struct wal_walk *walk)
{
	return walk->in_record && !walk->ended ? &walk->record : NULL;
}

/* The CRC covers what follows the header first, then the header up to the CRC itself (ValidXLogRecord()). */
static bool crc_matches(uint32_t crc_of_rest, const uint8_t *header)
{
	uint32_t crc = crc32c_add(crc_of_rest, bytes_of(header, RECORD_AT_CRC));

	return crc32c_final(crc) == load_u32(header + RECORD_AT_CRC);
}

bool wal_record_decode(uint16_t magic, struct bytes record, uint32_t total, struct wal_event *event, struct error *err)
{
	if (record.size < WAL_RECORD_HEADER_SIZE || total < record.size)
		return fail(err, ERROR_CORRUPT, "%zu bytes of a WAL record of %" PRIu32 " bytes say nothing",
			    record.size, total);
	if (record.size == total) {
		struct bytes rest = bytes_slice(record, WAL_RECORD_HEADER_SIZE, record.size - WAL_RECORD_HEADER_SIZE);

		if (!crc_matches(crc32c_add(CRC32C_INIT, rest), record.data))
			return fail(err, ERROR_CORRUPT, "a WAL record has a wrong checksum");
	}
	wal_event_clear(event);
	wal_event_read(magic, record, total, event);
	return true;
}

static bool previous_is_plausible(const struct wal_walk *walk, const uint8_t *header, uint64_t lsn)
{
	uint64_t previous = load_u64(header + RECORD_AT_PREVIOUS);

	return walk->previous != 0 ? previous == walk->previous : previous < lsn;
}

/* A complete record with a good CRC, from `lsn` to `end`; `record` holds its header, and all of it where it is read. */
static bool record_finish(struct wal_walk *walk, struct bytes record, uint64_t lsn, uint64_t end, struct error *err)
{
	struct wal_event *event = &walk->event;

	wal_event_read(walk->segment.magic, record, load_u32(record.data + RECORD_AT_LENGTH), event);
	event->lsn = lsn;
	event->end = end;
	if (wal_record_is_switch(record.data)) {
		uint64_t size = walk->segment.segment_size;

		event->end = (end + size - 1) / size * size;
		walk->skip_to = event->end;
	}
	walk->previous = lsn;
	walk->position = event->end;
	return walk->visit(walk->context, event, err);
}

static bool length_is_plausible(uint32_t total)
{
	return total >= WAL_RECORD_HEADER_SIZE && total <= WAL_RECORD_SIZE_MAX;
}

/* More of an unfinished record. The CRC runs along, so that large records are not copied unless they are read. */
static bool record_continue(struct wal_walk *walk, struct bytes more, struct error *err)
{
	struct wal_crossing *record = &walk->record;
	uint32_t before = record->size;
	size_t in_header = 0;

	if (before < sizeof(record->first)) {
		size_t room = sizeof(record->first) - before;

		memcpy(record->first + before, more.data, more.size < room ? more.size : room);
	}
	record->size += (uint32_t) more.size;
	if (before < WAL_RECORD_HEADER_SIZE)
		in_header = more.size < WAL_RECORD_HEADER_SIZE - before ? more.size : WAL_RECORD_HEADER_SIZE - before;
	walk->record_crc = crc32c_add(walk->record_crc, bytes_slice(more, in_header, more.size - in_header));
	if (record->size < WAL_RECORD_HEADER_SIZE || record->total <= sizeof(record->first) ||
	    !wal_event_needs_all(record->first))
		return true;
	if (walk->record_bytes.size == 0 && before > 0)
		TRY(buf_append(&walk->record_bytes, bytes_of(record->first, before), err));
	return buf_append(&walk->record_bytes, more, err);
}

/* The part of a head that lies here; only its first bytes are kept. */
static void head_continue(struct wal_crossing *head, struct bytes more)
{
	if (head->size < sizeof(head->first)) {
		size_t room = sizeof(head->first) - head->size;

		memcpy(head->first + head->size, more.data, more.size < room ? more.size : room);
	}
	head->size += (uint32_t) more.size;
}

static void walk_end(struct wal_walk *walk, uint64_t lsn)
{
	walk->ended = true;
	walk->position = lsn;
}

/* An unfinished record has got its last byte, `end` behind it. */
static bool crossing_finish(struct wal_walk *walk, uint64_t end, struct error *err)
{
	struct wal_crossing *record = &walk->record;

	if (walk->in_head) {
		walk->in_head = false;
		walk->head.end = end;
		walk->position = end;
		return true;
	}
	if (!previous_is_plausible(walk, record->first, record->lsn) || !crc_matches(walk->record_crc, record->first)) {
		walk_end(walk, record->lsn);
		return true;
	}
	walk->in_record = false;
	record->end = end;
	if (walk->record_bytes.size > 0)
		return record_finish(walk, buf_bytes(&walk->record_bytes), record->lsn, end, err);
	size_t kept = record->size < sizeof(record->first) ? record->size : sizeof(record->first);
	return record_finish(walk, bytes_of(record->first, kept), record->lsn, end, err);
}

/* What continues from the page before, at most the whole page; *offset is moved behind it. */
static bool crossing_continue(struct wal_walk *walk, struct bytes page, uint64_t page_lsn, size_t *offset,
			      struct error *err)
{
	struct wal_crossing *crossing = walk->in_head ? &walk->head : &walk->record;
	size_t left = crossing->total - crossing->size, room = page.size - *offset;
	struct bytes more = bytes_slice(page, *offset, left < room ? left : room);

	if (walk->in_head)
		head_continue(&walk->head, more);
	else
		TRY(record_continue(walk, more, err));
	*offset += (size_t) align(more.size);
	return more.size == left ? crossing_finish(walk, page_lsn + *offset, err) : true;
}

/* A record of which `more` is all that fits on this page. */
static bool record_begin(struct wal_walk *walk, struct bytes more, uint32_t total, uint64_t lsn, struct error *err)
{
	walk->in_record = true;
	walk->record.lsn = lsn;
	walk->record.end = 0;
	walk->record.total = total;
	walk->record.size = 0;
	walk->record_crc = CRC32C_INIT;
	buf_clear(&walk->record_bytes);
	if (more.size >= WAL_RECORD_HEADER_SIZE && !previous_is_plausible(walk, more.data, lsn)) {
		walk_end(walk, lsn);
		return true;
	}
	return record_continue(walk, more, err);
}

/* The records that begin on this page. Those which end here too are read where they lie. */
static bool records_walk(struct wal_walk *walk, struct bytes page, uint64_t page_lsn, size_t offset, struct error *err)
{
	while (offset < page.size && !walk->ended && page_lsn + offset >= walk->skip_to) {
		struct bytes rest = bytes_slice(page, offset, page.size - offset);
		uint64_t lsn = page_lsn + offset;
		uint32_t total = load_u32(rest.data + RECORD_AT_LENGTH);

		if (!length_is_plausible(total)) {
			walk_end(walk, lsn);
			return true;
		}
		if (total > rest.size)
			return record_begin(walk, rest, total, lsn, err);
		struct bytes record = bytes_slice(rest, 0, total);
		struct bytes body = bytes_slice(record, WAL_RECORD_HEADER_SIZE, total - WAL_RECORD_HEADER_SIZE);

		if (!previous_is_plausible(walk, record.data, lsn) ||
		    !crc_matches(crc32c_add(CRC32C_INIT, body), record.data)) {
			walk_end(walk, lsn);
			return true;
		}
		offset += (size_t) align(total);
		TRY(record_finish(walk, record, lsn, page_lsn + offset, err));
	}
	return true;
}

/* Is this the page that belongs here? A recycled segment carries old addresses, and timelines never go back. */
static bool page_is_valid(const struct wal_walk *walk, struct bytes page, uint64_t page_lsn)
{
	uint16_t info = load_u16(page.data + PAGE_AT_INFO);
	bool is_first = page_lsn == walk->segment.start;

	return load_u16(page.data + PAGE_AT_MAGIC) == walk->segment.magic && (info & ~PAGE_FLAGS) == 0 &&
	       ((info & PAGE_LONG_HEADER) != 0) == is_first && load_u64(page.data + PAGE_AT_ADDRESS) == page_lsn &&
	       load_u32(page.data + PAGE_AT_TIMELINE) >= walk->timeline;
}

/* A server that crashed amid a record and could not finish it marks the page where the rest would have been, and goes
 * on there: the unfinished record never was (CreateOverwriteContrecordRecord() of xlog.c). */
static void crossing_abandon(struct wal_walk *walk)
{
	walk->in_head = false;
	walk->in_record = false;
}

/* Does the page continue what the walk has unfinished? A walk that has just begun learns of its head here. */
static bool rest_is_plausible(struct wal_walk *walk, uint16_t info, uint32_t rest)
{
	const struct wal_crossing *crossing = walk->in_head ? &walk->head : &walk->record;
	bool is_rest = (info & PAGE_FIRST_IS_REST) != 0;

	if (!walk->started && is_rest && rest > 0 && rest <= WAL_RECORD_SIZE_MAX) {
		walk->has_head = walk->in_head = true;
		walk->head.total = rest;
		return true;
	}
	if (walk->in_head || walk->in_record)
		return is_rest && rest == crossing->total - crossing->size;
	return !is_rest;
}

static bool page_walk(struct wal_walk *walk, struct bytes page, uint64_t page_lsn, struct error *err)
{
	bool is_first = page_lsn == walk->segment.start;
	size_t offset = is_first ? WAL_PAGE_HEADER_LONG_SIZE : WAL_PAGE_HEADER_SIZE;
	uint16_t info = load_u16(page.data + PAGE_AT_INFO);

	if (page_is_valid(walk, page, page_lsn) && (info & PAGE_FIRST_IS_OVERWRITE) != 0)
		crossing_abandon(walk);
	if (!page_is_valid(walk, page, page_lsn) ||
	    !rest_is_plausible(walk, info, load_u32(page.data + PAGE_AT_REST))) {
		walk_end(walk, walk->in_record ? walk->record.lsn : walk->position);
		return true;
	}
	walk->started = true;
	walk->timeline = load_u32(page.data + PAGE_AT_TIMELINE);
	if (walk->in_head || walk->in_record)
		TRY(crossing_continue(walk, page, page_lsn, &offset, err));
	if (walk->in_head || walk->in_record || walk->ended)
		return true;
	return records_walk(walk, page, page_lsn, offset, err);
}

/* The order of segments is the caller's part of the contract; what is in them is nobody's. */
static bool segment_accept(struct wal_walk *walk, const struct wal_segment *segment, struct error *err)
{
	const struct wal_segment *last = &walk->segment;
	bool is_first = last->segment_size == 0;

	if (!wal_segment_size_valid(segment->segment_size) || segment->page_size < WAL_PAGE_HEADER_LONG_SIZE ||
	    segment->segment_size % segment->page_size != 0 || segment->page_size % RECORD_ALIGNMENT != 0)
		return fail(err, ERROR_USAGE,
			    "a WAL segment of %" PRIu32 " bytes with pages of %" PRIu32 " cannot be walked",
			    segment->segment_size, segment->page_size);
	if (!is_first &&
	    (segment->segment_size != last->segment_size || segment->system_identifier != last->system_identifier ||
	     segment->start != last->start + last->segment_size))
		return fail(err, ERROR_USAGE, "the WAL segment at %" PRIX64 " does not follow that at %" PRIX64,
			    segment->start, last->start);
	if (is_first)
		walk->position = segment->start;
	if (wal_magic_version(segment->magic) == 0 || (!is_first && segment->magic != last->magic))
		walk_end(walk, walk->in_record ? walk->record.lsn : walk->position);
	walk->segment = *segment;
	return true;
}

bool wal_walk_segment(struct wal_walk *walk, struct bytes content, const struct wal_segment *segment, struct error *err)
{
	if (walk->ended)
		return true;
	TRY(segment_accept(walk, segment, err));
	for (uint64_t at = 0; at < segment->segment_size && !walk->ended; at += segment->page_size) {
		uint64_t page_lsn = segment->start + at;

		if (page_lsn + segment->page_size <= walk->skip_to)
			continue;
		if (at + segment->page_size > content.size) {
			walk_end(walk, walk->in_record ? walk->record.lsn : walk->position);
			break;
		}
		TRY(page_walk(walk, bytes_slice(content, (size_t) at, segment->page_size), page_lsn, err));
	}
	if (!walk->ended)
		walk->position = segment->start + segment->segment_size;
	return true;
}
