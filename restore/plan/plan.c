#include "plan/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "plan/route.h"
#include "plan/tablespace_created.h"
#include "plan/verify_wal.h"
#include "repo/fact.h"
#include "repo/retired_wal.h"

void plan_release(struct plan *plan)
{
	reach_release(&plan->reach);
	lineage_release(&plan->lineage);
	wal_directory_release(&plan->surviving.directory);
	wal_needed_release(&plan->retired);
}

/* It helps to choose and to explain; without it a restore is as possible as with it. */
static bool facts_take(struct repo *repo, struct plan *plan, struct catalog *catalog, struct error *err)
{
	struct facts facts FACTS_CLEANUP = {0};

	TRY(facts_read(repo, 1u << FACT_VERIFIED | 1u << FACT_RETIRED, &facts, err));
	facts_apply(&facts, catalog);
	return retired_wal_gather(&facts, &plan->retired, err);
}

bool plan_read_catalog(struct repo *repo, struct plan *plan, struct catalog *catalog, struct error *err)
{
	struct error failure = {0};

	TRY(catalog_read(repo, catalog, err));
	if (catalog->count == 0)
		return true;
	plan->retired.segment_size = catalog->backups[0].segment_size;
	if (!facts_take(repo, plan, catalog, &failure))
		log_warning("what pitr-verify found damaged and pitr-expire removed is not taken into account: %s",
			    failure.text);
	return true;
}

/* "timeline 2 (last commit 2024-01-15 14:30:00+01 at 0/3000060)" */
static void reach_name(const struct reach *reach, char *text, size_t size)
{
	char time[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE], path[WAL_PATH_TEXT_SIZE];

	wal_path_format(reach->path, path);
	if (!reach->reached) {
		(void) snprintf(text, size, "%s (with a hole)", path);
	} else if (reach->last_commit.lsn == 0) {
		lsn_format(reach->lsn, lsn);
		(void) snprintf(text, size, "%s (to LSN %s)", path, lsn);
	} else {
		time_format_local(reach->last_commit.time_us, time);
		lsn_format(reach->last_commit.lsn, lsn);
		(void) snprintf(text, size, "%s (last commit %s at LSN %s)", path, time, lsn);
	}
}

/* What --target-timeline takes: a number, with the branch before it where that is not the default one. */
static void reach_option(const struct reach *reach, char *text, size_t size)
{
	const char *branch = layout_branch(&reach->path->layout);

	if (strcmp(branch, LAYOUT_BRANCH_DEFAULT) == 0)
		(void) snprintf(text, size, "%" PRIu32, wal_path_timeline(reach->path));
	else
		(void) snprintf(text, size, "%s/%" PRIu32, branch, wal_path_timeline(reach->path));
}

static bool fail_ambiguous(const struct reach *first, const struct reach *second, struct error *err)
{
	char text[2][256], option[2][BRANCH_NAME_MAX + 16];

	reach_name(first, text[0], sizeof(text[0]));
	reach_name(second, text[1], sizeof(text[1]));
	reach_option(first, option[0], sizeof(option[0]));
	reach_option(second, option[1], sizeof(option[1]));
	(void) fail(err, ERROR_USAGE, "the target is on two timelines: %s and %s", text[0], text[1]);
	return fail_hint(err, "Choose with --target-timeline=%s or --target-timeline=%s.", option[0], option[1]);
}

static bool same_point(const struct reach *a, const struct reach *b)
{
	struct wal_name name;
	uint32_t segment_size = a->backup->segment_size;

	if (a->point != b->point || a->point_timeline != b->point_timeline)
		return false;
	wal_name_of_segment(a->point_timeline, wal_segment_of(a->point, segment_size), segment_size, &name);
	return strcmp(layout_owner(&a->path->layout, &name)->name, layout_owner(&b->path->layout, &name)->name) == 0;
}

enum choosing { CHOOSE_CONTAINED, CHOOSE_ENDS };

/* Looks through one sort of answers: those that surely contain the target, or the ends that a time lies behind. Two
 * that lead to the same point are one; the older timeline is taken. */
static bool choose_among(enum choosing sort, const struct reach *reaches, const bool *is_end, int count, int *chosen,
			 struct error *err)
{
	*chosen = -1;
	for (int i = 0; i < count; i++) {
		const struct reach *reach = &reaches[i];

		if (!reach->reached || (sort == CHOOSE_CONTAINED ? !reach->contains : !is_end[i]))
			continue;
		if (*chosen >= 0 && !same_point(&reaches[*chosen], reach))
			return fail_ambiguous(&reaches[*chosen], reach, err);
		if (*chosen < 0)
			*chosen = i;
	}
	return true;
}

