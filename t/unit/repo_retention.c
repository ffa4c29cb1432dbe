/* Retention against an oracle that knows the truth: 10,000 random histories of branches, timelines and backups, good
 * and bad, with pins, clocks that jump and every policy. Of each promise it enumerates what keeping it takes, and of
 * all that stays it asks for whose sake. */
#include <stdlib.h>
#include <time.h>

#include "retention_world.h"
#include "tap.h"

#define HISTORIES 10000

/* --------------------------------------------------------------------------------------------------- the oracle */

static const char *complaint; /* the first */

static void demand(bool holds, const char *what)
{
	if (!holds && complaint == NULL)
		complaint = what;
}

static bool is_kept(int backup)
{
	return world.items[backup].reasons != 0;
}

static bool file_is_kept(const struct wal_path *path, uint64_t number)
{
	struct wal_name name;

	wal_path_name(path, number, SEGMENT, &name);
	return wal_needed_has(&world.retention.needed, layout_owner(&path->layout, &name)->name, name.timeline, number,
			      number);
}

static bool files_are_kept(const struct wal_path *path, uint64_t first, uint64_t last)
{
	for (uint64_t number = first; number <= last; number++) {
		if (!file_is_kept(path, number))
			return false;
	}
	return true;
}

/* Can this moment be restored, with everything there, or with what is kept? */
static bool is_reachable(int place, uint64_t lsn, bool of_kept)
{
	for (int i = 0; i < world.backup_count; i++) {
		const struct backup *backup = &world.backups[i];

		if (!world.items[i].is_good || backup->stop_lsn > lsn || !on_line(i, place))
			continue;
		if (!of_kept || (is_kept(i) && files_are_kept(&world.lines[place].path, backup->start_lsn / SEGMENT,
							      (lsn - 1) / SEGMENT)))
			return true;
	}
	return false;
}

/* Every moment of the window, on every line that was written to in it. */
static void check_within(void)
{
	int64_t within_us = world.retention.policy.within_us;

	for (int place = 0; place < world.line_count && within_us > 0; place++) {
		const struct line *line = &world.lines[place];

		for (uint64_t lsn = SEGMENT / 2; lsn <= line->to; lsn += SEGMENT / 2) {
			if (true_time(lsn) < NOW_US - within_us)
				continue;
			demand(!is_reachable(place, lsn, false) || is_reachable(place, lsn, true),
			       "a moment of the window cannot be restored any more");
		}
	}
}

static bool is_newer(const struct backup *a, const struct backup *b)
{
	if (a->stop_timeline != b->stop_timeline)
		return a->stop_timeline > b->stop_timeline;
	return a->stop_lsn != b->stop_lsn ? a->stop_lsn > b->stop_lsn : strcmp(a->label, b->label) > 0;
}

/* Rules count on each line that is an end of history, and (-1) in a branch that has none. */
static bool counts_on(int backup, int place)
{
	const char *branch = world.backups[backup].branch;

	if (place >= 0)
		return world.paths[place].is_end && on_line(backup, place);
	for (int i = 0; i < world.line_count; i++) {
		if (world.paths[i].is_end && strcmp(layout_branch(&world.lines[i].path.layout), branch) == 0)
			return false;
	}
	return true;
}

/* Does the second one count where the first one does? */
static bool counts_with(int backup, int other, int place)
{
	return place >= 0 ? on_line(other, place)
			  : strcmp(world.backups[other].branch, world.backups[backup].branch) == 0;
}

static bool is_last_on(int backup, int place)
{
	int64_t newer = 0;

	for (int i = 0; i < world.backup_count; i++)
		newer += world.items[i].is_good && counts_with(backup, i, place) &&
			 is_newer(&world.backups[i], &world.backups[backup]);
	return counts_on(backup, place) && newer < world.retention.policy.last;
}

static bool is_last(int backup)
{
	for (int place = -1; place < world.line_count; place++) {
		if (is_last_on(backup, place))
			return true;
	}
	return false;
}

/* By the C library's calendar; weeks by their Monday. */
static int64_t period_of(int rule, int64_t time_us)
{
	time_t seconds = (time_t) (time_us / 1000000);
	struct tm wall;

	gmtime_r(&seconds, &wall);
	if (rule == 0)
		return wall.tm_year * 366 + wall.tm_yday;
	if (rule == 1)
		return (int64_t) seconds / 86400 - (wall.tm_wday + 6) % 7;
	return rule == 2 ? wall.tm_year * 12 + wall.tm_mon : wall.tm_year;
}

