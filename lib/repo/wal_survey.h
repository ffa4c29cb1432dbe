/* What the summaries stored with the segments say about a stretch of WAL: its end, its commits, where a time lies in
 * it, its restore points. Every summary of the stretch is read and authenticated, with the segment or from an index
 * that knows the very object that is there. Knows nothing of backups or of what is to be restored.
 */
#pragma once

#include "pg/wal_summary.h"
#include "repo/wal_range.h"

struct wal_commit {
	uint64_t lsn;	   /* start of the record; 0: there is none */
	uint32_t timeline; /* on which it was written */
	uint32_t xid;
	int64_t time_us;
	bool is_abort;
};

struct wal_restore_point {
	uint64_t lsn;
	uint32_t timeline;
	int64_t time_us;
	char name[64];
};

/* What one segment adds, with the record that began before and ends in it. */
struct wal_survey_segment {
	uint64_t number;
	uint32_t stored_size;  /* of its object, as it was listed */
	bool is_within_record; /* it is nothing but the middle of one */
	uint64_t commits;
	int64_t time_min_us, time_max_us; /* over commits and aborts; 0: none */
	struct wal_commit last_commit;	  /* lsn 0: none */
	int point_count;		  /* restore points; of those that are missing in the summary: */
	int points_omitted;
	struct wal_restore_point points[WAL_RESTORE_POINTS_MAX + 1];
};

/* False with ERROR_NONE: enough. */
typedef bool (*wal_survey_visit)(void *context, const struct wal_survey_segment *segment, struct error *err);

#define WAL_SURVEY_POINTS_MAX	   16
#define WAL_SURVEY_TABLESPACES_MAX 16

/* Tablespaces that replay would create. */
struct wal_tablespaces {
	int count;
	struct wal_tablespace items[WAL_SURVEY_TABLESPACES_MAX]; /* different ones; the first record of each */
	/* What the summaries do not tell: the records of these segments have to be read too. */
	bool has_unread;
	uint64_t unread_first, unread_last;
};

/* A question to the summaries of a stretch of WAL, and the answer. Zero what is not asked. */
struct wal_survey {
	/* asked */
	uint64_t first, last; /* segments, both there */
	uint64_t from;	      /* replay begins here: stops and restore points before it do not count, commits do */
	uint64_t until;	      /* commits that begin behind it do not count; 0: all do */
	int jobs;
	bool seeks_time; /* stop at the first commit or abort that recovery_target_time does */
	bool exclusive;	 /* … which then stops at the time itself, not behind it; of `lsn` see there */
	int64_t time_us;
	const char *name; /* restore points of this name; NULL: none are gathered, "": all */
	bool seeks_xid;	  /* stop at the commit or abort of this transaction */
	uint32_t xid;
	bool seeks_lsn; /* stop at the first record that begins at `lsn` or behind it; exclusive: before it */
	uint64_t lsn;
	wal_survey_visit
		visit; /* called for each segment that counts, in order; where nothing is sought; may be NULL */
	void *context;

	/* answered */
	uint64_t reached; /* the last segment that was looked at */
	bool understood;  /* false: WAL of an unknown version in segment `reached`; nothing behind it */
	uint16_t magic;	  /* of the last segment */
	bool ends_early;  /* WAL ends inside `reached`, before `last`: nothing can be replayed beyond */
	bool is_damaged;  /* segment `reached` could not be read: `damage` says why; nothing in or behind it counts */
	struct error damage;
	uint64_t last_record; /* start of the last complete record; 0: none */
	uint64_t end;	      /* how far WAL goes */
	uint64_t commits, aborts;
	struct wal_commit last_commit;	/* before the stop; commits only */
	struct wal_commit stop;		/* commit or abort at which replay would stop; lsn 0: none */
	uint64_t stop_record, stop_end; /* the record at which replay would stop, and its end; 0: none */
	/* Records had to be read, and the key does not allow it (`denial`). Then `stop` is the first record of the
	 * segment it is in, and commits of a segment do not count of which only some should. */
	bool is_coarse;
	struct error denial;
	int64_t time_min_us, time_max_us; /* over commits and aborts before the stop; 0: none */
	int point_count;		  /* all that were found; the first WAL_SURVEY_POINTS_MAX are kept */
	struct wal_restore_point points[WAL_SURVEY_POINTS_MAX];
	bool points_complete; /* false: a segment has more restore points than its summary keeps */
	/* Created from `from` on, before the stop; of `until` it does not care. */
	struct wal_tablespaces tablespaces;
};

/* Nothing can be replayed beyond the segment that was reached, although there are more. */
bool wal_survey_breaks(const struct wal_survey *survey);
/* Reads the summaries in parallel, in bounded memory. Damage is an answer, not a failure: it may lie behind what is
 * wanted. Fetches a segment only to find a time or a transaction exactly, or where it has more restore points of the
 * wanted name than its summary keeps: that alone needs the secret key. DENIED only when a transaction is sought. False
 * with ERROR_NONE when `visit` returned that. */
bool wal_survey_run(struct repo *repo, const struct wal_range *range, struct wal_survey *survey,
		    struct error *err) MUST_CHECK;
