#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "repo/retention.h"
#include "repo/retired_wal.h"
#include "repo/wal_range.h"

#define DAY_S 86400

/* ------------------------------------------------------------------------------------------------- the window */

/* On one path: from which backup on every moment up to the end of the archive can be restored? */
struct reach {
	struct checking *checking;
	const struct wal_path *path;
	int64_t begin_us;	      /* of the window that was declared */
	const struct backup *from;    /* the newest from before that, else the oldest; behind breaks, the next one */
	bool is_cut;		      /* something in the window is missing … */
	bool is_lost;		      /* … and is a hole, not removed on purpose */
	struct wal_name first_broken; /* the last one that is missing begins so */
};

/* The first good backup of the path that begins at that segment or behind it, and the last that was complete by then.
 */
static const struct backup *backup_find(const struct reach *reach, uint64_t segment, int64_t until_us)
{
	const struct catalog *catalog = &reach->checking->catalog;
	const struct backup *found = NULL;

	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];
		bool is_better = found == NULL || (until_us == INT64_MAX ? backup->start_lsn < found->start_lsn
									 : backup->start_lsn > found->start_lsn);

		if (!backup->is_damaged && wal_path_has_backup(reach->path, backup) && is_better &&
		    wal_segment_of(backup->start_lsn, backup->segment_size) >= segment &&
		    backup->finished_us <= until_us)
			found = backup;
	}
	return found;
}

/* What is missing behind `from` and is not made up for by a later backup from before the window. */
static void reach_break(struct reach *reach, const struct wal_range *range)
{
	uint64_t missing, missing_last, at = range->first;

	while (reach->from != NULL && wal_range_gap(range, at, &missing, &missing_last)) {
		reach->is_cut = true;
		reach->is_lost = !retired_wal_has(&reach->checking->retired, reach->path, missing, missing_last);
		wal_range_name(range, missing, &reach->first_broken);
		reach->from = backup_find(reach, missing_last + 1, INT64_MAX);
		at = missing_last + 1;
	}
}

static bool reach_find(struct reach *reach, struct error *err)
{
	struct wal_range range WAL_RANGE_CLEANUP = {0};

	reach->from = backup_find(reach, 0, reach->begin_us);
	if (reach->from == NULL)
		reach->from = backup_find(reach, 0, INT64_MAX);
	if (reach->from == NULL)
		return true;
	reach->is_cut = reach->from->finished_us > reach->begin_us;
	TRY(wal_range_list(reach->checking->repo, reach->path, reach->from->segment_size, reach->from->start_lsn,
			   &range, err));
	reach_break(reach, &range);
	return true;
}

static void within_format(int64_t duration_s, char text[CLOCK_TEXT_SIZE])
{
	if (duration_s % DAY_S == 0)
		(void) snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 " day%s", duration_s / DAY_S,
				duration_s == DAY_S ? "" : "s");
	else
		duration_format(duration_s, text);
}

/* Was there WAL before, on this path? */
static bool is_removed_before(const struct reach *reach)
{
	uint64_t first = wal_segment_of(reach->from->start_lsn, reach->from->segment_size);

	return first > 0 && retired_wal_has(&reach->checking->retired, reach->path, first - 1, first - 1);
}

static void window_report(struct checking *checking, const struct reach *reach)
{
	char within[CLOCK_TEXT_SIZE], from[CLOCK_TEXT_SIZE];

	within_format(checking->options->keep_within / 1000, within);
	if (reach->from == NULL) {
		finding_add(checking, CHECK_CRITICAL,
			    "of the last %s, which keep-within declares, nothing behind \"%s\" can be restored", within,
			    reach->first_broken.text);
		return;
	}
	metric_set(checking, METRIC_WINDOW, (checking->now_us - reach->from->finished_us) / 1000000);
	metric_set(checking, METRIC_WINDOW_TIME, reach->from->finished_us / 1000000);
	time_format_local(reach->from->finished_us / 1000000 * 1000000, from);
	if (!reach->is_cut)
		finding_add(checking, CHECK_OK, "every moment of the last %s can be restored", within);
	else if (reach->is_lost)
		finding_hint(finding_add(checking, CHECK_WARNING,
					 "not every moment of the last %s, which keep-within declares, can be "
					 "restored, but only from %s on: WAL is missing from \"%s\" on",
					 within, from, reach->first_broken.text),
			     "See pitr-catalog window for what is lost, and who may still have it.");
	else if (is_removed_before(reach))
		finding_hint(finding_add(checking, CHECK_WARNING,
					 "not every moment of the last %s, which keep-within declares, can be "
					 "restored, but only from %s on: what was before has been removed",
					 within, from),
			     "That is over when enough time has passed. Was keep-within made longer, or did "
			     "pitr-expire run with another one?");
	else
		finding_add(checking, CHECK_OK,
			    "the window of %s is not full yet: every moment from %s on can be restored", within, from);
}

