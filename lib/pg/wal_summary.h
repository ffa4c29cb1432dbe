/* What one WAL segment says about itself: made while it is archived, stored with its object, read instead of the
 * segment by everything that looks for a point in time. Describes the segment alone; a record that crosses into the
 * next one is found by joining the summaries of both. Knows nothing of names, timelines' histories or repositories.
 *
 * As JSON (part of the repository format; LSNs are text like "0/1A2B3C4D" and "0/0" is none, times are integer
 * microseconds since 1970 UTC and 0 is none, bytes are lower-case hexadecimal):
 *   understood           boolean. False: magic, segment_size, page_size and start are all there is
 *   magic                XLOG_PAGE_MAGIC, integer
 *   segment_size, page_size    bytes
 *   start                LSN of the segment's first byte
 *   end                  LSN up to which WAL goes in it
 *   ends_early           boolean: WAL ends before the segment does, other than by a segment switch
 *   first_record         LSN: the first record that begins in it
 *   previous_record      LSN: the record before that one, as it says itself
 *   last_record          LSN: the last record that begins and ends in it
 *   commits, aborts      how many such records begin and end in it
 *   time_min_us, time_max_us   over those
 *   last_commit, last_commit_time_us, last_commit_xid   LSN, time, transaction
 *   head                 only when the segment begins with the rest of a record: {size, end, bytes}: how many bytes are
 *                        missing at the segment's beginning, LSN behind the record ("0/0": not in this segment), the
 *                        first 128 of the bytes that lie here
 *   tail                 only when a record begins here and goes on in the next segment: {record, total, size, bytes}:
 *                        its LSN, its length, how much of it lies here, the first 128 bytes of that
 *   restore_point_count  how many there are
 *   restore_points       the first 64: [{lsn, time_us, name}], "name_hex" instead of name when it is not UTF-8
 *   tablespace_count     how many were created outside of the data directory
 *   tablespaces          the first 8: [{lsn, previous, oid, path}]: LSN of the record and of the one before it, the
 *                        tablespace, its directory; "path_hex" instead of path when that is not UTF-8 or holds control
 *                        characters
 */
#pragma once

#include "base/json.h"
#include "pg/wal_record.h"

#define WAL_RESTORE_POINTS_MAX 64
/* Few, so that a summary fits into the meta section of an object (64 KiB) whatever the paths are. */
#define WAL_TABLESPACES_MAX 8

/* A tablespace that was created. */
struct wal_tablespace {
	uint64_t lsn;	   /* of the record */
	uint64_t previous; /* of the record before it */
	uint32_t oid;
	char path[WAL_PATH_SIZE];
};

struct wal_kept {
	size_t size;
	uint8_t data[WAL_JOIN_SIZE_MAX];
};

struct wal_summary {
	bool understood; /* false: unknown magic; what stands behind `start` is unset */
	uint16_t magic;
	uint32_t segment_size;
	uint32_t page_size;
	uint64_t start;		  /* LSN of the segment's first byte */
	uint64_t first_record;	  /* start of the first record that begins here; 0: none */
	uint64_t previous_record; /* start of the record before that, as it says itself; 0: not known */
	uint64_t last_record;	  /* start of the last record that begins and ends here; 0: none, see
				   * wal_summary_last_record() */
	uint64_t end;		  /* how far WAL goes in this segment */
	bool ends_early;	  /* WAL ends before the segment does, other than by a segment switch */
	uint32_t commits, aborts;
	int64_t time_min_us, time_max_us; /* over commits, aborts; 0: none */
	uint64_t last_commit;		  /* LSN of the last commit; 0: none */
	int64_t last_commit_time_us;
	uint32_t last_commit_xid;
	/* The rest of a record that began before: its last `head_size` bytes (they may go beyond this segment), of
	 * which the first WAL_JOIN_SIZE_MAX of this segment are here; head_end is behind it, 0 when that is not here.
	 */
	uint32_t head_size;
	uint64_t head_end;
	struct wal_kept head;
	/* A record that begins here and goes on in the next segment: its start, its length, how much of it lies here,
	 * the first bytes of it. */
	uint64_t tail_record;
	uint32_t tail_total, tail_size;
	struct wal_kept tail;
	int restore_point_count; /* all of them; the first WAL_RESTORE_POINTS_MAX are kept */
	struct {
		uint64_t lsn;
		int64_t time_us;
		char name[64];
	} restore_points[WAL_RESTORE_POINTS_MAX];
	int tablespace_count; /* all of them; the first WAL_TABLESPACES_MAX are kept */
	struct wal_tablespace tablespaces[WAL_TABLESPACES_MAX];
};

/* Walks the segment alone. Never fails for what is in it (SYSTEM only). */
bool wal_summary_make(struct bytes content, const struct wal_segment *segment, struct wal_summary *summary,
		      struct error *err) MUST_CHECK;
/* The record that begins in `before` and ends in `after`, the next segment (or, for a record larger than a segment, the
 * one where it ends): *event is filled and true returned when there is one, the two fit together, and its nature can be
 * told from the kept bytes. Its CRC is verified when all of it was kept; the path of a tablespace may be cut. */
bool wal_summary_join(const struct wal_summary *before, const struct wal_summary *after, struct wal_event *event);
/* Start of the last record that is complete at the end of the last of `count` consecutive segments, wherever it began;
 * 0: it began before the first of them. Two are enough unless records are larger than a segment. */
uint64_t wal_summary_last_record(const struct wal_summary *const *summaries, int count);

/* *tablespace from an event of kind WAL_TABLESPACE. */
void wal_tablespace_take(const struct wal_event *event, struct wal_tablespace *tablespace);

bool wal_summary_encode(const struct wal_summary *summary, json_t *object, struct error *err) MUST_CHECK;
/* CORRUPT when a field is missing, of another type, or impossible. */
bool wal_summary_decode(const json_t *object, struct wal_summary *summary, struct error *err) MUST_CHECK;
