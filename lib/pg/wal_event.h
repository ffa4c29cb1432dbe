/* What one WAL record of PostgreSQL 13 to 18 says, as far as somebody who looks for a point in time wants to know:
 * transactions that end and what they drop, rows that come and go, what is emptied, made and removed, checkpoints, ends
 * of timelines, restore points. Reads defensively: what a record says of itself is held against its bytes. Knows
 * nothing of pages and of where records lie.
 *
 * A record may be cut: only its first bytes are there. Then what they show is told, and `is_cut` set when something
 * that belongs to the event is missing. Block references are read up to the first only: their number grows in minor
 * releases.
 */
#pragma once

#include "base/buf.h"

#define WAL_RECORD_HEADER_SIZE 24 /* SizeOfXLogRecord */
/* Bytes kept of a record that crosses a segment boundary, on each side: enough for its header, the time of a commit or
 * an abort and the first things it drops, the relation of a row, the name of a restore point, and to tell that a
 * tablespace was created; little, since every host of the cluster can read them. */
#define WAL_JOIN_SIZE_MAX 128
#define WAL_PATH_SIZE	  1024 /* MAXPGPATH: a tablespace's directory with its zero */

enum wal_event_kind {
	WAL_COMMIT,
	WAL_ABORT,
	WAL_RESTORE_POINT,
	WAL_TABLESPACE, /* created outside of the data directory */
	WAL_TABLESPACE_DROP,
	WAL_DATABASE,
	WAL_DATABASE_DROP,
	WAL_TRUNCATE,	   /* TRUNCATE names its relations; only with wal_level = logical */
	WAL_FILE_TRUNCATE, /* a relation's file is cut: VACUUM, or TRUNCATE of what the transaction has made itself */
	WAL_LOCK,	   /* AccessExclusiveLock */
	WAL_INSERT,
	WAL_UPDATE,
	WAL_DELETE,
	WAL_CHECKPOINT,
	WAL_RECOVERY_END, /* a timeline ends, the next begins */
	WAL_OTHER
};

/* Where the contents of a relation lie: RelFileLocator (storage/relfilelocator.h; RelFileNode before 16). */
struct relation_file {
	uint32_t tablespace, database, number;
};

/* Items as they lie in the record, borrowed: `count` of them it says, the first `shown` are there. */
struct wal_items {
	const uint8_t *data;
	uint32_t count, shown;
};

struct wal_lock {
	uint32_t xid, database, relation;
};

struct wal_event {
	enum wal_event_kind kind;
	uint64_t lsn;	   /* start of the record */
	uint64_t end;	   /* first byte behind it, aligned; of a segment switch: end of the segment */
	uint64_t previous; /* start of the record before it, as it says itself (xl_prev) */
	/* The transaction that commits or aborts. Two-phase: the prepared one (0 when a joined record does not show
	 * it). ROLLBACK TO SAVEPOINT writes an abort that names the subtransaction. Other records: their xl_xid, which
	 * may be a subtransaction's. */
	uint32_t xid;
	int64_t time_us;   /* commit, abort, restore point, checkpoint, end of recovery: since 1970, UTC */
	uint32_t database; /* commit, abort: where, 0: not told; of databases and TRUNCATE: which */
	bool is_cut;	   /* not all that it says is there */
	bool path_is_cut;
	bool is_shutdown;	   /* checkpoint */
	uint32_t tablespace;	   /* which; of a database: where */
	struct relation_file file; /* of rows, and of a file that is cut */
	uint32_t rows;		   /* inserted, updated or deleted; 0: a cut record does not show how many */
	uint32_t blocks;	   /* that are left of a file that is cut */
	uint32_t timeline,
		previous_timeline;	  /* checkpoint, end of recovery; they differ when a timeline begins there */
	uint64_t redo;			  /* checkpoint */
	uint64_t next_xid;		  /* checkpoint: with the epoch above */
	struct wal_items subtransactions; /* commit, abort: see wal_event_xid() */
	struct wal_items files;		  /* commit, abort: dropped; wal_event_file() */
	struct wal_items statistics;	  /* commit, abort since 15: dropped; wal_event_dropped_relation() */
	struct wal_items relations;	  /* TRUNCATE: wal_event_relation() */
	struct wal_items locks;		  /* wal_event_lock() */
	uint8_t statistics_size;	  /* of each */
	char name[64];			  /* restore point */
	/* A tablespace that was created outside of the data directory: the absolute path at which replay makes it
	 * again. */
	char path[WAL_PATH_SIZE];
	/* The record itself, where nobody else has it: an event of wal_summary_join() borrows from here, so it cannot
	 * be copied. */
	uint8_t joined[2 * WAL_JOIN_SIZE_MAX];
};

/* Each for 0 <= at < shown (asserted). */
uint32_t wal_event_xid(const struct wal_event *event, uint32_t at);
struct relation_file wal_event_file(const struct wal_event *event, uint32_t at);
/* False: statistics of something other than a relation. The OID of a table, a partitioned one, an index, … */
bool wal_event_dropped_relation(const struct wal_event *event, uint32_t at, uint32_t *relation);
uint32_t wal_event_relation(const struct wal_event *event, uint32_t at);
struct wal_lock wal_event_lock(const struct wal_event *event, uint32_t at);

/* An event that says nothing. What `joined` holds stays. */
void wal_event_clear(struct wal_event *event);
/* Fills in all but where the record lies. `record` is the first bytes, its header at least, of `total`. What *event
 * said of another record is replaced; one that says nothing yet must have been cleared or be all zeroes. */
void wal_event_read(uint16_t magic, struct bytes record, uint32_t total, struct wal_event *event);
/* Must a record of these be there as a whole to be told in full? Its first WAL_JOIN_SIZE_MAX bytes are enough else. */
bool wal_event_needs_all(const uint8_t header[WAL_RECORD_HEADER_SIZE]);
/* Is it a segment switch, behind which the rest of its segment is unused? `header` is all of the 24 bytes. */
bool wal_record_is_switch(const uint8_t header[WAL_RECORD_HEADER_SIZE]);

/* Order of transactions, modulo 2^32 (TransactionIdPrecedes() of transam.c). */
bool xid_precedes(uint32_t a, uint32_t b);