/* ------------------------------------------------------------------------------------- backups that are counted */

static const struct counted {
	enum retention_reason reason;
	const char *name, *unit;
	int looked_at; /* as many of the last ones, at most */
	int64_t length_s;
} counted[] = {
	{RETENTION_DAILY, "keep-daily", "days", 7, DAY_S},
	{RETENTION_WEEKLY, "keep-weekly", "weeks", 4, 7 * DAY_S},
	{RETENTION_MONTHLY, "keep-monthly", "months", 3, 31 * DAY_S},
};

static bool has_backup(const struct catalog *catalog, enum retention_reason reason, int64_t period)
{
	for (int i = 0; i < catalog->count; i++)
		if (retention_period(reason, catalog->backups[i].finished_us) == period)
			return true;
	return false;
}

static int64_t finished_first(const struct catalog *catalog)
{
	int64_t first_us = INT64_MAX;

	for (int i = 0; i < catalog->count; i++)
		if (catalog->backups[i].finished_us < first_us)
			first_us = catalog->backups[i].finished_us;
	return first_us;
}

/* Of the last whole periods, as many as the rule keeps behind the one that goes on: has each a backup? One that has
 * none may have been a night that failed. */
static void counted_check(struct checking *checking, const struct counted *rule, int64_t keep)
{
	const struct catalog *catalog = &checking->catalog;
	int64_t period = retention_period(rule->reason, checking->now_us);
	int64_t first = retention_period(rule->reason, finished_first(catalog));
	int looked_at = 0, missing = 0;

	for (int64_t back = 1; back < keep && back <= rule->looked_at && period - back >= first; back++) {
		looked_at++;
		missing += !has_backup(catalog, rule->reason, period - back);
	}
	if (missing < 2 || missing * 3 < looked_at)
		return;
	finding_hint(finding_add(checking, CHECK_WARNING,
				 "%s counts %s that have a base backup, and %d of the last %d have none", rule->name,
				 rule->unit, missing, looked_at),
		     "Take base backups as often as it counts them, or count what there is: see docs/retention.md.");
}

bool check_retention(struct checking *checking, struct error *err)
{
	const struct options *options = checking->options;
	const int64_t keep[] = {options->keep_daily, options->keep_weekly, options->keep_monthly};
	const struct retention_policy policy = {.within_us = options->keep_within,
						.last = options->keep_last,
						.daily = options->keep_daily,
						.weekly = options->keep_weekly,
						.monthly = options->keep_monthly,
						.yearly = options->keep_yearly};
	struct reach reach = {.checking = checking,
			      .path = check_path_of(checking, checking->lineage.production),
			      .begin_us = checking->now_us - options->keep_within * 1000};
	int64_t findings = checking->finding_total;

	if (!retention_policy_is_set(&policy)) {
		finding_add(checking, CHECK_OK, "no retention is set: nothing is ever removed");
		return true;
	}
	if (check_backup_newest(checking, true) == NULL)
		return true;
	if (options->keep_within != 0 && reach.path != NULL) {
		TRY(reach_find(&reach, err));
		window_report(checking, &reach);
	}
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		counted_check(checking, &counted[i], keep[i]);
	if (checking->finding_total == findings)
		finding_add(checking, CHECK_OK, "backups are as frequent as the retention counts them");
	return true;
}
