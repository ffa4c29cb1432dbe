#include "repo/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US (INT64_C(86400) * 1000000)

/* So many usual intervals may pass without a backup before the next one's time is doubted. */
#define USUAL_INTERVALS 3

#define REASON(name) (1u << RETENTION_##name)

static const char *const reason_names[RETENTION_REASON_COUNT] = {
	[RETENTION_PINNED] = "pinned", [RETENTION_LAST] = "last",     [RETENTION_WITHIN] = "within",
	[RETENTION_DAILY] = "daily",   [RETENTION_WEEKLY] = "weekly", [RETENTION_MONTHLY] = "monthly",
	[RETENTION_YEARLY] = "yearly", [RETENTION_NEWEST] = "newest", [RETENTION_DOUBTFUL] = "doubtful",
};

const char *retention_reason_name(enum retention_reason reason)
{
	return reason_names[reason];
}

bool retention_policy_is_set(const struct retention_policy *policy)
{
	return policy->within_us > 0 || policy->last > 0 || policy->daily > 0 || policy->weekly > 0 ||
	       policy->monthly > 0 || policy->yearly > 0;
}

/* ---------------------------------------------------------------------------------------------------- periods */

/* Months since the year 0 of the day: days since 1970-01-01, by the Gregorian calendar, whose years begin in March here
 * so that the day that leap years have is their last. */
static int64_t month_of_day(int64_t day)
{
	int64_t shifted = day + 719468; /* since 0000-03-01 */
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t of_era = shifted - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);

	return (year + era * 400) * 12 + (5 * of_year + 2) / 153 + 2; /* March is month 2 */
}

int64_t retention_period(enum retention_reason reason, int64_t time_us)
{
	int64_t day = time_us / DAY_US - (time_us % DAY_US < 0);

	switch (reason) {
	case RETENTION_WEEKLY:
		return (day + 3 + 7 * INT64_C(1000000)) / 7; /* 1970-01-01 was a Thursday */
	case RETENTION_MONTHLY:
		return month_of_day(day);
	case RETENTION_YEARLY:
		return month_of_day(day) / 12;
	default:
		return day;
	}
}

/* ---------------------------------------------------------------------------------------------------- orders */

/* How long the longest row of backups is whose times never go back: among those up to this one and with it, and
 * among those from this one on. `last_us`: with which time, the least, a row of as many ends, while rows are sought. */
struct row {
	int64_t last_us;
	int before, behind, rivals;
};

/* A group of backups that rules look at together: of a branch, or of a path. */
struct group {
	int count;
	struct retention_backup **items;
	struct row *rows; /* as many, and one more */
};

static int by_wal(const void *left, const void *right)
{
	const struct backup *a = (*(struct retention_backup *const *) left)->backup;
	const struct backup *b = (*(struct retention_backup *const *) right)->backup;

	if (a->stop_timeline != b->stop_timeline)
		return a->stop_timeline < b->stop_timeline ? -1 : 1;
	if (a->stop_lsn != b->stop_lsn)
		return a->stop_lsn < b->stop_lsn ? -1 : 1;
	return strcmp(a->label, b->label);
}

static void group_sort(struct group *group, int (*order)(const void *, const void *))
{
	if (group->count > 1)
		qsort((void *) group->items, (size_t) group->count, sizeof(group->items[0]), order);
}

static void group_of_branch(const struct retention *retention, const char *branch, struct group *group)
{
	group->count = 0;
	for (int i = 0; i < retention->backup_count; i++) {
		if (strcmp(retention->backups[i].backup->branch, branch) == 0)
			group->items[group->count++] = &retention->backups[i];
	}
	group_sort(group, by_wal);
}

/* On one path the order of WAL is that of time. */
static void group_of_path(const struct retention *retention, const struct wal_path *path, struct group *group)
{
	group->count = 0;
	for (int i = 0; i < retention->backup_count; i++) {
		if (wal_path_has_backup(path, retention->backups[i].backup))
			group->items[group->count++] = &retention->backups[i];
	}
	group_sort(group, by_wal);
}

/* ----------------------------------------------------------------------------------------------------- times */

static int64_t finished_us(const struct retention_backup *item)
{
	return item->backup->finished_us;
}

/* Clocks that lost their time begin long before there was a backup of ours. */
static bool has_time(const struct retention *retention, const struct retention_backup *item)
{
	return finished_us(item) >= RETENTION_BEGIN_US && finished_us(item) <= retention->now_us;
}

