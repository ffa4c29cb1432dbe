/* From when to when can be restored, on every path of the repository's timelines: stretches that begin with a base
 * backup and end before a hole, and of each hole who should have had what is missing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/answer.h"
#include "gap.h"
#include "repo/lineage.h"
#include "repo/wal_survey.h"
#include "verbs.h"

/* A stretch of a path in which every moment can be restored. */
struct window {
	const struct wal_path *path;
	const struct backup *earliest; /* its end is the earliest moment */
	int backups;		       /* from which something in it can be restored */
	uint64_t first, last;	       /* segments: where that backup's WAL begins, and the last before a hole */
	bool is_before_gap;
	struct wal_survey survey;
};

/* What is printed, as text or JSON, while it is found. */
struct windows {
	struct repo *repo;
	const struct catalog *catalog;
	int jobs;
	json_t *windows; /* NULL: text */
	struct gaps gaps;
	int count;
};

/* Why a stretch goes no further. */
static const char *window_end(const struct window *window)
{
	if (window->survey.is_damaged)
		return "damaged";
	if (!window->survey.understood)
		return "unknown version";
	if (window->survey.ends_early)
		return "breaks off";
	return window->is_before_gap ? "gap" : "end of archive";
}

/* Without a commit behind the backup, its end is the latest moment too. */
static int64_t window_latest_us(const struct window *window)
{
	const struct wal_commit *last = &window->survey.last_commit;
	int64_t earliest_us = window->earliest->finished_us;

	return last->lsn != 0 && last->time_us > earliest_us ? last->time_us : earliest_us;
}

static uint64_t window_end_lsn(const struct window *window)
{
	return window->survey.end > window->earliest->stop_lsn ? window->survey.end : window->earliest->stop_lsn;
}

static void window_print_end(const struct window *window, const struct wal_range *range)
{
	struct wal_name name;

	wal_range_name(range, window->survey.reached, &name);
	if (window->survey.is_damaged)
		(void) printf("    ends there because %s\n", window->survey.damage.text);
	else if (!window->survey.understood)
		(void) printf("    the WAL from %s on is of a version that this program does not know (%04X)\n",
			      name.text, (unsigned) window->survey.magic);
	else if (window->survey.ends_early)
		(void) printf("    ends there because the WAL in %s breaks off, although there is more behind it\n",
			      name.text);
}

static bool window_encode(const struct window *window, const struct wal_range *range, json_t *json, struct error *err)
{
	char earliest[CLOCK_TEXT_SIZE], latest[CLOCK_TEXT_SIZE], lsn[2][LSN_TEXT_SIZE];
	struct wal_name last;

	time_format_local(window->earliest->finished_us, earliest);
	time_format_local(window_latest_us(window), latest);
	lsn_format(window->earliest->stop_lsn, lsn[0]);
	lsn_format(window_end_lsn(window), lsn[1]);
	wal_range_name(range, window->survey.reached, &last);
	TRY(json_put(json, "branch", json_string(layout_branch(&window->path->layout)), err));
	TRY(json_put(json, "timeline", json_integer(wal_path_timeline(window->path)), err));
	TRY(json_put(json, "earliest", json_string(earliest), err));
	TRY(json_put(json, "latest", json_string(latest), err));
	TRY(json_put(json, "earliest_lsn", json_string(lsn[0]), err));
	TRY(json_put(json, "latest_lsn", json_string(lsn[1]), err));
	TRY(json_put(json, "label", json_string(window->earliest->label), err));
	TRY(json_put(json, "backups", json_integer(window->backups), err));
	TRY(json_put(json, "segments", json_integer((json_int_t) (window->survey.reached - window->first + 1)), err));
	TRY(json_put(json, "commits", json_integer((json_int_t) window->survey.commits), err));
	TRY(json_put(json, "last_segment", json_string(last.text), err));
	TRY(json_put(json, "end", json_string(window_end(window)), err));
	return window->survey.is_damaged ? json_put(json, "damage", json_string(window->survey.damage.text), err)
					 : true;
}

static bool window_print(struct windows *all, const struct window *window, const struct wal_range *range,
			 struct error *err)
{
	char earliest[CLOCK_TEXT_SIZE], latest[CLOCK_TEXT_SIZE], lsn[2][LSN_TEXT_SIZE], path[WAL_PATH_TEXT_SIZE];

	all->count++;
	if (all->windows != NULL) {
		json_t *json = json_object();

		TRY(json_add(all->windows, json, err));
		return window_encode(window, range, json, err);
	}
	time_format_local(window->earliest->finished_us, earliest);
	time_format_local(window_latest_us(window), latest);
	lsn_format(window->earliest->stop_lsn, lsn[0]);
	lsn_format(window_end_lsn(window), lsn[1]);
	wal_path_format(window->path, path);
	(void) printf("%s: from %s (%s) to %s (%s), %d base backup%s\n", path, earliest, lsn[0], latest, lsn[1],
		      window->backups, window->backups == 1 ? "" : "s");
	window_print_end(window, range);
	return true;
}

/* Backups behind the first one of a stretch belong to it as far as it goes. */
static int backups_count(const struct windows *all, const struct window *window)
{
	uint64_t end = window_end_lsn(window);
	int count = 0;

	for (int i = 0; i < all->catalog->count; i++) {
		const struct backup *backup = &all->catalog->backups[i];

		count += wal_path_has_backup(window->path, backup) &&
			 backup->start_lsn >= window->earliest->start_lsn && backup->stop_lsn <= end;
	}
	return count;
}

