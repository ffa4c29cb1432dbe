#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/program.h"
#include "repo/catalog.h"
#include "repo/wal_store.h"
#include "repo/wal_survey.h"
#include "verbs.h"

/* A stretch of one timeline's path in which every moment can be restored. */
struct window {
	uint32_t timeline;
	const struct backup *earliest; /* its end is the earliest moment */
	uint64_t first, last;	       /* segments: where that backup's WAL begins, and the last before a hole */
	struct wal_survey survey;      /* of the end of the stretch */
};

/* What is printed, as text or JSON, while it is found. */
struct windows {
	struct repo *repo;
	const struct catalog *catalog;
	int jobs;
	json_t *windows; /* NULL: text */
	json_t *gaps;
	int count;
};

static void window_times(const struct window *window, char earliest[CLOCK_TEXT_SIZE], char latest[CLOCK_TEXT_SIZE])
{
	const struct wal_commit *last = &window->survey.last_commit;

	/* Without a commit behind the backup, its end is the latest moment too. */
	time_format_local(window->earliest->finished_us, earliest);
	time_format_local(last->lsn != 0 && last->time_us > window->earliest->finished_us
				  ? last->time_us
				  : window->earliest->finished_us,
			  latest);
}

static bool window_print(struct windows *all, const struct window *window, struct error *err)
{
	char earliest[CLOCK_TEXT_SIZE];
	char latest[CLOCK_TEXT_SIZE];
	char earliest_lsn[LSN_TEXT_SIZE];
	char latest_lsn[LSN_TEXT_SIZE];
	uint64_t end =
		window->survey.end > window->earliest->stop_lsn ? window->survey.end : window->earliest->stop_lsn;

	if (window->survey.is_damaged)
		log_warning("timeline %" PRIu32 " ends early: %s", window->timeline, window->survey.damage.text);
	all->count++;
	window_times(window, earliest, latest);
	lsn_format(window->earliest->stop_lsn, earliest_lsn);
	lsn_format(end, latest_lsn);
	if (all->windows == NULL) {
		(void) printf("timeline %" PRIu32 ": from %s (%s) to %s (%s)\n", window->timeline, earliest,
			      earliest_lsn, latest, latest_lsn);
		return true;
	}

	json_t *json = json_object();
	TRY(json_add(all->windows, json, err));
	TRY(json_put(json, "timeline", json_integer(window->timeline), err));
	TRY(json_put(json, "earliest", json_string(earliest), err));
	TRY(json_put(json, "latest", json_string(latest), err));
	TRY(json_put(json, "earliest_lsn", json_string(earliest_lsn), err));
	TRY(json_put(json, "latest_lsn", json_string(latest_lsn), err));
	return json_put(json, "label", json_string(window->earliest->label), err);
}

static bool gap_print(struct windows *all, const struct wal_range *range, uint64_t missing, uint64_t missing_last,
		      struct error *err)
{
	struct wal_name first;
	struct wal_name last;

	wal_range_name(range, missing, &first);
	wal_range_name(range, missing_last, &last);
	if (all->gaps == NULL) {
		(void) printf("timeline %" PRIu32 ": gap, %" PRIu64 " segments missing: %s to %s\n", first.timeline,
			      missing_last - missing + 1, first.text, last.text);
		return true;
	}

	json_t *json = json_object();
	TRY(json_add(all->gaps, json, err));
	TRY(json_put(json, "timeline", json_integer(first.timeline), err));
	TRY(json_put(json, "first", json_string(first.text), err));
	TRY(json_put(json, "last", json_string(last.text), err));
	return json_put(json, "segments", json_integer((json_int_t) (missing_last - missing + 1)), err);
}

/* The last commit of the stretch is looked for from its end, in ever larger steps. */
static bool window_survey(struct windows *all, const struct wal_range *range, struct window *window, struct error *err)
{
	for (uint64_t step = 1;; step *= 8) {
		bool is_all = window->last - window->first < step;

		window->survey = (struct wal_survey){
			.first = is_all ? window->first : window->last - step + 1,
			.last = window->last,
			.jobs = all->jobs,
		};
		TRY(wal_survey_run(all->repo, range, &window->survey, err));
		if (is_all || window->survey.last_commit.lsn != 0)
			return true;
	}
}

static bool windows_gaps(struct windows *all, const struct wal_range *range, uint64_t from, struct error *err)
{
	uint64_t missing;
	uint64_t missing_last;

	while (wal_range_gap(range, from, &missing, &missing_last)) {
		TRY(gap_print(all, range, missing, missing_last, err));
		from = missing_last + 1;
	}
	return true;
}

static bool backup_is_on(const struct backup *backup, const struct timeline_history *history)
{
	return timeline_history_contains(history, backup->start_timeline, backup->start_lsn) &&
	       timeline_history_contains(history, backup->stop_timeline, backup->stop_lsn - 1);
}

/* Every stretch of the path to one timeline: each begins with a backup and ends before a hole. */
static bool windows_of_timeline(struct windows *all, uint32_t timeline, struct error *err)
{
	struct timeline_history history;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	bool listed = false;
	uint64_t reached = 0;

	TRY(wal_store_history(all->repo, timeline, &history, err));
	for (int i = 0; i < all->catalog->count; i++) {
		const struct backup *backup = &all->catalog->backups[i];
		uint64_t first = wal_segment_of(backup->start_lsn, backup->segment_size);
		uint64_t last;

		if (!backup_is_on(backup, &history))
			continue;
		if (!listed)
			TRY(wal_range_list(all->repo, &history, backup->segment_size, backup->start_lsn, &range, err));
		listed = true;
		if (first <= reached || !wal_range_reach(&range, first, &last) ||
		    last < wal_segment_of(backup->stop_lsn - 1, backup->segment_size))
			continue;

		struct window window = {.timeline = timeline, .earliest = backup, .first = first, .last = last};
		TRY(window_survey(all, &range, &window, err));
		TRY(window_print(all, &window, err));
		reached = last;
	}
	return listed ? windows_gaps(all, &range, range.first, err) : true;
}

static bool windows_run(struct windows *all, struct error *err)
{
	uint32_t timelines[TIMELINES_MAX];
	int count;

	TRY(wal_store_timelines(all->repo, timelines, TIMELINES_MAX, &count, err));
	for (int i = 0; i < count; i++) {
		if (!windows_of_timeline(all, timelines[i], err))
			return fail_in(err, "timeline %" PRIu32, timelines[i]);
	}
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
	struct windows all = {.catalog = &catalog, .jobs = (int) options->jobs};

	TRY(repo_open(options, 0, &repo, err));
	TRY(catalog_read(repo, &catalog, err));
	all.repo = repo;
	if (!options->json)
		return windows_run(&all, err);
	all.windows = json_array();
	all.gaps = json_array();
	TRY(json_put(json, "windows", all.windows, err));
	TRY(json_put(json, "gaps", all.gaps, err));
	return windows_run(&all, err) && program_print(json, err);
}