static int64_t calendar_time(int backup)
{
	return world.items[backup].is_timed ? world.backups[backup].finished_us : world.items[backup].young_us;
}

/* Is it the newest good one of its period, and how many later periods there have a good one? What has no time is of any
 * period, and takes no place. */
static bool is_of_calendar(int backup, int place, int rule, int64_t count)
{
	int64_t period = period_of(rule, calendar_time(backup)), seen[BACKUPS_MAX];
	int later = 0;

	for (int i = 0; i < world.backup_count; i++) {
		int64_t other = period_of(rule, calendar_time(i));
		bool is_new = true;

		if (!world.items[i].is_good || !world.items[i].is_timed || !counts_with(backup, i, place))
			continue;
		if (world.items[backup].is_timed && other == period && i != backup &&
		    (calendar_time(i) != calendar_time(backup) ? calendar_time(i) > calendar_time(backup)
							       : is_newer(&world.backups[i], &world.backups[backup])))
			return false;
		for (int k = 0; k < later; k++)
			is_new = is_new && seen[k] != other;
		if (other > period && is_new)
			seen[later++] = other;
	}
	return later < count;
}

static bool is_wanted_by_calendar(int backup)
{
	const struct retention_policy *policy = &world.retention.policy;

	for (int place = -1; place < world.line_count; place++) {
		if (counts_on(backup, place) && (is_of_calendar(backup, place, 0, policy->daily) ||
						 is_of_calendar(backup, place, 1, policy->weekly) ||
						 is_of_calendar(backup, place, 2, policy->monthly) ||
						 is_of_calendar(backup, place, 3, policy->yearly)))
			return true;
	}
	return false;
}

/* The same by the true times. */
static bool is_truly_of_calendar(int backup, int place, int rule, int64_t count)
{
	int64_t period = period_of(rule, world.true_us[backup]), seen[BACKUPS_MAX];
	int later = 0;

	for (int i = 0; i < world.backup_count; i++) {
		int64_t other = period_of(rule, world.true_us[i]);
		bool is_new = true;

		if (!world.items[i].is_good || !on_line(i, place) ||
		    !is_newer(&world.backups[i], &world.backups[backup]))
			continue;
		if (other == period)
			return false;
		for (int k = 0; k < later; k++)
			is_new = is_new && seen[k] != other;
		if (is_new)
			seen[later++] = other;
	}
	return later < count;
}

/* Whatever clocks said, as long as none is believed that was wrong. */
static void check_true_calendar(int place)
{
	const struct retention_policy *policy = &world.retention.policy;
	const int64_t counts[4] = {policy->daily, policy->weekly, policy->monthly, policy->yearly};

	for (int i = 0; i < world.backup_count; i++) {
		if (on_line(i, place) && world.items[i].is_timed && world.backups[i].finished_us != world.true_us[i])
			return;
	}
	for (int i = 0; i < world.backup_count; i++) {
		for (int rule = 0; rule < 4 && world.items[i].is_good && counts_on(i, place); rule++)
			demand(is_kept(i) || !is_truly_of_calendar(i, place, rule, counts[rule]),
			       "a wrong clock makes a backup go that a calendar wants");
	}
}

/* ------------------------------------------------------------------------------------------------- the oracle: times
 */

static bool has_time(int backup)
{
	int64_t finished_us = world.backups[backup].finished_us;

	return finished_us <= world.retention.now_us && finished_us >= RETENTION_BEGIN_US;
}

/* How many backups of a line can all be right, without one of them? */
static int longest_without(const int *order, int count, int without)
{
	int lengths[BACKUPS_MAX], longest = 0;

	for (int i = 0; i < count; i++) {
		lengths[i] = 0;
		if (order[i] == without || !has_time(order[i]))
			continue;
		for (int k = 0; k < i; k++) {
			if (lengths[k] > lengths[i] &&
			    world.backups[order[k]].finished_us <= world.backups[order[i]].finished_us)
				lengths[i] = lengths[k];
		}
		lengths[i]++;
		longest = lengths[i] > longest ? lengths[i] : longest;
	}
	return longest;
}

static int line_order(int place, int order[BACKUPS_MAX])
{
	int count = 0;

	for (int i = 0; i < world.backup_count; i++) {
		int at = count;

		if (!on_line(i, place))
			continue;
		for (; at > 0 && is_newer(&world.backups[order[at - 1]], &world.backups[i]); at--)
			order[at] = order[at - 1];
		order[at] = i;
		count++;
	}
	return count;
}