/* The row grows by a backup of that time: how long is the longest one that ends with it? */
static int row_extend(struct row *rows, int *longest, int64_t time_us)
{
	int low = 0, high = *longest;

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (rows[middle].last_us <= time_us)
			low = middle + 1;
		else
			high = middle;
	}
	rows[low].last_us = time_us;
	*longest += low == *longest;
	return low + 1;
}

/* Of times of which some are later than that of a later backup, some are wrong: the fewest that can be. Which these are
 * may be open; what is in every longest row without such a contradiction is believed. */
static void plan_times_of_path(const struct retention *retention, const struct group *group)
{
	int longest = 0, backwards = 0;

	for (int i = 0; i < group->count; i++) {
		group->rows[i].rivals = 0;
		group->rows[i].before = has_time(retention, group->items[i])
						? row_extend(group->rows, &longest, finished_us(group->items[i]))
						: 0;
	}
	for (int i = group->count - 1; i >= 0; i--)
		group->rows[i].behind = has_time(retention, group->items[i])
						? row_extend(group->rows, &backwards, -finished_us(group->items[i]))
						: 0;
	for (int i = 0; i < group->count; i++)
		if (group->rows[i].before + group->rows[i].behind == longest + 1)
			group->rows[group->rows[i].before - 1].rivals++;
	for (int i = 0; i < group->count; i++) {
		const struct row *row = &group->rows[i];

		if (row->before + row->behind != longest + 1 || group->rows[row->before - 1].rivals > 1)
			group->items[i]->is_timed = false;
	}
}

static void plan_times(struct retention *retention, struct group *group)
{
	for (int i = 0; i < retention->backup_count; i++)
		retention->backups[i].is_timed = has_time(retention, &retention->backups[i]);
	for (int i = 0; i < retention->path_count; i++) {
		group_of_path(retention, retention->paths[i].path, group);
		plan_times_of_path(retention, group);
	}
}

static int by_time(const void *left, const void *right)
{
	int64_t a = finished_us(*(struct retention_backup *const *) left);
	int64_t b = finished_us(*(struct retention_backup *const *) right);

	return (a > b) - (a < b);
}

/* Those whose times are believed; where there is none, those that have one. */
static void group_of_times(const struct retention *retention, struct group *group)
{
	group->count = 0;
	for (int i = 0; i < retention->backup_count; i++)
		if (retention->backups[i].is_timed)
			group->items[group->count++] = &retention->backups[i];
	for (int i = 0; i < retention->backup_count && (group->count == 0 || !group->items[0]->is_timed); i++)
		if (has_time(retention, &retention->backups[i]))
			group->items[group->count++] = &retention->backups[i];
	group_sort(group, by_time);
}

static int by_interval(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	return (a->last_us > b->last_us) - (a->last_us < b->last_us);
}

/* How long after the one before the newest backup may come without a doubt about its time. Half of the intervals before
 * are no longer than the usual one; where there are less than two, that the window is longer has to do. */
static int64_t interval_limit(const struct retention *retention, const struct group *group)
{
	int count = group->count - 2;
	int64_t limit_us = retention->policy.within_us > 0 ? retention->policy.within_us : RETENTION_GRACE_US;

	if (count < 2)
		return limit_us;
	for (int i = 0; i < count; i++)
		group->rows[i].last_us = finished_us(group->items[i + 1]) - finished_us(group->items[i]);
	qsort(group->rows, (size_t) count, sizeof(group->rows[0]), by_interval);
	limit_us = USUAL_INTERVALS * group->rows[count / 2].last_us;
	return limit_us > DAY_US ? limit_us : DAY_US;
}

static void plan_present(struct retention *retention, struct group *group)
{
	retention->present_us = retention->now_us;
	retention->doubted_us = 0;
	group_of_times(retention, group);
	if (group->count == 0)
		return;
	retention->present_us = finished_us(group->items[group->count - 1]);
	if (group->count == 1)
		return;
	int64_t before_us = finished_us(group->items[group->count - 2]);

	if (retention->present_us - before_us <= interval_limit(retention, group))
		return;
	retention->doubted_us = retention->present_us;
	retention->present_us = before_us;
}

/* A time that is still to come, or lies before that of an earlier backup, is none. Then the next one on the path that
 * has a better one tells how long ago it was at the least. */
