/* Seeing a restore through: the server is started, followed to its target, and what it reached is reported and held
 * against the plan. Serves a restore with --start, and --step. */
#pragma once

#include "plan/prediction.h"
#include "recovery/launch.h"
#include "recovery/state.h"

struct starting {
	struct repo *repo;
	const struct options *options;
	const struct plan *plan;
	const struct prediction *prediction;
	struct launch *launch;
	json_t *json;		      /* with --json: the answer, to which what was reached is added */
	uint64_t from;		      /* LSN at which replay begins */
	struct measurement *measured; /* to be completed and stored; NULL: this one says nothing about others */
};

/* The flags that start a server mean something only with one that is started, and a standby reaches no target. */
bool start_check(const struct options *options, struct error *err) MUST_CHECK;
/* Everything that can be told before a byte is written: the programs, and a postgresql.conf. */
bool start_plan(struct repo *repo, const struct options *options, const struct backup *backup, struct launch *launch,
		struct error *err) MUST_CHECK;
/* False, too, when the server reached something else than was planned; then what it reached has been reported. */
bool start_run(const struct starting *asked, struct error *err) MUST_CHECK;