/* A time is believed without that the contradictions of a line would not become fewer. */
static void check_times(void)
{
	bool is_timed[BACKUPS_MAX];
	int order[BACKUPS_MAX];

	for (int i = 0; i < world.backup_count; i++)
		is_timed[i] = has_time(i);
	for (int place = 0; place < world.line_count && world.has_wrong_clock; place++) {
		int count = line_order(place, order);
		int longest = longest_without(order, count, -1);

		for (int i = 0; i < count; i++)
			is_timed[order[i]] = is_timed[order[i]] && longest_without(order, count, order[i]) < longest;
	}
	for (int i = 0; i < world.backup_count; i++)
		demand(is_timed[i] == world.items[i].is_timed, "a time is believed or doubted without a reason");
}

/* How much later than the one before it the newest may be: thrice the interval in the middle of those before. */
static int64_t interval_limit(const int64_t *times, int count)
{
	int64_t within_us = world.retention.policy.within_us;

	for (int i = 0; i + 2 < count && count >= 4; i++) {
		int64_t interval_us = times[i + 1] - times[i];
		int shorter = 0, same = 0;

		for (int k = 0; k + 2 < count; k++) {
			shorter += times[k + 1] - times[k] < interval_us;
			same += times[k + 1] - times[k] == interval_us;
		}
		if (shorter <= (count - 2) / 2 && (count - 2) / 2 < shorter + same)
			return 3 * interval_us > DAY ? 3 * interval_us : DAY;
	}
	return within_us > 0 ? within_us : 7 * DAY;
}

static void check_present(void)
{
	const struct retention *retention = &world.retention;
	int64_t times[BACKUPS_MAX + 1];
	int count = 0;

	for (int all = 0; all < 2 && count == 0; all++) {
		for (int i = 0; i < world.backup_count; i++) {
			int64_t time_us = world.backups[i].finished_us;
			int at = count;

			if (!(all ? has_time(i) : world.items[i].is_timed))
				continue;
			for (; at > 0 && times[at - 1] > time_us; at--)
				times[at] = times[at - 1];
			times[at] = time_us;
			count++;
		}
	}
	bool is_late = count > 1 && times[count - 1] - times[count - 2] > interval_limit(times, count);

	demand(retention->present_us == (count == 0 ? retention->now_us : times[count - 1 - is_late]),
	       "the present is not when the newest backup finished");
	demand(retention->doubted_us == (is_late ? times[count - 1] : 0), "it is not said that the newest is doubted");
	demand(!world.has_one_clock || retention->present_us <= NOW_US, "one clock that is ahead makes the present");
}

/* ----------------------------------------------------------------------------------------------- the oracle: what
 * stays */

static bool is_pinned(int backup)
{
	return world.backups[backup].pinned_until_us > world.retention.present_us;
}

/* Who was written to so late that the window, or a week, has some of it. */
static bool line_counts(int place)
{
	int64_t within_us = world.retention.policy.within_us;
	int64_t long_us = within_us > 7 * DAY ? within_us : 7 * DAY;

	return world.paths[place].ended_us >= world.retention.present_us - long_us;
}

static bool is_newest_good_on(int backup, int place)
{
	for (int i = 0; i < world.backup_count; i++) {
		if (world.items[i].is_good && on_line(i, place) && is_newer(&world.backups[i], &world.backups[backup]))
			return false;
	}
	return world.items[backup].is_good && on_line(backup, place);
}

/* Would the window have something of it: is no later good backup from before the window's beginning on the line? */
static bool is_within_on(int backup, int place)
{
	if (world.retention.policy.within_us == 0 || !line_counts(place) || !on_line(backup, place))
		return false;
	for (int i = 0; i < world.backup_count; i++) {
		if (world.items[i].is_good && on_line(i, place) &&
		    is_newer(&world.backups[i], &world.backups[backup]) &&
		    world.items[i].young_us <= world.retention.present_us - world.retention.policy.within_us)
			return false;
	}
	return true;
}

static bool is_within(int backup)
{
	for (int place = 0; place < world.line_count; place++) {
		if (is_within_on(backup, place))
			return true;
	}
	return false;
}

static bool is_last_of_end(int backup)
{
	for (int place = 0; place < world.line_count; place++) {
		if ((world.paths[place].is_end || line_counts(place)) && is_newest_good_on(backup, place))
			return true;
	}
	return false;
}

