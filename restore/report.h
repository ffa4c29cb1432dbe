/* How a plan, and what comes of it, is said: as lines for people, as JSON for programs. */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "files/batch.h"
#include "plan/plan.h"
#include "plan/prediction.h"

#define REPORT_SIZE_SIZE 24

/* "12 kB", "3168 MB": as pg_size_pretty() of PostgreSQL. */
void report_size(uint64_t size_bytes, char text[REPORT_SIZE_SIZE]);
void report_plan(const struct plan *plan, FILE *stream);
bool report_encode(const struct plan *plan, json_t *json, struct error *err) MUST_CHECK;
/* How long it will take. */
void report_duration(const struct prediction *prediction, FILE *stream);
bool report_encode_duration(const struct prediction *prediction, json_t *json, struct error *err) MUST_CHECK;
/* What is about to be done: on stderr, where the log shows such things; with --dry-run it is the answer, on stdout. */
bool report_intent(const struct plan *plan, const struct prediction *prediction, const struct options *options,
		   struct error *err) MUST_CHECK;
/* How much of a directory that was restored onto could stay. */
void report_counts(const struct batch_counts *counts, FILE *stream);
bool report_encode_counts(const struct batch_counts *counts, json_t *json, struct error *err) MUST_CHECK;
/* What becomes of the WAL of the restored server. */
bool report_archiving(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err) MUST_CHECK;
/* What to do next, after a restore into `pgdata`. */
bool report_next(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err) MUST_CHECK;
