/* What the local mirror of the catalog says (lib/repo/mirror.h), as plain structs: decoded once, completely, and
 * checked against limits of our own, so that whoever makes rows of it meets no text to parse and no number that SQL
 * cannot hold. Everything is allocated in the memory context that is current; texts are UTF-8, as in the file. Knows
 * nothing of files and of rows.
 */
#pragma once

#include "postgres.h"

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#include "base/error.h"

/* Jansson's: its header and fmgrprotos.h of PostgreSQL both declare a json_object(), so no file can include both. */
struct json_t;

struct mirror_backup {
	const char *label, *kind, *status, *note; /* note "": none */
	TimestampTz started, finished;
	XLogRecPtr start_lsn, stop_lsn;
	int32 start_timeline, stop_timeline, server_version;
	int64 database_bytes, stored_bytes;
	bool is_pinned, is_verified;
	TimestampTz pinned_until, verified; /* pinned_until: DT_NOEND for ever */
};

/* A commit of which is known where it lies; lsn 0: there is none. */
struct mirror_commit {
	XLogRecPtr lsn;
	TransactionId xid;
	TimestampTz time;
};

/* Consecutive segments, and what lies in them. */
struct mirror_mark {
	uint64 first, last; /* segment numbers */
	int64 stored_bytes;
	bool has_times; /* false: no commit and no rollback is in them */
	TimestampTz time_min, time_max;
	struct mirror_commit last_commit;
};

/* A stretch of a path through the timelines in which every moment can be restored. */
struct mirror_window {
	const char *branch, *end; /* end: why it goes no further, as `pitr-catalog window` says it */
	int32 timeline, gaps;
	TimestampTz earliest, latest;
	XLogRecPtr earliest_lsn, latest_lsn;
	uint32 segment_size;
	bool is_end;	  /* history goes no further there */
	bool is_proposed; /* pitr-restore may choose it by itself */
	int backup_count;
	const struct mirror_backup **backups; /* by stop LSN */
	int mark_count;
	struct mirror_mark *marks; /* ascending */
};

struct mirror_restore_point {
	const char *name, *branch;
	const char *bytes; /* of the name, as the WAL has it; other than `name` where they are not UTF-8 */
	XLogRecPtr lsn;
	TimestampTz created;
	int32 timeline;
};

struct mirror {
	TimestampTz written;
	bool is_partial; /* it stays behind: more was to be read than is read by the way */
	const char *written_by, *repository, *cluster, *branch, *system_identifier, *settings;
	int backup_count, window_count, restore_point_count;
	struct mirror_backup *backups;
	struct mirror_window *windows;
	struct mirror_restore_point *restore_points;
};

/* CORRUPT, saying what is wrong, for a document that is not what it should be. May raise an ERROR, for want of memory:
 * `json` is the caller's to release then too. */
bool mirror_decode(const struct json_t *json, struct mirror *mirror, struct error *err) MUST_CHECK;
/* Of a time as documents carry it, microseconds since 1970. CORRUPT when it is not between 1970 and 9999. */
bool mirror_get_time(const struct json_t *object, const char *key, TimestampTz *time, struct error *err) MUST_CHECK;
/* False for a branch of copies that nobody adopted: what pitr-restore does not choose by itself. */
bool mirror_branch_is_proposed(const struct mirror *mirror, const char *branch);