/* The stretch that begins with a backup, when that has all its WAL. *reached is the last segment of it. */
static bool window_of_backup(struct windows *all, const struct wal_range *range, const struct backup *backup,
			     uint64_t *reached, struct error *err)
{
	uint64_t missing, missing_last;
	struct window *window = calloc(1, sizeof(*window));

	if (window == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	window->path = range->path;
	window->earliest = backup;
	window->first = wal_segment_of(backup->start_lsn, backup->segment_size);
	bool is_whole = wal_range_reach(range, window->first, &window->last) &&
			window->last >= wal_segment_of(backup->stop_lsn - 1, backup->segment_size);
	bool done = true;
	if (is_whole) {
		window->is_before_gap = wal_range_gap(range, window->first, &missing, &missing_last);
		window->survey = (struct wal_survey){
			.first = window->first, .last = window->last, .from = backup->start_lsn, .jobs = all->jobs};
		done = wal_survey_run(all->repo, range, &window->survey, err);
		*reached = window->survey.reached;
		/* Of a backup whose own WAL is damaged nothing can be restored. */
		bool is_usable = *reached > wal_segment_of(backup->stop_lsn - 1, backup->segment_size) ||
				 !window->survey.is_damaged;
		window->backups = backups_count(all, window);
		done = done && (!is_usable || window_print(all, window, range, err));
	}
	free(window);
	return done;
}

/* Every stretch of one path: each begins with a backup and ends before a hole. */
static bool windows_of_path(struct windows *all, const struct wal_path *path, struct error *err)
{
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	bool is_listed = false;
	uint64_t reached = 0;

	for (int i = 0; i < all->catalog->count; i++) {
		const struct backup *backup = &all->catalog->backups[i];

		if (!wal_path_has_backup(path, backup))
			continue;
		if (!is_listed)
			TRY(wal_range_list(all->repo, path, backup->segment_size, backup->start_lsn, &range, err));
		is_listed = true;
		if (wal_segment_of(backup->start_lsn, backup->segment_size) > reached)
			TRY(window_of_backup(all, &range, backup, &reached, err));
	}
	return is_listed ? gaps_of_range(&all->gaps, &range, err) : true;
}

static bool unknown_print(const struct windows *all, const struct lineage *lineage, json_t *unknown, struct error *err)
{
	if (!lineage->has_unknown)
		return true;
	if (all->windows == NULL) {
		(void) printf("timeline %" PRIu32 " of the branch \"%s\": not known what it descends from: %s\n",
			      lineage->unknown_timeline, lineage->unknown_branch, lineage->unknown_why.text);
		return true;
	}
	json_t *json = json_object();
	TRY(json_add(unknown, json, err));
	TRY(json_put(json, "branch", json_string(lineage->unknown_branch), err));
	TRY(json_put(json, "timeline", json_integer(lineage->unknown_timeline), err));
	return json_put(json, "why", json_string(lineage->unknown_why.text), err);
}

/* Where restores take the latest from; worth a line when there is a choice. */
static bool production_print(const struct lineage *lineage, json_t *json, struct error *err)
{
	bool is_one = true;

	for (int i = 0; i < lineage->count; i++)
		is_one = is_one && lineage_is_of(lineage->paths[i], lineage->production);
	if (json != NULL)
		return json_put(json, "production", json_string(lineage->production), err);
	if (!is_one)
		(void) printf("production: the branch \"%s\"\n", lineage->production);
	return true;
}

static bool windows_run(struct windows *all, json_t *json, json_t *unknown, struct error *err)
{
	struct lineage lineage LINEAGE_CLEANUP = {0};
	char text[WAL_PATH_TEXT_SIZE];

	if (all->catalog->count > 0)
		TRY(lineage_read(all->repo, all->catalog->backups[0].segment_size, &lineage, err));
	for (int i = 0; i < lineage.count; i++) {
		if (windows_of_path(all, lineage.paths[i], err))
			continue;
		wal_path_format(lineage.paths[i], text);
		return fail_in(err, "%s", text);
	}
	TRY(unknown_print(all, &lineage, unknown, err));
	if (all->catalog->count > 0)
		TRY(production_print(&lineage, json, err));
	if (all->count == 0)
		log_info("nothing can be restored from \"%s\": there is no base backup with all its WAL; run "
			 "pitr-basebackup",
			 storage_url(all->repo->storage));
	return true;
}

bool verb_window(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	json_t *json JSON_CLEANUP = json_object();
	json_t *unknown = NULL;
	struct windows all = {.catalog = &catalog, .jobs = (int) options->jobs};

	TRY(repo_open(options, 0, &repo, err));
	TRY(catalog_read(repo, &catalog, err));
	all.repo = all.gaps.repo = repo;
	all.gaps.jobs = all.jobs;
	if (options->json) {
		all.windows = json_array();
		TRY(json_put(json, "windows", all.windows, err));
		all.gaps.json = json_array();
		TRY(json_put(json, "gaps", all.gaps.json, err));
		unknown = json_array();
		TRY(json_put(json, "unknown_timelines", unknown, err));
	}
	bool done = windows_run(&all, options->json ? json : NULL, unknown, err);
	gaps_release(&all.gaps);
	return done && (!options->json || answer_print(json, err));
}
