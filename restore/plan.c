#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tablespace_created.h"

void plan_release(struct plan *plan)
{
	lineage_release(&plan->lineage);
}

uint64_t plan_segments(const struct plan *plan)
{
	return plan->reach.last - plan->reach.first + 1;
}

/* "timeline 2 (last commit 2024-01-15 14:30:00+01 at 0/3000060)" */
static void reach_name(const struct reach *reach, char *text, size_t size)
{
	char time[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
	uint32_t timeline = path_timeline(reach->path);

	if (!reach->reached) {
		(void) snprintf(text, size, "timeline %" PRIu32 " (with a hole)", timeline);
	} else if (reach->last_commit.lsn == 0) {
		lsn_format(reach->lsn, lsn);
		(void) snprintf(text, size, "timeline %" PRIu32 " (to LSN %s)", timeline, lsn);
	} else {
		time_format_local(reach->last_commit.time_us, time);
		lsn_format(reach->last_commit.lsn, lsn);
		(void) snprintf(text, size, "timeline %" PRIu32 " (last commit %s at LSN %s)", timeline, time, lsn);
	}
}

static bool fail_ambiguous(const struct reach *first, const struct reach *second, struct error *err)
{
	char text[2][256];

	reach_name(first, text[0], sizeof(text[0]));
	reach_name(second, text[1], sizeof(text[1]));
	(void) fail(err, ERROR_USAGE, "the target is on two timelines: %s and %s", text[0], text[1]);
	return fail_hint(err, "Choose with --target-timeline=%" PRIu32 " or --target-timeline=%" PRIu32 ".",
			 path_timeline(first->path), path_timeline(second->path));
}

static bool same_point(const struct reach *a, const struct reach *b)
{
	return a->point == b->point && a->point_timeline == b->point_timeline;
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

static const struct backup *backup_newest(const struct catalog *catalog)
{
	const struct backup *newest = NULL;

	for (int i = 0; i < catalog->count; i++)
		if (newest == NULL || catalog->backups[i].finished_us > newest->finished_us)
			newest = &catalog->backups[i];
	return newest;
}

static bool path_is_usable(const struct reaching *asked, const struct timeline_history *path)
{
	if (asked->chosen != NULL)
		return path_has_backup(path, asked->chosen);
	for (int i = 0; i < asked->catalog->count; i++)
		if (path_has_backup(path, &asked->catalog->backups[i]))
			return true;
	return false;
}

static bool fail_no_timeline(const struct lineage *lineage, uint32_t timeline, struct error *err)
{
	char known[256] = "";

	for (int i = 0; i < lineage->count && strlen(known) < sizeof(known) - 16; i++)
		(void) snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%" PRIu32, i > 0 ? ", " : "",
				path_timeline(lineage->paths[i]));
	(void) fail(err, ERROR_USAGE, "timeline %" PRIu32 " is not in the archive", timeline);
	return fail_hint(err, "It has timeline %s.", known);
}

/* Leaves in `paths` those that the settings allow, and says of each whether it is an end. */
static bool paths_select(const struct reaching *asked, const struct lineage *lineage,
			 const struct timeline_history **paths, bool *is_end, int *count, struct error *err)
{
	const struct target *target = asked->target;
	uint32_t only = target->timeline == TIMELINE_NUMBER ? target->timeline_number : 0;

	if (target->timeline == TIMELINE_CURRENT ||
	    (target->timeline == TIMELINE_CONTAINING && target->kind == TARGET_IMMEDIATE))
		only = (asked->chosen != NULL ? asked->chosen : backup_newest(asked->catalog))->stop_timeline;
	*count = 0;
	for (int i = 0; i < lineage->count; i++) {
		const struct timeline_history *path = lineage->paths[i];

		if (only != 0 ? path_timeline(path) != only : !path_is_usable(asked, path))
			continue;
		if (target->timeline == TIMELINE_LATEST)
			*count = 0;
		paths[*count] = path;
		is_end[*count] = only != 0 || target->timeline == TIMELINE_LATEST || lineage->is_end[i];
		(*count)++;
	}
	if (*count > 0)
		return true;
	if (only != 0)
		return fail_no_timeline(lineage, only, err);
	(void) fail(err, ERROR_USAGE, "no timeline in the archive leads through a base backup");
	return fail_hint(err, "Run \"pitr-catalog window\" to see what can be restored.");
}

static bool plan_reach(const struct reaching *asked, struct plan *plan, const struct timeline_history **paths,
		       bool *is_end, struct reach *reaches, struct error *err)
{
	int count, chosen;

	TRY(paths_select(asked, &plan->lineage, paths, is_end, &count, err));
	for (int i = 0; i < count; i++) {
		/* The latest lies at an end: what leads past other places need not be read. */
		bool is_needed =
			is_end[i] || (asked->target->kind != TARGET_LATEST && asked->target->kind != TARGET_STANDBY);

		reaches[i].path = paths[i];
		if (is_needed)
			TRY(reach_find(asked, paths[i], &reaches[i], err));
	}
	TRY(plan_choose(asked->target->kind, reaches, is_end, count, &chosen, err));
	plan->reach = reaches[chosen];
	return true;
}

static bool plan_wal_size(struct repo *repo, struct plan *plan, struct error *err)
{
	const struct reach *reach = &plan->reach;
	struct wal_range range = {.history = reach->path, .segment_size = reach->backup->segment_size};

	range.first = reach->first;
	return wal_range_stored_size(repo, &range, reach->first, reach->last, &plan->wal_stored_size, err);
}

bool plan_make(struct repo *repo, const struct catalog *catalog, const struct options *options,
	       const struct target *target, struct plan *plan, struct error *err)
{
	struct reaching asked = {.repo = repo, .catalog = catalog, .target = target, .jobs = (int) options->jobs};

	*plan = (struct plan){.target = *target};
	if (catalog->count == 0)
		return fail(err, ERROR_USAGE, "there is no base backup in the repository \"%s\"",
			    storage_url(repo->storage)) ||
		       fail_hint(err, "Take one with pitr-basebackup; without it no WAL can be replayed.");
	if (options->backup != NULL)
		TRY(catalog_find(catalog, options->backup, &asked.chosen, err));
	TRY(lineage_read(repo, catalog->backups[0].segment_size, &plan->lineage, err));

	size_t room = (size_t) plan->lineage.count + 1;
	const struct timeline_history **paths = calloc(room, sizeof(*paths));
	struct reach *reaches = calloc(room, sizeof(*reaches));
	bool *is_end = calloc(room, sizeof(*is_end));
	bool done = paths != NULL && reaches != NULL && is_end != NULL
			    ? plan_reach(&asked, plan, paths, is_end, reaches, err)
			    : fail(err, ERROR_SYSTEM, "out of memory");

	free((void *) paths);
	free(reaches);
	free(is_end);
	return done && plan_wal_size(repo, plan, err) && tablespaces_created_check(repo, &plan->reach, options, err);
}