static int64_t time_on_path(const struct retention *retention, const struct group *group, int place, int64_t before_us)
{
	for (; place < group->count; place++) {
		if (has_time(retention, group->items[place]) && finished_us(group->items[place]) >= before_us)
			return finished_us(group->items[place]);
	}
	return retention->now_us;
}

static void plan_ages_of_path(const struct retention *retention, const struct group *group)
{
	int64_t before_us = INT64_MIN;

	for (int i = 0; i < group->count; i++) {
		int64_t time_us = time_on_path(retention, group, i, before_us);

		if (time_us == finished_us(group->items[i]))
			before_us = time_us;
		if (time_us > group->items[i]->young_us)
			group->items[i]->young_us = time_us;
	}
}

static void plan_ages(struct retention *retention, struct group *group)
{
	for (int i = 0; i < retention->backup_count; i++) {
		struct retention_backup *item = &retention->backups[i];

		item->young_us = has_time(retention, item) ? finished_us(item) : retention->now_us;
	}
	for (int i = 0; i < retention->path_count; i++) {
		group_of_path(retention, retention->paths[i].path, group);
		plan_ages_of_path(retention, group);
	}
}

/* --------------------------------------------------------------------------------------------------- rules that count
 */

/* So long ago that nobody can be promised a moment on it. */
static bool path_is_over(const struct retention *retention, const struct retention_path *path)
{
	int64_t within_us = retention->policy.within_us;

	return path->ended_us <
	       retention->present_us - (within_us > RETENTION_GRACE_US ? within_us : RETENTION_GRACE_US);
}

static void plan_last(const struct retention *retention, const struct group *group, bool is_over)
{
	int64_t left = retention->policy.last;

	for (int i = group->count - 1; i >= 0 && left > 0; i--) {
		struct retention_backup *item = group->items[i];

		item->reasons |= item->is_good ? REASON(LAST) : REASON(DOUBTFUL);
		item->has_window |= item->is_good && !is_over;
		left -= item->is_good;
	}
}

/* When it was taken, for calendars: at that time, or not later. */
static int64_t calendar_us(const struct retention_backup *item)
{
	return item->is_timed ? finished_us(item) : item->young_us;
}

static int by_calendar(const void *left, const void *right)
{
	int64_t a = calendar_us(*(struct retention_backup *const *) left);
	int64_t b = calendar_us(*(struct retention_backup *const *) right);

	return a != b ? (a < b ? -1 : 1) : by_wal(left, right);
}

/* Of each period the newest good backup; where there is none, the newest, which does not count. One of which nobody
 * knows when it was taken may be of any earlier period: it does not count either, and stays. */
static void plan_calendar(const struct group *group, enum retention_reason reason, int64_t left)
{
	int next;

	for (int i = group->count - 1; i >= 0 && left > 0; i = next) {
		int64_t period = retention_period(reason, calendar_us(group->items[i]));
		struct retention_backup *good = NULL;

		for (next = i; next >= 0 && retention_period(reason, calendar_us(group->items[next])) == period;
		     next--) {
			struct retention_backup *item = group->items[next];

			if (item->is_good && !item->is_timed)
				item->reasons |= REASON(DOUBTFUL);
			else if (item->is_good && good == NULL)
				good = item;
		}
		if (good == NULL) {
			group->items[i]->reasons |= REASON(DOUBTFUL);
			continue;
		}
		good->reasons |= 1u << reason;
		left--;
	}
}

static void plan_counts(const struct retention *retention, struct group *group, bool is_over)
{
	const struct retention_policy *policy = &retention->policy;

	plan_last(retention, group, is_over);
	group_sort(group, by_calendar);
	plan_calendar(group, RETENTION_DAILY, policy->daily);
	plan_calendar(group, RETENTION_WEEKLY, policy->weekly);
	plan_calendar(group, RETENTION_MONTHLY, policy->monthly);
	plan_calendar(group, RETENTION_YEARLY, policy->yearly);
}

/* Is any path that ends in the branch an end of history? And does any go on? */
static bool branch_has_end(const struct retention *retention, const char *branch, bool *is_over)
{
	bool has_end = false;

	*is_over = true;
	for (int i = 0; i < retention->path_count; i++) {
		const struct retention_path *path = &retention->paths[i];

		if (strcmp(layout_branch(&path->path->layout), branch) != 0)
			continue;
		has_end |= path->is_end;
		*is_over &= path_is_over(retention, path);
	}
	return has_end;
}

