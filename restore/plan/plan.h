/* From a target to a backup, a timeline and a stretch of WAL, all proved before a byte is written. plan_choose() is the
 * pure decision; the rest gathers the facts for it.
 */
#pragma once

#include "plan/reach.h"
#include "repo/branch_mark.h"

struct plan {
	struct target target;
	struct lineage lineage;	    /* owns the path of `reach` */
	struct surviving surviving; /* asked: set it before plan_make() */
	struct reach reach;
	bool is_backup_given;	   /* with --backup, or by what a step goes on from */
	bool is_step;		   /* asked: the backup is laid down already */
	struct branch_mark mark;   /* whose history the restored server writes: copy.h */
	uint64_t wal_stored_size;  /* bytes in the repository of the segments that are needed */
	bool needs_secret_key;	   /* the key at hand plans, but cannot restore */
	struct wal_needed retired; /* owned: WAL that pitr-expire removed */
};

/* What is there to plan with: the backups, and what was found out about them and about WAL since. */
bool plan_read_catalog(struct repo *repo, struct plan *plan, struct catalog *catalog, struct error *err) MUST_CHECK;
/* *plan is all zero but for what is asked. Nothing of the target is in doubt afterwards, nor would replay make a
 * tablespace where there is something. */
bool plan_make(struct repo *repo, const struct catalog *catalog, const struct options *options,
	       const struct target *target, struct plan *plan, struct error *err) MUST_CHECK;
void plan_release(struct plan *plan);
#define PLAN_CLEANUP __attribute__((cleanup(plan_release)))

/* Which of several paths? `is_end` says of each whether history goes no further there. USAGE when two contain different
 * targets (both are named), or the reason when none contains it. */
bool plan_choose(enum target_kind kind, const struct reach *reaches, const bool *is_end, int count, int *chosen,
		 struct error *err) MUST_CHECK;
