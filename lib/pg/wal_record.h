/* Walks the records of WAL segments of PostgreSQL 13 to 18, defensively: every length is checked against what is
 * there, CRCs are verified, nothing is allocated beyond a bound. What a record says is read by wal_event.h. The page
 * magic selects the layout; with an unknown one nothing is understood, and that is no error.
 *
 * A walk is fed consecutive segments (or one alone). Records may cross pages and segments: the walk keeps an
 * unfinished record between segments; a walk that starts with the rest of a record whose beginning it has not seen
 * reports that rest as `head`.
 */
#pragma once

#include "base/buf.h"
#include "pg/wal_event.h"
#include "pg/wal_segment.h"

#define WAL_RECORD_SIZE_MAX (1u << 30)

/* Sees every complete record with a good CRC, in order; false stops the walk with *err. What the event borrows is gone
 * behind it. */
typedef bool (*wal_visit)(void *context, const struct wal_event *event, struct error *err);

struct wal_walk;
bool wal_walk_open(wal_visit visit, void *context, struct wal_walk **walk, struct error *err) MUST_CHECK;
void wal_walk_close(struct wal_walk *walk);
/* Walks one segment. Where the WAL ends inside it (zeroes, an old page of a recycled file, a bad CRC), the walk ends
 * there and says so in wal_walk_ended(); only a broken contract (not the next segment) is an error: USAGE. Segments
 * behind the end are not looked at. */
bool wal_walk_segment(struct wal_walk *walk, struct bytes content, const struct wal_segment *segment,
		      struct error *err) MUST_CHECK;
/* *end_lsn is how far WAL goes, whether it has ended or not: behind the last complete record when it has, else behind
 * the last segment walked. An unfinished record at the end of WAL does not count. */
bool wal_walk_ended(const struct wal_walk *walk, uint64_t *end_lsn);

/* A record that lies on more than one page, or what a walk has seen of it. */
struct wal_crossing {
	uint64_t lsn;	/* its start; 0 for the head of a walk: it began before */
	uint64_t end;	/* first byte behind it, aligned; 0: not reached */
	uint32_t total; /* its length; of a head: of the part that had not been seen when the walk began */
	uint32_t size;	/* how much of that has been seen */
	uint8_t first[WAL_JOIN_SIZE_MAX]; /* the first of what has been seen */
};

/* The rest of a record that began before the walk did; NULL: there is none. */
const struct wal_crossing *wal_walk_head(const struct wal_walk *walk);
/* The record that is unfinished at the end of the last segment; NULL: there is none. */
const struct wal_crossing *wal_walk_tail(const struct wal_walk *walk);

/* What the first `record.size` bytes of a record of `total` bytes say: all but lsn and end of *event. CORRUPT when
 * they are too few for its header, or when it is complete and its CRC is wrong. */
bool wal_record_decode(uint16_t magic, struct bytes record, uint32_t total, struct wal_event *event,
		       struct error *err) MUST_CHECK;