/* Each branch without an end once: when its first backup comes. */
static void plan_branches(const struct retention *retention, struct group *group)
{
	for (int i = 0; i < retention->backup_count; i++) {
		const char *branch = retention->backups[i].backup->branch;
		bool is_over;
		int first = 0;

		while (strcmp(retention->backups[first].backup->branch, branch) != 0)
			first++;
		if (first < i || branch_has_end(retention, branch, &is_over))
			continue;
		group_of_branch(retention, branch, group);
		plan_counts(retention, group, is_over);
	}
}

/* Each end by itself: what has been written on another one since takes nothing from it. */
static void plan_ends(const struct retention *retention, struct group *group)
{
	for (int i = 0; i < retention->path_count; i++) {
		const struct retention_path *path = &retention->paths[i];

		if (!path->is_end)
			continue;
		group_of_path(retention, path->path, group);
		plan_counts(retention, group, path_is_over(retention, path));
	}
}

/* ------------------------------------------------------------------------------------------------- rules of paths */

static int newest_good(const struct group *group)
{
	int place = group->count - 1;

	while (place >= 0 && !group->items[place]->is_good)
		place--;
	return place;
}

/* The newest good one from before the window begins; the first of all when there is none. */
static int window_base(const struct retention *retention, const struct group *group)
{
	int place = group->count - 1;

	while (place >= 0 && !(group->items[place]->is_good &&
			       group->items[place]->young_us <= retention->present_us - retention->policy.within_us))
		place--;
	return place < 0 ? 0 : place;
}

static void keep_from(const struct group *group, int place, unsigned reason)
{
	for (; place < group->count; place++) {
		group->items[place]->reasons |= group->items[place]->is_good ? reason : REASON(DOUBTFUL);
		group->items[place]->has_window |= group->items[place]->is_good;
	}
}

static void plan_path(const struct retention *retention, const struct retention_path *path, const struct group *group)
{
	int newest = newest_good(group);
	bool is_over = path_is_over(retention, path);

	if (group->count == 0 || (is_over && !path->is_end))
		return;
	if (newest >= 0)
		group->items[newest]->reasons |= REASON(NEWEST);
	else
		group->items[group->count - 1]->reasons |= REASON(DOUBTFUL);
	if (!is_over && retention->policy.within_us > 0)
		keep_from(group, window_base(retention, group), REASON(WITHIN));
}

static void plan_window(const struct retention *retention, struct retention_path *path, const struct group *group)
{
	bool is_over = path_is_over(retention, path);
	int newest = newest_good(group);

	path->has_window = !is_over && newest < 0; /* all of it: it may be what a first backup is waiting for */
	path->window_first = path->has_window ? 0 : UINT64_MAX;
	for (int i = 0; i < group->count && newest >= 0; i++) {
		const struct retention_backup *item = group->items[i];
		uint64_t first = wal_segment_of(item->backup->start_lsn, retention->needed.segment_size);

		if (!item->has_window && (is_over || i != newest))
			continue;
		path->has_window = true;
		if (first < path->window_first)
			path->window_first = first;
	}
}

/* ------------------------------------------------------------------------------------------------------------ WAL */

static bool plan_wal_of_path(struct retention *retention, const struct retention_path *path, const struct group *group,
			     struct error *err)
{
	uint32_t segment_size = retention->needed.segment_size;

	if (path->has_window)
		TRY(wal_needed_add_path(&retention->needed, path->path, path->window_first, UINT64_MAX, err));
	for (int i = 0; i < group->count; i++) {
		const struct backup *backup = group->items[i]->backup;

		if (group->items[i]->reasons != 0)
			TRY(wal_needed_add_path(&retention->needed, path->path,
						wal_segment_of(backup->start_lsn, segment_size),
						wal_segment_of(backup->stop_lsn - 1, segment_size), err));
	}
	return true;
}

/* Did it begin on this path, in a file that is read on it? */
static bool path_has_unfinished(const struct retention *retention, const struct wal_path *path,
				const struct retention_unfinished *unfinished)
{
	struct backup begun = {.start_timeline = unfinished->timeline,
			       .stop_timeline = unfinished->timeline,
			       .start_lsn = unfinished->start_lsn,
			       .stop_lsn = unfinished->start_lsn + 1,
			       .segment_size = retention->needed.segment_size};

	(void) snprintf(begun.branch, sizeof(begun.branch), "%s", unfinished->branch);
	return wal_path_has_backup(path, &begun);
}