static void check_backups(void)
{
	for (int i = 0; i < world.backup_count; i++) {
		bool is_good = world.items[i].is_good;
		bool is_wanted = is_last(i) || is_wanted_by_calendar(i) || is_within(i) || is_last_of_end(i);

		demand(is_kept(i) || !is_pinned(i), "a pinned backup goes");
		demand(is_kept(i) || !(world.backups[i].pinned_until_us > NOW_US) || world.has_wrong_clock ||
			       world.retention.now_us != NOW_US,
		       "a backup goes before its pin ends");
		demand(is_kept(i) || !is_good || !is_wanted, "a good backup goes that a rule wants");
		demand(!is_kept(i) || !is_good || is_wanted || is_pinned(i), "a good backup stays for nobody");
		demand(is_kept(i) || is_good || !is_last(i),
		       "a damaged backup goes before a good one has taken its place");
	}
}

/* The backups that stay can be made consistent, on every line that they are on. */
static void check_consistent(void)
{
	for (int i = 0; i < world.backup_count; i++) {
		const struct backup *backup = &world.backups[i];

		for (int place = 0; place < world.line_count && is_kept(i); place++) {
			if (on_line(i, place))
				demand(files_are_kept(&world.lines[place].path, backup->start_lsn / SEGMENT,
						      (backup->stop_lsn - 1) / SEGMENT),
				       "a backup that stays loses WAL that it needs");
		}
	}
}

/* From the last backup on, a line that goes on can be restored to its end: with its unfinished backup too. */
static void check_ends(void)
{
	for (int place = 0; place < world.line_count; place++) {
		const struct line *line = &world.lines[place];

		bool has_good = false;

		for (int i = 0; i < world.backup_count; i++)
			has_good = has_good || (world.items[i].is_good && on_line(i, place));
		demand(has_good || !line_counts(place) || files_are_kept(&line->path, 0, (line->to - 1) / SEGMENT),
		       "a line loses WAL before it has a backup");
		if (line_counts(place) && is_reachable(place, line->to, false))
			demand(is_reachable(place, line->to, true), "the end of a line cannot be restored any more");
	}
}

/* Has it been promised that WAL goes on from it? */
static bool is_last_with_window(int backup)
{
	for (int place = 0; place < world.line_count; place++) {
		const char *branch = layout_branch(&world.lines[place].path.layout);

		if (line_counts(place) &&
		    (is_last_on(backup, place) ||
		     (strcmp(branch, world.backups[backup].branch) == 0 && is_last_on(backup, -1))))
			return true;
	}
	return false;
}

/* For whose sake does a segment of that line stay? */
static bool segment_is_wanted(int place, uint64_t number)
{
	bool has_good = false;

	for (int i = 0; i < world.backup_count; i++) {
		const struct backup *backup = &world.backups[i];

		if (!on_line(i, place))
			continue;
		has_good = has_good || world.items[i].is_good;
		if (number < backup->start_lsn / SEGMENT)
			continue;
		if (is_kept(i) && number <= (backup->stop_lsn - 1) / SEGMENT)
			return true;
		if (world.items[i].is_good &&
		    (is_last_with_window(i) || is_within(i) || (line_counts(place) && is_newest_good_on(i, place))))
			return true;
	}
	return line_counts(place) && !has_good;
}

static bool unfinished_wants(const char *branch, uint32_t timeline, uint64_t number, int place)
{
	const struct retention_unfinished *unfinished = &world.unfinished;

	if (world.retention.unfinished_count == 0 || unfinished->is_abandoned ||
	    number < unfinished->start_lsn / SEGMENT)
		return false;
	if (strcmp(branch, unfinished->branch) == 0 && timeline == unfinished->timeline)
		return true;
	return leads_through(world.unfinished_line, place, unfinished->start_lsn + 1);
}

/* Is the file read on the way to that line's end: as the whole segment, or as what the switch in it left behind? */
static bool line_reads(int place, const char *branch, uint32_t timeline, uint64_t number)
{
	const struct wal_path *path = &world.lines[place].path;
	struct wal_name name;

	for (int i = 0; i < path->history.count; i++) {
		uint64_t from = i == 0 ? 0 : path->history.path[i - 1].end;

		if (path->history.path[i].timeline != timeline || path->history.path[i].end <= from ||
		    number < from / SEGMENT || number > (path->history.path[i].end - 1) / SEGMENT)
			continue;
		wal_name_of_segment(timeline, number, SEGMENT, &name);
		return strcmp(layout_owner(&path->layout, &name)->name, branch) == 0;
	}
	return false;
}

