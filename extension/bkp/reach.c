#include "reach.h"

#include "miscadmin.h"

#include "pg/wal_name.h"

bool reach_ends_in_gap(const struct mirror_window *window)
{
	return !window->is_end || strcmp(window->end, "end of archive") != 0;
}

static uint64 segment_of(XLogRecPtr lsn, const struct mirror_window *window)
{
	return wal_segment_of(lsn, window->segment_size);
}

/* Of a mark that lies only partly in [first, last] so much of its bytes. */
static int64 bytes_within(const struct mirror_mark *mark, uint64 first, uint64 last)
{
	uint64 from = Max(mark->first, first), to = Min(mark->last, last);

	if (from > to)
		return 0;
	return (int64) ((double) mark->stored_bytes * (double) (to - from + 1) /
			(double) (mark->last - mark->first + 1));
}

static void reach_measure(struct reach *reach)
{
	for (int i = 0; i < reach->window->mark_count; i++)
		reach->wal_bytes += bytes_within(&reach->window->marks[i], reach->first, reach->last);
}

/* Replays the backup in thought: up to the first segments with a commit or rollback behind the time. */
static void reach_walk(struct reach *reach, TimestampTz target)
{
	const struct mirror_window *window = reach->window;

	reach->first = reach->last = segment_of(reach->backup->start_lsn, window);
	for (int i = 0; i < window->mark_count && !reach->contains; i++) {
		const struct mirror_mark *mark = &window->marks[i];

		if (mark->last < reach->first)
			continue;
		reach->last = mark->last;
		reach->contains = mark->has_times && mark->time_max > target;
		if (reach->contains && mark->time_min <= target)
			reach->inside = mark;
		else if (!reach->contains && mark->last_commit.lsn != 0)
			reach->last_commit = &mark->last_commit;
	}
}

/* A commit behind the time although it lies inside the backup, as clocks that were set may have it: an older backup
 * is needed then. */
static bool reach_is_inside_backup(const struct reach *reach)
{
	return reach->contains && reach->last < segment_of(reach->backup->stop_lsn - 1, reach->window);
}

bool reach_is_damaged(const struct mirror_backup *backup)
{
	return strcmp(backup->status, "damaged") == 0;
}

/* From a backup that is not known to be damaged, or from any. */
static bool window_reach_from(const struct mirror_window *window, TimestampTz target, bool takes_damaged,
			      struct reach *reach)
{
	const struct mirror_backup *passed_over = NULL;

	for (int i = window->backup_count - 1; i >= 0; i--) {
		const struct mirror_backup *backup = window->backups[i];

		CHECK_FOR_INTERRUPTS(); /* each that is tried may go over all marks */
		if (backup->finished > target)
			continue;
		if (reach_is_damaged(backup) && !takes_damaged) {
			passed_over = passed_over != NULL ? passed_over : backup;
			continue;
		}
		*reach = (struct reach){.window = window, .backup = backup, .passed_over = passed_over};
		reach_walk(reach, target);
		if (reach_is_inside_backup(reach))
			continue;
		reach_measure(reach);
		return reach->contains || !reach_ends_in_gap(window);
	}
	return false;
}

/* How far the time may lie from what the window has. */
enum nearness {
	CONTAINED, /* a commit or rollback behind it is there */
	AT_END,	   /* it is not behind the last commit of a path that goes no further */
	BEHIND_END /* nor what pitr-restore would end at, which takes all there is then */
};

static bool window_reach(const struct mirror_window *window, TimestampTz target, enum nearness nearness,
			 struct reach *reach)
{
	bool is_behind = target > window->latest;

	if (!window->is_proposed || target < window->earliest || is_behind != (nearness == BEHIND_END) ||
	    (is_behind && reach_ends_in_gap(window)))
		return false;
	if (!window_reach_from(window, target, false, reach) && !window_reach_from(window, target, true, reach))
		return false;
	return reach->contains == (nearness == CONTAINED);
}

static bool commits_equal(const struct mirror_commit *a, const struct mirror_commit *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->lsn == b->lsn && a->xid == b->xid && a->time == b->time;
}

static bool marks_equal(const struct mirror_mark *a, const struct mirror_mark *b)
{
	return a->first == b->first && a->last == b->last && a->time_min == b->time_min && a->time_max == b->time_max &&
	       commits_equal(&a->last_commit, &b->last_commit);
}

enum likeness { LIKE_SAME, LIKE_DIFFERENT, LIKE_UNKNOWN };

/* Two paths share what comes before they part. */
static enum likeness reach_compare(const struct reach *a, const struct reach *b)
{
	bool are_equal = commits_equal(a->last_commit, b->last_commit);

	if (a->inside == NULL && b->inside == NULL)
		return are_equal ? LIKE_SAME : LIKE_DIFFERENT;
	if (a->inside != NULL && b->inside != NULL && are_equal && marks_equal(a->inside, b->inside))
		return LIKE_SAME;
	return LIKE_UNKNOWN;
}

/* As plan_choose() of pitr-restore: what surely contains the time first, then ends that it lies at; of those that lead
 * to the same commit the older timeline. */
static bool reach_choose(const struct mirror *mirror, TimestampTz target, enum nearness nearness,
			 struct reach_answer *answer)
{
	for (int i = 0; i < mirror->window_count && answer->verdict != REACH_AMBIGUOUS; i++) {
		struct reach reach;

		if (!window_reach(&mirror->windows[i], target, nearness, &reach))
			continue;
		if (answer->reach.window == NULL) {
			answer->reach = reach;
			answer->verdict = REACH_FOUND;
			continue;
		}
		enum likeness likeness = reach_compare(&answer->reach, &reach);
		if (likeness != LIKE_SAME)
			answer->other = reach;
		if (likeness == LIKE_DIFFERENT)
			answer->verdict = REACH_AMBIGUOUS;
	}
	return answer->reach.window != NULL;
}

static void reach_nearest(const struct mirror *mirror, TimestampTz target, struct reach_answer *answer)
{
	for (int i = 0; i < mirror->window_count; i++) {
		const struct mirror_window *window = &mirror->windows[i];

		if (!window->is_proposed)
			continue;
		if (window->latest <= target && (answer->before == NULL || window->latest > answer->before->latest))
			answer->before = window;
		if (window->earliest > target &&
		    (answer->behind == NULL || window->earliest < answer->behind->earliest))
			answer->behind = window;
	}
}

void reach_find(const struct mirror *mirror, TimestampTz target, struct reach_answer *answer)
{
	*answer = (struct reach_answer){.verdict = REACH_BEYOND};
	if (reach_choose(mirror, target, CONTAINED, answer) || reach_choose(mirror, target, AT_END, answer))
		return;
	reach_nearest(mirror, target, answer);
	if (answer->behind == NULL && reach_choose(mirror, target, BEHIND_END, answer) &&
	    answer->verdict == REACH_FOUND)
		answer->verdict = REACH_BEYOND;
}
