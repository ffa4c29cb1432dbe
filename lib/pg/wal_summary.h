/* What one WAL segment says about itself: made while it is archived, stored with its object, read instead of the
 * segment by everything that looks for a point in time. Describes the segment alone; a record that crosses into the
 * next one is found by joining the summaries of both. Knows nothing of names, timelines' histories or repositories;
 * wal_summary_json.h stores it.
 */
#pragma once

#include "pg/wal_changes.h"
#include "pg/wal_record.h"

#define WAL_RESTORE_POINTS_MAX 64
/* Few, so that a summary fits into the meta section of an object (64 KiB) whatever the paths are. */
#define WAL_TABLESPACES_MAX	 8
#define WAL_DATABASES_MAX	 8
#define WAL_DROPS_MAX		 12
#define WAL_DROP_FILES_MAX	 8
#define WAL_DROP_RELATIONS_MAX	 8
#define WAL_TRUNCATES_MAX	 8
#define WAL_FILE_TRUNCATIONS_MAX 12
#define WAL_LOCKS_MAX		 24
#define WAL_CHANGES_MAX		 32
#define WAL_RELATIONS_MAX	 16
#define WAL_ENDS_MAX		 24
/* Rows of one transaction in one relation that are worth a place: updated and deleted, or inserted. */
#define WAL_CHANGE_ROWS_MIN   10
#define WAL_CHANGE_INSERT_MIN 1000

/* A tablespace that was created. */
struct wal_tablespace {
	uint64_t lsn;	   /* of the record */
	uint64_t previous; /* of the record before it */
	uint32_t oid;
	char path[WAL_PATH_SIZE];
};

/* The last checkpoint. */
struct wal_checkpoint {
	uint64_t lsn, redo;
	uint64_t next_xid; /* with the epoch above */
	int64_t time_us;
	uint32_t timeline, previous_timeline;
	bool is_shutdown;
};

/* A server ended recovery here and began a timeline. */
struct wal_recovery_end {
	uint64_t lsn; /* 0: there is none */
	int64_t time_us;
	uint32_t timeline, previous_timeline;
};

struct wal_database {
	uint64_t lsn;
	uint32_t xid, oid;
	bool is_dropped; /* else created */
};

/* A commit that drops files of relations. */
struct wal_drop {
	uint64_t lsn;
	int64_t time_us;
	uint32_t xid, database;
	uint32_t file_count, relation_count; /* all of them */
	struct relation_file files[WAL_DROP_FILES_MAX];
	uint32_t relations[WAL_DROP_RELATIONS_MAX];
};

/* TRUNCATE, which does not drop but replace; it counts when its transaction commits. */
struct wal_truncate {
	uint64_t lsn;
	uint32_t xid, database;
	uint32_t relation_count;
	uint32_t relations[WAL_DROP_RELATIONS_MAX];
};

struct wal_file_truncation {
	uint64_t lsn;
	uint32_t xid; /* 0: VACUUM */
	struct relation_file file;
	uint32_t blocks; /* that are left */
};

/* A transaction that began in an earlier segment, as far as can be told from this one: it is not younger than the first
 * whose record stands here. */
struct wal_end {
	uint64_t lsn;
	int64_t time_us;
	uint32_t xid;
	bool is_abort;
	uint32_t subtransaction_count, subtransaction_min, subtransaction_max;
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
	/* Below, too, counts are of all there are, and so many as there is room for are kept. */
	uint32_t xid_min, xid_max; /* over commits, aborts, in the order of transactions; 0: none */
	int checkpoint_count;
	struct wal_checkpoint checkpoint;
	struct wal_recovery_end recovery_end;
	int database_count;
	struct wal_database databases[WAL_DATABASES_MAX];
	int drop_count;
	struct wal_drop drops[WAL_DROPS_MAX];
	int truncate_count;
	struct wal_truncate truncates[WAL_TRUNCATES_MAX];
	int file_truncation_count;
	struct wal_file_truncation file_truncations[WAL_FILE_TRUNCATIONS_MAX];
	int lock_count;
	struct wal_lock locks[WAL_LOCKS_MAX];
	struct wal_rows rows;	/* all of them */
	uint64_t other_changes; /* of those: rows without room while counting */
	int change_count;
	struct wal_change changes[WAL_CHANGES_MAX];
	int relation_count;
	struct wal_relation_rows relations[WAL_RELATIONS_MAX];
	int end_count;
	struct wal_end ends[WAL_ENDS_MAX];
};

/* Walks the segment alone. Never fails for what is in it (SYSTEM only). */
bool wal_summary_make(struct bytes content, const struct wal_segment *segment, struct wal_summary *summary,
		      struct error *err) MUST_CHECK;
/* Do they belong together: the beginning of a record in `before`, its end in `after`, and nothing but its middle in the
 * segments between? */
bool wal_summary_fits(const struct wal_summary *before, const struct wal_summary *after);
/* The record that begins in `before` and ends in `after`, the next segment (or, for a record larger than a segment, the
 * one where it ends): *event is filled and true returned when there is one, the two fit together, and its nature can be
 * told from the kept bytes. Its CRC is verified when all of it was kept; else it may
 * be cut. *event cannot be copied: it borrows from itself. */
bool wal_summary_join(const struct wal_summary *before, const struct wal_summary *after, struct wal_event *event);
/* Start of the last record that is complete at the end of the last of `count` consecutive segments, wherever it began;
 * 0: it began before the first of them. Two are enough unless records are larger than a segment. */
uint64_t wal_summary_last_record(const struct wal_summary *const *summaries, int count);

/* *tablespace from an event of kind WAL_TABLESPACE. */
void wal_tablespace_take(const struct wal_event *event, struct wal_tablespace *tablespace);
/* *drop from a commit that drops files. */
void wal_drop_take(const struct wal_event *event, struct wal_drop *drop);