static void check_leftovers(void)
{
	for (int of = 0; of < world.line_count; of++) {
		const char *branch = layout_branch(&world.lines[of].path.layout);
		uint32_t timeline = world.lines[of].timeline;

		for (uint64_t number = 0; number < SEGMENTS_MAX && world.backup_count > 0; number++) {
			bool is_wanted = false;

			if (!wal_needed_has(&world.retention.needed, branch, timeline, number, number))
				continue;
			for (int place = 0; place < world.line_count && !is_wanted; place++)
				is_wanted = (line_reads(place, branch, timeline, number) &&
					     segment_is_wanted(place, number)) ||
					    unfinished_wants(branch, timeline, number, place);
			demand(is_wanted, "WAL stays for nobody");
		}
	}
}

/* What is being taken has all its WAL, until a backup that began later has been there for a week. */
static void check_unfinished(void)
{
	const struct retention_unfinished *unfinished = &world.unfinished;
	bool may_go = false;

	if (world.retention.unfinished_count == 0)
		return;
	for (int place = 0; place < world.line_count; place++) {
		bool is_here = leads_through(world.unfinished_line, place, unfinished->start_lsn + 1);

		for (int i = 0; i < world.backup_count && is_here; i++)
			may_go = may_go || (on_line(i, place) && world.backups[i].start_lsn > unfinished->start_lsn &&
					    world.items[i].young_us <= world.retention.present_us - 7 * DAY);
	}
	demand(may_go || !unfinished->is_abandoned, "a backup that is being taken is called abandoned");
	demand(!may_go || unfinished->is_abandoned, "a backup that was broken off stays for ever");
	for (int place = 0; place < world.line_count && !unfinished->is_abandoned; place++) {
		const struct line *line = &world.lines[place];

		if (line->timeline == unfinished->timeline &&
		    strcmp(layout_branch(&line->path.layout), unfinished->branch) == 0)
			demand(files_are_kept(&line->path, unfinished->start_lsn / SEGMENT, (line->to - 1) / SEGMENT),
			       "a backup that is being taken loses WAL");
	}
}

/* From the last ones of an end that goes on every moment can be restored. */
static void check_last(void)
{
	for (int i = 0; i < world.backup_count; i++) {
		for (int place = 0; place < world.line_count; place++) {
			const struct line *line = &world.lines[place];

			if (world.items[i].is_good && line_counts(place) && is_last_on(i, place))
				demand(files_are_kept(&line->path, world.backups[i].start_lsn / SEGMENT,
						      (line->to - 1) / SEGMENT),
				       "WAL goes behind one of the last backups");
		}
	}
}

static void check_periods(void)
{
	int wrong = 0;

	for (int64_t day = 0; day < 60000; day++) {
		int64_t time_us = day * DAY + 12345;
		bool same[2][4];

		for (int rule = 0; rule < 4; rule++) {
			enum retention_reason reason = (enum retention_reason)(RETENTION_DAILY + rule);

			same[0][rule] = retention_period(reason, time_us) == retention_period(reason, time_us + DAY);
			same[1][rule] = period_of(rule, time_us) == period_of(rule, time_us + DAY);
			wrong += same[0][rule] != same[1][rule];
			wrong += retention_period(reason, time_us) > retention_period(reason, time_us + DAY);
		}
	}
	is_number(wrong, 0, "days, weeks, months and years begin where the C library's do, from 1970 to 2134");
}

int main(int argc, char **argv)
{
	int histories = 0, kept = 0, gone = 0, jumped = 0;

	check_periods();
	for (uint64_t number = argc > 1 ? strtoull(argv[1], NULL, 10) : 1; histories < HISTORIES && complaint == NULL;
	     number++, histories++) {
		struct error err = {0};

		seed = number * 77;
		world_make();
		demand(retention_plan(&world.retention, &err), "the plan fails");
		check_times();
		check_present();
		check_backups();
		for (int place = 0; place < world.line_count; place++)
			check_true_calendar(place);
		check_within();
		check_consistent();
		check_ends();
		check_last();
		check_unfinished();
		check_leftovers();
		for (int i = 0; i < world.backup_count; i++) {
			kept += is_kept(i);
			gone += !is_kept(i);
		}
		jumped += world.has_wrong_clock;
		retention_release(&world.retention);
		if (complaint != NULL)
			printf("# history %llu\n", (unsigned long long) number);
		if (argc > 1)
			break;
	}
	ok(complaint == NULL, "%d histories: everything promised can be restored, and nothing stays for nobody%s%s",
	   histories, complaint != NULL ? ": " : "", complaint != NULL ? complaint : "");
	ok(argc > 1 || (kept > 10000 && gone > 10000 && jumped > 1000),
	   "among them many that stay, that go, and clocks that jump");
	printf("# %d backups stayed, %d went, the clocks jumped in %d\n", kept, gone, jumped);
	return done_testing();
}
