/* How a plan, and what comes of it, is said: as lines for people, as JSON for programs. */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "plan.h"

#define REPORT_SIZE_SIZE 24

/* "12 kB", "3168 MB": as pg_size_pretty() of PostgreSQL. */
void report_size(uint64_t size_bytes, char text[REPORT_SIZE_SIZE]);
void report_plan(const struct plan *plan, FILE *stream);
bool report_encode(const struct plan *plan, json_t *json, struct error *err) MUST_CHECK;
/* What to do next, after a restore into `pgdata`. */
bool report_next(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err) MUST_CHECK;