static void plan_unfinished_on_path(const struct retention *retention, const struct retention_path *path,
				    const struct group *group)
{
	for (int i = 0; i < retention->unfinished_count; i++) {
		struct retention_unfinished *unfinished = &retention->unfinished[i];

		if (!path_has_unfinished(retention, path->path, unfinished))
			continue;
		for (int k = 0; k < group->count && !unfinished->is_abandoned; k++)
			unfinished->is_abandoned =
				group->items[k]->backup->start_lsn > unfinished->start_lsn &&
				group->items[k]->young_us <= retention->present_us - RETENTION_GRACE_US;
	}
}

/* Whatever it turns out to need. */
static bool plan_wal_of_unfinished(struct retention *retention, const struct retention_unfinished *unfinished,
				   struct error *err)
{
	uint64_t first = wal_segment_of(unfinished->start_lsn, retention->needed.segment_size);

	TRY(wal_needed_add(&retention->needed, unfinished->branch, unfinished->timeline, first, UINT64_MAX, err));
	for (int i = 0; i < retention->path_count; i++) {
		if (path_has_unfinished(retention, retention->paths[i].path, unfinished))
			TRY(wal_needed_add_path(&retention->needed, retention->paths[i].path, first, UINT64_MAX, err));
	}
	return true;
}

static bool plan_wal(struct retention *retention, struct group *group, struct error *err)
{
	for (int i = 0; i < retention->path_count; i++) {
		struct retention_path *path = &retention->paths[i];

		group_of_path(retention, path->path, group);
		plan_window(retention, path, group);
		TRY(plan_wal_of_path(retention, path, group, err));
		plan_unfinished_on_path(retention, path, group);
	}
	for (int i = 0; i < retention->unfinished_count; i++) {
		if (!retention->unfinished[i].is_abandoned)
			TRY(plan_wal_of_unfinished(retention, &retention->unfinished[i], err));
	}
	return true;
}

/* ---------------------------------------------------------------------------------------------------------- all */

static void plan_pins(const struct retention *retention)
{
	for (int i = 0; i < retention->backup_count; i++) {
		struct retention_backup *item = &retention->backups[i];

		item->reasons = item->backup->pinned_until_us > retention->present_us ? REASON(PINNED) : 0;
		item->has_window = false;
	}
}

static void plan_backups(struct retention *retention, struct group *group)
{
	plan_times(retention, group);
	plan_present(retention, group);
	plan_ages(retention, group);
	plan_pins(retention);
	plan_branches(retention, group);
	plan_ends(retention, group);
	for (int i = 0; i < retention->path_count; i++) {
		group_of_path(retention, retention->paths[i].path, group);
		plan_path(retention, &retention->paths[i], group);
	}
}

/* Before the first backup there is nothing to tell by, not even how long a segment is. */
static void plan_nothing(struct retention *retention)
{
	retention->present_us = retention->now_us;
	retention->doubted_us = 0;
	for (int i = 0; i < retention->path_count; i++)
		retention->paths[i].has_window = false;
	retention->needed.is_all = true;
}

bool retention_plan(struct retention *retention, struct error *err)
{
	struct group group = {0};
	size_t room = (size_t) retention->backup_count + 1;

	for (int i = 0; i < retention->unfinished_count; i++)
		retention->unfinished[i].is_abandoned = false;
	if (retention->backup_count == 0) {
		plan_nothing(retention);
		return true;
	}
	for (int i = 0; i < retention->backup_count; i++) {
		if (retention->backups[i].backup->segment_size != retention->needed.segment_size)
			return fail(err, ERROR_USAGE, "backup \"%s\" has WAL segments of another size than others",
				    retention->backups[i].backup->label);
	}
	group.items = calloc(room, sizeof(*group.items));
	group.rows = calloc(room, sizeof(*group.rows));
	bool done = false;
	if (group.items != NULL && group.rows != NULL) {
		plan_backups(retention, &group);
		done = plan_wal(retention, &group, err);
	} else {
		fail(err, ERROR_SYSTEM, "out of memory");
	}
	free(group.rows);
	free((void *) group.items);
	return done;
}

void retention_release(struct retention *retention)
{
	wal_needed_release(&retention->needed);
}
