/* pitr-verify: reads and authenticates what is stored, and says of each thing that is damaged or missing what can no
 * longer be restored because of it.
 *
 * One listing is the table of what there is (verify_table.h). Every object of it is looked at once: its header always,
 * its content where the key allows it and the subset has it (verify_object.c, verify_pack.c). Then what must be there
 * for a restore is held against the table: parts, packs and extents of each backup (verify_backup.c), and the WAL of
 * every path (verify_wal.c). What is wrong is a problem (verify_problem.h), never a failure: a failure is only what
 * leaves in doubt what is there. This header is what these files share.
 */
#pragma once

#include <pthread.h>

#include "base/progress.h"
#include "config/options.h"
#include "repo/fact.h"
#include "repo/wal_needed.h"
#include "verify_problem.h"
#include "verify_table.h"

enum verify_scope { VERIFY_ALL, VERIFY_WAL, VERIFY_BACKUP };

/* What was found out about a backup of the catalog. */
struct verified_backup {
	bool is_looked_at; /* it belongs to what was asked for */
	bool is_on_path;   /* of some timeline */
	bool is_damaged;   /* it cannot be restored … */
	bool is_gone;	   /* … but was deleted meanwhile, and is nobody's concern */
	char why[1024];	   /* the first reason */
};

/* Every moment of a timeline behind `after_us` and before `until_us` can no longer be restored. */
struct lost_stretch {
	char branch[BRANCH_NAME_MAX + 1];
	uint32_t timeline;
	bool has_after, has_until; /* false: nothing before, or nothing behind it can */
	int64_t after_us, until_us;
	char label[BACKUP_LABEL_SIZE];	 /* the backup that starts anew; "" where there is none */
	char damaged[BACKUP_LABEL_SIZE]; /* the backup that cannot be restored, where it begins with one; "" */
	char because[LAYOUT_KEY_SIZE];	 /* the first object that is damaged or missing; "" */
};

struct verify {
	const struct options *options;
	struct repo *repo;
	enum verify_scope scope;
	size_t backup;	      /* scope VERIFY_BACKUP: which of the catalog */
	uint32_t part, parts; /* of the subset: 1 of 1 is everything */
	bool reads_contents;  /* the key allows it */
	struct catalog catalog;
	struct verified_backup *backups; /* owned; as many as are in the catalog */
	struct facts verdicts;		 /* that were there when it began: what it can take back */
	struct verify_table table;
	struct problems problems;
	struct wal_needed
		retired;       /* WAL that pitr-expire has removed, as far as it was asked for: verify_retired_read() */
	uint32_t segment_size; /* of any segment; 0: there is none */
	bool has_bad_index;
	size_t lost_count, lost_capacity;
	struct lost_stretch *lost; /* owned */
	struct progress progress;

	pthread_mutex_t lock;	  /* guards what follows */
	pthread_cond_t changed;	  /* memory has been given back */
	uint64_t memory_used;	  /* by buffers under way */
	uint64_t objects_checked; /* headers or more */
	uint64_t objects_read, bytes_read;
};

/* Waits until that much more fits into the setting "memory"; one that is larger than all of it goes alone. */
void verify_memory_take(struct verify *verify, uint64_t size);
void verify_memory_give(struct verify *verify, uint64_t size);
/* Threads that wait for the repository or compute. */
int verify_threads(const struct verify *verify);
void verify_count(struct verify *verify, bool is_read, uint64_t size);
/* Is its content to be read now? */
bool verify_reads(const struct verify *verify, const struct verify_object *object);

/* Each fails only when it could not be found out. In this order. */
bool verify_objects(struct verify *verify, struct error *err) MUST_CHECK;
bool verify_backups(struct verify *verify, struct error *err) MUST_CHECK;
bool verify_indexes(struct verify *verify, struct error *err) MUST_CHECK;
bool verify_wal(struct verify *verify, struct error *err) MUST_CHECK;
/* Reads anew which WAL was removed on purpose; there are backups. */
bool verify_retired_read(struct verify *verify, struct error *err) MUST_CHECK;
/* Facts of what was found; what the credentials may not write is said and left. */
bool verify_record(struct verify *verify, struct error *err) MUST_CHECK;
bool verify_report(const struct verify *verify, struct error *err) MUST_CHECK;
bool verify_is_good(const struct verify *verify);
/* All of what was asked for was read, of backups too: not only a part, and with the secret key. */
bool verify_is_complete(const struct verify *verify);

/* Can this run be one of the parts which together read everything (verify_cycle.c)? */
bool verify_is_of_cycle(const struct verify *verify);
/* What earlier runs have found out, as far back as facts about runs stay; the caller releases it. */
bool verify_cycle_read(const struct verify *verify, struct facts *facts, struct error *err) MUST_CHECK;
/* Is this part the last one in which the backup was read and found good? `fact` becomes what is to be said of it, with
 * a detail that the caller releases. */
bool verify_cycle_ends(const struct verify *verify, const struct facts *facts, const char *label, bool *ends,
		       struct fact *fact, struct error *err) MUST_CHECK;

/* One object of class host, one WAL file: what is wrong becomes a problem. False: it could not be found out. */
bool verify_host_object(struct verify *verify, struct verify_object *object, struct error *err) MUST_CHECK;
bool verify_wal_object(struct verify *verify, struct verify_object *object, struct error *err) MUST_CHECK;
/* Of packs, and of what only others can open: the header. */
bool verify_header(struct verify *verify, struct verify_object *object, struct error *err) MUST_CHECK;
/* What could not be read is damaged, missing or unread; UNREACHABLE is handed on as a failure. */
bool verify_take_failure(struct verify *verify, struct verify_object *object, struct error *err) MUST_CHECK;
/* A digest of what is stored beside a segment. */
bool verify_meta_digest(const json_t *meta, uint8_t digest[VERIFY_DIGEST_SIZE], struct error *err) MUST_CHECK;
/* The backup cannot be restored. */
void verify_backup_damaged(struct verify *verify, size_t backup, const char *why);

/* The whole program, behind its options. */
int verify_run(const struct options *options);
