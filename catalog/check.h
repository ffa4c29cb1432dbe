/* pitr-check: a list of questions, each answered by a status and a sentence, and by numbers. A new question is a row of
 * the table in check.c and a function that adds what it finds.
 */
#pragma once

#include "base/json.h"
#include "config/options.h"
#include "pg/postmaster.h"
#include "pg/replication.h"
#include "repo/lineage.h"
#include "repo/wal_needed.h"

/* What monitoring expects as exit status (Nagios plugin guidelines). */
enum check_status { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

#define FINDINGS_MAX  64
#define QUESTIONS_MAX 32

struct finding {
	const char *check; /* which question */
	enum check_status status;
	char text[1024];
	char hint[512]; /* may be empty */
	json_t *detail; /* for --json: members beside the text; owned; NULL: none */
};

/* A question, and the worst of all that was found of it. */
struct question {
	const char *check;
	enum check_status worst;
};

/* Numbers, in the order of the table in check_print.c. */
enum check_metric {
	METRIC_BACKUPS,
	METRIC_BACKUP_AGE,  /* seconds */
	METRIC_BACKUP_TIME, /* seconds since 1970 */
	METRIC_BACKUP_DATABASE,
	METRIC_BACKUP_STORED,
	METRIC_LAG,
	METRIC_LAG_SEGMENTS,
	METRIC_GAPS,
	METRIC_RESTORE, /* seconds */
	METRIC_RUNS,	/* of pitr-basebackup, in the last 30 days */
	METRIC_RUNS_FAILED,
	METRIC_WINDOW,	    /* seconds: how far back every moment can be restored */
	METRIC_WINDOW_TIME, /* seconds since 1970 */
	METRIC_UNARCHIVED,  /* seconds: how old the oldest commit is that the archive lacks */
	METRIC_COMMIT_TIME, /* seconds since 1970: of the last one that it has */
	METRIC_REPOSITORY_FREE,
	METRIC_PG_WAL_FREE,
	METRIC_COUNT
};

struct measured {
	bool is_set;
	bool has_limits; /* warning, critical: where the value begins to be one */
	int64_t value, warning, critical;
};

struct checking {
	const struct options *options;
	const char *check; /* the question that is being asked */
	int64_t now_us;
	bool is_lost;	   /* the repository was out of reach: no more is asked of it */
	struct repo *repo; /* NULL: not open */
	bool has_server;   /* options->pgdata is a data directory of the repository's system on this machine */
	bool has_settings; /* the server there has been asked: */
	bool in_recovery;
	int64_t archive_timeout_s; /* 0: off */
	struct catalog catalog;
	struct lineage lineage;
	struct wal_needed retired; /* WAL that was removed on purpose */
	uint64_t replay_bytes;	   /* of WAL, from the last good backup to the end of the archive; 0: not known */
	struct measured metrics[METRIC_COUNT];
	int question_count;
	struct question questions[QUESTIONS_MAX]; /* those that were answered */
	int64_t finding_total;			  /* all; of more than FINDINGS_MAX the worst are kept: */
	int finding_count;
	struct finding findings[FINDINGS_MAX];
	struct finding unkept; /* the last one that was not */
};

/* The finding is returned for a hint or details; never NULL. */
struct finding *finding_add(struct checking *checking, enum check_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void finding_hint(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));
void metric_set(struct checking *checking, enum check_metric metric, int64_t value);
void metric_limits(struct checking *checking, enum check_metric metric, int64_t warning, int64_t critical);

/* Asks, prints, and returns the exit status. */
int check_run(const struct options *options);

enum check_format { FORMAT_NAGIOS, FORMAT_TEXT, FORMAT_PROMETHEUS, FORMAT_JSON };

const char *check_status_name(enum check_status status);
bool check_is_worse(enum check_status one, enum check_status other);
/* Of the findings of one question, or of all (NULL), kept or not. UNKNOWN where there is none. */
enum check_status check_worst(const struct checking *checking, const char *check);
bool check_print(const struct checking *checking, enum check_format format, struct error *err) MUST_CHECK;

/* Leaves the findings in the data directory, for bkp_check() in SQL. What keeps it from that matters to nobody else. */
void check_document_write(const struct checking *checking);

/* How the server is reached: as the flags say, else where postmaster.pid of `pgdata` (may be NULL) says it listens. */
struct check_way {
	struct server_address address;
	struct postmaster postmaster;
	char password[1024];
};

bool check_way_find(const struct options *options, const char *pgdata, struct check_way *way,
		    struct error *err) MUST_CHECK;
void check_way_wipe(struct check_way *way);
#define CHECK_WAY_CLEANUP __attribute__((cleanup(check_way_wipe)))
/* Asks a person for the password where that may help. */
bool check_connect(const struct options *options, struct check_way *way, struct server **server,
		   struct error *err) MUST_CHECK;
/* The server's archive_timeout; 0: off. */
bool check_archive_timeout(struct server *server, int64_t *timeout_s, struct error *err) MUST_CHECK;

/* --setup: prints what is missing, ready to be pasted, and returns the exit status: 1 when anything is. */
int check_setup(const struct options *options);

/* Where a restore of the latest state of that branch goes; NULL: no WAL of it is there. */
const struct wal_path *check_path_of(const struct checking *checking, const char *branch);
/* Is it a backup of production, or of the branch that the server here archives to? Those of copies, and of timelines
 * that were left, are of no use to it. */
bool check_path_counts(const struct checking *checking, const struct backup *backup);
/* Has pitr-expire removed the backup since the catalog was read? */
bool check_path_is_gone(struct checking *checking, const struct backup *backup, bool *is_gone,
			struct error *err) MUST_CHECK;

/* Of those that count, by when they ended; `only_good`: of those that nobody has found damaged. NULL: there is none. */
const struct backup *check_backup_newest(const struct checking *checking, bool only_good);

/* Questions. False: the question could not be answered, and *err says why; those behind it that need the repository are
 * not asked when it did. */
bool check_backup(struct checking *checking, struct error *err) MUST_CHECK;
bool check_size(struct checking *checking, struct error *err) MUST_CHECK;
bool check_clock(struct checking *checking, struct error *err) MUST_CHECK;
bool check_content(struct checking *checking, struct error *err) MUST_CHECK;
bool check_wal(struct checking *checking, struct error *err) MUST_CHECK;
bool check_server(struct checking *checking, struct error *err) MUST_CHECK;
bool check_keys(struct checking *checking, struct error *err) MUST_CHECK;
bool check_canary(struct checking *checking, struct error *err) MUST_CHECK;
bool check_restore(struct checking *checking, struct error *err) MUST_CHECK;
bool check_runs(struct checking *checking, struct error *err) MUST_CHECK;
bool check_retention(struct checking *checking, struct error *err) MUST_CHECK;
bool check_archive(struct checking *checking, struct error *err) MUST_CHECK;
bool check_archived(struct checking *checking, struct error *err) MUST_CHECK;
bool check_settings(struct checking *checking, struct error *err) MUST_CHECK;
bool check_rpo(struct checking *checking, struct error *err) MUST_CHECK;
bool check_space(struct checking *checking, struct error *err) MUST_CHECK;
bool check_promote(struct checking *checking, struct error *err) MUST_CHECK;