/* The latest of a history with several ends is for the user to say, even if only one of them is whole. */
static bool choose_latest(const struct reach *reaches, const bool *is_end, int count, int *chosen, struct error *err)
{
	*chosen = -1;
	for (int i = 0; i < count; i++) {
		if (!is_end[i])
			continue;
		if (*chosen >= 0)
			return fail_ambiguous(&reaches[*chosen], &reaches[i], err);
		*chosen = i;
	}
	if (*chosen >= 0 && !reaches[*chosen].reached)
		*chosen = -1;
	return true;
}

bool plan_choose(enum target_kind kind, const struct reach *reaches, const bool *is_end, int count, int *chosen,
		 struct error *err)
{
	if (kind == TARGET_LATEST || kind == TARGET_STANDBY) {
		TRY(choose_latest(reaches, is_end, count, chosen, err));
	} else {
		TRY(choose_among(CHOOSE_CONTAINED, reaches, is_end, count, chosen, err));
		if (*chosen < 0)
			TRY(choose_among(CHOOSE_ENDS, reaches, is_end, count, chosen, err));
	}
	if (*chosen >= 0)
		return true;
	/* The reason of the youngest end says most. */
	int last = count - 1;
	while (last > 0 && !is_end[last])
		last--;
	*err = reaches[last].why;
	return false;
}

static bool plan_reach(const struct reaching *asked, struct plan *plan, const struct routes *routes,
		       struct reach *reaches, struct error *err)
{
	struct reaching one = *asked;
	int chosen;

	for (int i = 0; i < routes->count; i++) {
		/* The latest lies at an end: what leads past other places need not be read. */
		bool is_needed = routes->is_end[i] ||
				 (asked->target->kind != TARGET_LATEST && asked->target->kind != TARGET_STANDBY);

		reaches[i].path = routes->paths[i];
		/* What is behind the last whole segment matters where history goes no further. */
		one.uses_partial = routes->is_end[i] && asked->target->kind != TARGET_STANDBY;
		if (is_needed)
			TRY(reach_find(&one, routes->paths[i], &reaches[i], err));
	}
	TRY(plan_choose(asked->target->kind, reaches, routes->is_end, routes->count, &chosen, err));
	plan->reach = reaches[chosen];
	reaches[chosen] = (struct reach){.reached = false}; /* it is the plan's now */
	return true;
}

static bool plan_routes(const struct reaching *asked, struct plan *plan, struct error *err)
{
	struct routes routes ROUTES_CLEANUP = {.count = 0};

	TRY(routes_select(asked, &plan->lineage, &routes, err));
	struct reach *reaches = calloc((size_t) routes.count, sizeof(*reaches));
	if (reaches == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = plan_reach(asked, plan, &routes, reaches, err);
	for (int i = 0; i < routes.count; i++)
		reach_release(&reaches[i]);
	free(reaches);
	return done;
}

bool plan_make(struct repo *repo, const struct catalog *catalog, const struct options *options,
	       const struct target *target, struct plan *plan, struct error *err)
{
	struct reaching asked = {.repo = repo,
				 .catalog = catalog,
				 .target = target,
				 .retired = &plan->retired,
				 .jobs = (int) options->jobs};

	plan->target = *target;
	plan->needs_secret_key = repo->secrets->encrypted && !repo->secrets->has_recipient_secret;
	plan->is_backup_given = options->backup != NULL;
	asked.ignores_index = options->verify_wal;
	if (plan->surviving.is_used)
		asked.surviving = &plan->surviving;
	if (catalog->count == 0)
		return fail(err, ERROR_USAGE, "there is no base backup in the repository \"%s\"",
			    storage_url(repo->storage)) ||
		       fail_hint(err, "Take one with pitr-basebackup; without it no WAL can be replayed.");
	if (options->backup != NULL)
		TRY(catalog_find(catalog, options->backup, &asked.chosen, err));
	TRY(lineage_read(repo, catalog->backups[0].segment_size, &plan->lineage, err));
	TRY(plan_routes(&asked, plan, err));
	TRY(reach_find_next(&asked, &plan->reach, err));
	plan->wal_stored_size = wal_range_stored_size(&plan->reach.range, plan->reach.first, plan->reach.last);
	if (options->verify_wal)
		TRY(verify_wal(repo, &plan->reach, options, err));
	return tablespaces_created_check(repo, &plan->reach, options, err);
}
