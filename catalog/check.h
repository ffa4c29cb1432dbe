/* pitr-check: a list of questions, each answered by a status and a sentence. A new question is a row of the table in
 * check.c and a function that adds what it finds.
 */
#pragma once

#include "base/json.h"
#include "config/options.h"
#include "repo/lineage.h"

/* What monitoring expects as exit status (Nagios plugin guidelines). */
enum check_status { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

#define FINDINGS_MAX 64

struct finding {
	const char *check; /* which question */
	enum check_status status;
	char text[1024];
	char hint[512]; /* may be empty */
	json_t *detail; /* for --json: members beside the text; owned; NULL: none */
};

struct checking {
	const struct options *options;
	const char *check; /* the question that is being asked */
	struct repo *repo; /* from the first question on */
	bool has_server;   /* options->pgdata is a data directory of the repository's system on this machine */
	struct catalog catalog;
	struct lineage lineage;
	int finding_count; /* all; FINDINGS_MAX are kept */
	struct finding findings[FINDINGS_MAX];
};

/* The finding is returned for a hint or details; never NULL. */
struct finding *finding_add(struct checking *checking, enum check_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Asks, prints, and returns the exit status. */
int check_run(const struct options *options);

/* Questions. False: the question could not be answered, and *err says why; the ones behind it are not asked. */
bool check_wal(struct checking *checking, struct error *err) MUST_CHECK;
bool check_server(struct checking *checking, struct error *err) MUST_CHECK;
bool check_promote(struct checking *checking, struct error *err) MUST_CHECK;
