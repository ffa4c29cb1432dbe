#include "reach.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The backups of one path, newest first: by where they end. */
struct candidates {
	int count;
	const struct backup **backups;
};

static void candidates_release(struct candidates *candidates)
{
	free((void *) candidates->backups);
}

static int backup_newer(const void *left, const void *right)
{
	const struct backup *a = *(const struct backup *const *) left, *b = *(const struct backup *const *) right;

	return a->stop_lsn < b->stop_lsn ? 1 : a->stop_lsn > b->stop_lsn ? -1 : strcmp(a->label, b->label);
}

static bool candidates_find(const struct reaching *asked, const struct timeline_history *path,
			    struct candidates *candidates, struct error *err)
{
	const struct catalog *catalog = asked->catalog;

	candidates->backups = calloc((size_t) catalog->count + 1, sizeof(*candidates->backups));
	if (candidates->backups == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];

		if ((asked->chosen == NULL || asked->chosen == backup) && path_has_backup(path, backup))
			candidates->backups[candidates->count++] = backup;
	}
	qsort((void *) candidates->backups, (size_t) candidates->count, sizeof(*candidates->backups), backup_newer);
	return true;
}

/* One question at work. */
struct search {
	const struct reaching *asked;
	const struct timeline_history *path;
	struct candidates candidates;
	struct wal_range range; /* from `backup` on */
	const struct backup *backup;
	struct wal_survey survey;
	uint64_t available; /* the last segment that is there without a hole */
	struct reach *reach;
};

static uint64_t segment_of(const struct backup *backup, uint64_t lsn)
{
	return wal_segment_of(lsn, backup->segment_size);
}

static struct error *why(const struct search *search)
{
	return &search->reach->why;
}

/* "timeline 2" of the path in messages. */
static uint32_t leaf(const struct search *search)
{
	return path_timeline(search->path);
}

/* The oldest backup that ends behind time_us: the next moment that can be restored. */
static const struct backup *backup_after(const struct search *search, int64_t time_us)
{
	const struct backup *found = NULL;

	for (int i = 0; i < search->candidates.count; i++)
		if (search->candidates.backups[i]->finished_us > time_us)
			found = search->candidates.backups[i];
	return found;
}

static void why_too_early(const struct search *search, const struct backup *next, const char *what)
{
	char end[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

	time_format_local(next->finished_us, end);
	lsn_format(next->stop_lsn, lsn);
	(void) fail(why(search), ERROR_USAGE,
		    "%s is before the end of the %s: the earliest that can be reached on timeline %" PRIu32
		    " is %s (LSN %s)",
		    what, search->asked->chosen != NULL ? "chosen backup" : "first backup", leaf(search), end, lsn);
	if (search->asked->chosen != NULL)
		(void) fail_hint(why(search), "Choose an older backup, or leave --backup out.");
	else
		(void) fail_hint(why(search),
				 "Give a target from %s on, or --target-immediate for the end of a backup.", end);
}

static void why_no_backup(const struct search *search)
{
	if (search->asked->chosen != NULL)
		(void) fail(why(search), ERROR_USAGE, "the backup \"%s\" is not on the path to timeline %" PRIu32,
			    search->asked->chosen->label, leaf(search));
	else
		(void) fail(why(search), ERROR_USAGE,
			    "there is no backup from which timeline %" PRIu32 " can be reached", leaf(search));
	(void) fail_hint(why(search), "Run \"pitr-catalog window\" to see what can be restored.");
}

static void why_unknown_wal(const struct search *search)
{
	struct wal_name name;

	wal_range_name(&search->range, search->survey.reached, &name);
	(void) fail(why(search), ERROR_USAGE,
		    "the WAL in \"%s\" is of a version that this program does not know (%04X)", name.text,
		    (unsigned) search->survey.magic);
	(void) fail_hint(why(search), "Use a newer release; PostgreSQL 13 to 18 are known.");
}

/* Up to where the WAL before a hole can be restored, as an option to give. */
static void hint_before_hole(const struct search *search, const struct backup *next)
{
	const struct wal_commit *commit = &search->survey.last_commit;
	char time[CLOCK_TEXT_SIZE] = "", lsn[LSN_TEXT_SIZE], after[CLOCK_TEXT_SIZE + 64] = "", end[CLOCK_TEXT_SIZE];
	char before[CLOCK_TEXT_SIZE + 128] = "Nothing before it can be restored from this backup.";

	if (next != NULL) {
		time_format_local(next->finished_us, end);
		(void) snprintf(after, sizeof(after), " Behind it, %s and later can be reached.", end);
	}
	if (search->survey.last_record >= search->backup->stop_lsn) {
		lsn_format(search->survey.last_record, lsn);
		if (commit->lsn != 0) {
			time_format_local(commit->time_us, time);
			(void) snprintf(before, sizeof(before),
					"Before it, --target-lsn=%s is the latest (last commit %s).", lsn, time);
		} else {
			(void) snprintf(before, sizeof(before), "Before it, --target-lsn=%s is the latest.", lsn);
		}
	}
	(void) fail_hint(why(search), "%s%s", before, after);
}

/* The hole behind what is available: segments that are not there, or WAL that breaks off inside one. */
static void why_hole(const struct search *search, const char *what)
{
	struct wal_name first, last;
	uint64_t missing, missing_last;
	const struct backup *next = NULL;

	for (int i = 0; i < search->candidates.count; i++)
		if (search->candidates.backups[i]->start_lsn > search->backup->start_lsn &&
		    segment_of(search->backup, search->candidates.backups[i]->start_lsn) > search->available)
			next = search->candidates.backups[i];
	if (search->survey.is_damaged) {
		(void) fail(why(search), search->survey.damage.kind, "%s cannot be reached: %.700s", what,
			    search->survey.damage.text);
	} else if (search->survey.ends_early) {
		char lsn[LSN_TEXT_SIZE];

		lsn_format(search->survey.end, lsn);
		wal_range_name(&search->range, search->survey.reached, &first);
		(void) fail(why(search), ERROR_CORRUPT,
			    "%s cannot be reached: the WAL in segment \"%s\" breaks off at LSN %s", what, first.text,
			    lsn);
	} else if (wal_range_gap(&search->range, search->range.first, &missing, &missing_last)) {
		wal_range_name(&search->range, missing, &first);
		wal_range_name(&search->range, missing_last, &last);
		if (missing == missing_last)
			(void) fail(why(search), ERROR_USAGE,
				    "%s cannot be reached: the WAL segment \"%s\" is missing from the archive", what,
				    first.text);
		else
			(void) fail(why(search), ERROR_USAGE,
				    "%s cannot be reached: %" PRIu64
				    " WAL segments are missing from the archive, \"%s\" to \"%s\"",
				    what, missing_last - missing + 1, first.text, last.text);
	} else {
		wal_range_name(&search->range, search->range.first, &first);
		(void) fail(why(search), ERROR_USAGE,
			    "%s cannot be reached: the archive has no WAL from segment \"%s\" on, which the backup "
			    "\"%s\" needs",
			    what, first.text, search->backup->label);
	}
	hint_before_hole(search, next);
}

/* Lists what is there behind the backup. *is_whole is false (and why_hole() can say more) when not even the backup's
 * own WAL is. */
static bool search_open(struct search *search, const struct backup *backup, bool *is_whole, struct error *err)
{
	wal_range_release(&search->range);
	search->backup = backup;
	search->survey = (struct wal_survey){0};
	TRY(wal_range_list(search->asked->repo, search->path, backup->segment_size, backup->start_lsn, &search->range,
			   err));
	*is_whole = wal_range_reach(&search->range, search->range.first, &search->available) &&
		    search->available >= segment_of(backup, backup->stop_lsn - 1);
	if (!*is_whole && search->available < search->range.first)
		search->available = search->range.first;
	return true;
}

/* Surveys from the backup's start to `last`; the asked-for members are set by the caller before. */
static bool search_survey(struct search *search, uint64_t last, struct error *err)
{
	search->survey.first = search->range.first;
	search->survey.last = last;
	search->survey.jobs = search->asked->jobs;
	if (search->survey.from == 0)
		search->survey.from = search->backup->start_lsn;
	return wal_survey_run(search->asked->repo, &search->range, &search->survey, err);
}

static bool has_hole(const struct search *search)
{
	uint64_t missing, missing_last;

	return wal_survey_breaks(&search->survey) ||
	       wal_range_gap(&search->range, search->range.first, &missing, &missing_last);
}

/* Fills in what a survey has proved. */
static void reach_take(struct search *search, enum stop_kind stop, uint64_t lsn)
{
	struct reach *reach = search->reach;

	reach->reached = reach->contains = true;
	reach->backup = search->backup;
	reach->stop = stop;
	reach->lsn = lsn;
	reach->end = search->survey.end;
	reach->first = search->range.first;
	reach->last = search->survey.reached - (search->survey.is_damaged ? 1 : 0);
	reach->last_commit = search->survey.last_commit;
	reach->understood = search->survey.understood;
	reach->tablespaces = search->survey.tablespaces;
	reach->point = lsn;
	reach->point_timeline = timeline_history_at(search->path, lsn);
}

/* The record at `lsn` is the target: proves the way to it, and finds the last commit that is restored. */
static bool reach_settle(struct search *search, enum stop_kind stop, uint64_t lsn, uint64_t end, struct error *err)
{
	uint64_t last = segment_of(search->backup, end - 1);

	search->survey = (struct wal_survey){.until = search->reach->exclusive ? lsn - 1 : lsn};
	TRY(search_survey(search, last, err));
	if (!search->survey.understood)
		why_unknown_wal(search);
	else if (wal_survey_breaks(&search->survey))
		why_hole(search, "the target");
	else
		reach_take(search, stop, lsn);
	return true;
}

/* Everything in the archive is restored: replay is told to stop at the last complete record, so that a segment that is
 * missing or damaged by then is fatal and not the end. */
static void reach_take_end(struct search *search)
{
	reach_take(search, STOP_LSN, search->survey.last_record);
	search->reach->exclusive = false;
	search->reach->at_end = true;
}

static void why_nothing_whole(const struct search *search)
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(search->backup->stop_lsn, lsn);
	(void) fail(why(search), ERROR_CORRUPT,
		    "the archive has no complete record behind LSN %s, where the backup \"%s\" ends", lsn,
		    search->backup->label);
	(void) fail_hint(why(search), "Use --target-immediate to restore the backup alone.");
}

/* The latest, and a standby: the newest backup, and all WAL behind it. */
static bool reach_latest(struct search *search, struct error *err)
{
	bool is_whole, is_standby = search->asked->target->kind == TARGET_STANDBY;

	TRY(search_open(search, search->candidates.backups[0], &is_whole, err));
	if (is_whole)
		TRY(search_survey(search, search->available, err));
	if (!is_whole || (search->survey.understood && has_hole(search)))
		why_hole(search, "the latest");
	else if (!search->survey.understood && !is_standby)
		why_unknown_wal(search);
	else if (is_standby)
		reach_take(search, STOP_NEVER, search->survey.last_record);
	else if (search->survey.end < search->backup->stop_lsn || search->survey.last_record == 0)
		why_nothing_whole(search);
	else
		reach_take_end(search);
	return true;
}

static bool reach_immediate(struct search *search, struct error *err)
{
	bool is_whole;

	TRY(search_open(search, search->candidates.backups[0], &is_whole, err));
	if (!is_whole) {
		why_hole(search, "the end of the backup");
		return true;
	}
	search->survey.until = search->backup->stop_lsn - 1;
	TRY(search_survey(search, segment_of(search->backup, search->backup->stop_lsn - 1), err));
	if (wal_survey_breaks(&search->survey)) {
		why_hole(search, "the end of the backup");
		return true;
	}
	/* PostgreSQL notices "immediate" at the first record behind the end of the backup. From a standby that end can
	 * be the end of a segment, with nothing behind it. */
	if (search->survey.end <= search->backup->stop_lsn && search->survey.last_record != 0)
		reach_take_end(search);
	else
		reach_take(search, STOP_IMMEDIATE, search->backup->stop_lsn);
	search->reach->point = search->backup->stop_lsn;
	search->reach->point_timeline = search->backup->stop_timeline;
	return true;
}

/* The target time is behind the last commit in the archive, and not behind a hole. PostgreSQL would end with an error
 * (it stops only at a commit behind the time), though everything the archive has belongs to the target. */
static void reach_time_end(struct search *search)
{
	if (search->survey.end < search->backup->stop_lsn || search->survey.last_record == 0)
		why_nothing_whole(search);
	else
		reach_take_end(search);
	search->reach->contains = false;
}

/* A commit behind the time is in the archive, and PostgreSQL would stop at it, having replayed all that comes before:
 * the locks of a DROP TABLE that commits there are taken by then, and on the paused server whoever reads the table
 * waits for ever. So replay stops behind the last commit that belongs to the target, which brings back the same rows.
 */
static void reach_take_time(struct search *search)
{
	const struct wal_commit *last = &search->survey.last_commit;

	if (last->lsn != 0 && last->lsn >= search->backup->stop_lsn) {
		reach_take(search, STOP_LSN, last->lsn);
		search->reach->exclusive = false;
		return;
	}
	reach_take(search, STOP_TIME, search->survey.stop.lsn);
	if (last->lsn != 0) {
		search->reach->point = last->lsn;
		search->reach->point_timeline = last->timeline;
	}
}

static bool reach_time_from(struct search *search, const struct backup *backup, bool *is_later, struct error *err)
{
	const struct target *target = search->asked->target;
	bool is_whole;

	*is_later = false;
	TRY(search_open(search, backup, &is_whole, err));
	if (!is_whole) {
		why_hole(search, "the target time");
		return true;
	}
	search->survey =
		(struct wal_survey){.seeks_time = true, .time_us = target->time_us, .exclusive = target->exclusive};
	TRY(search_survey(search, search->available, err));
	if (!search->survey.understood) {
		why_unknown_wal(search);
	} else if (search->survey.stop.lsn != 0 && search->survey.stop.lsn < backup->stop_lsn) {
		*is_later = true; /* clocks: a commit inside the backup is behind the time */
	} else if (search->survey.stop.lsn != 0) {
		reach_take_time(search);
	} else if (has_hole(search)) {
		why_hole(search, "the target time");
	} else {
		reach_time_end(search);
	}
	return true;
}

/* PostgreSQL takes no offence at a time before the end of the backup as long as no commit lies between: it stops at the
 * backup's end, later than asked. So the backup's own end counts. */
static bool reach_time(struct search *search, struct error *err)
{
	const struct target *target = search->asked->target;

	for (int i = 0; i < search->candidates.count; i++) {
		bool is_later;

		if (search->candidates.backups[i]->finished_us > target->time_us)
			continue;
		TRY(reach_time_from(search, search->candidates.backups[i], &is_later, err));
		if (!is_later)
			return true;
	}
	const struct backup *next = backup_after(search, target->time_us);
	why_too_early(search, next != NULL ? next : search->candidates.backups[search->candidates.count - 1],
		      "the target time");
	return true;
}

static void why_beyond(const struct search *search)
{
	char lsn[LSN_TEXT_SIZE], record[LSN_TEXT_SIZE];

	lsn_format(search->survey.end, lsn);
	lsn_format(search->survey.last_record, record);
	(void) fail(why(search), ERROR_USAGE,
		    "the target LSN is behind the archive, which ends at %s on timeline %" PRIu32, lsn, leaf(search));
	(void) fail_hint(why(search), "The last record in it is at %s. Leave the target out to restore everything.",
			 record);
}

static bool reach_lsn_from(struct search *search, struct error *err)
{
	const struct target *target = search->asked->target;
	uint64_t last = segment_of(search->backup, target->lsn) + 1;

	/* Replay stops at the first record that begins at the LSN or behind it: there has to be one. */
	for (;;) {
		if (last > search->available)
			last = search->available;
		search->survey = (struct wal_survey){.until = target->exclusive ? target->lsn - 1 : target->lsn};
		TRY(search_survey(search, last, err));
		if (search->survey.last_record >= target->lsn || last == search->available ||
		    !search->survey.understood || wal_survey_breaks(&search->survey))
			break;
		last += last - search->range.first + 1;
	}
	if (!search->survey.understood)
		why_unknown_wal(search);
	else if (search->survey.last_record >= target->lsn)
		reach_take(search, STOP_LSN, target->lsn);
	else if (search->survey.last_record != 0 && search->survey.end >= target->lsn)
		reach_take_end(search); /* all before the LSN is there, and no record begins at it or behind it */
	else if (has_hole(search))
		why_hole(search, "the target LSN");
	else
		why_beyond(search);
	search->reach->point = target->lsn;
	search->reach->point_timeline = timeline_history_at(search->path, target->lsn - 1);
	return true;
}

static bool reach_lsn(struct search *search, struct error *err)
{
	const struct target *target = search->asked->target;
	bool is_whole;

	for (int i = 0; i < search->candidates.count; i++) {
		if (search->candidates.backups[i]->stop_lsn > target->lsn)
			continue;
		TRY(search_open(search, search->candidates.backups[i], &is_whole, err));
		if (is_whole)
			return reach_lsn_from(search, err);
		why_hole(search, "the target LSN");
		return true;
	}
	why_too_early(search, search->candidates.backups[search->candidates.count - 1], "the target LSN");
	return true;
}

struct sought {
	uint32_t xid;
	uint64_t from;
	struct wal_event found;
};

static bool sought_visit(void *context, const struct wal_event *event, struct error *err)
{
	struct sought *sought = context;

	if ((event->kind != WAL_COMMIT && event->kind != WAL_ABORT) || event->xid != sought->xid ||
	    event->lsn < sought->from)
		return true;
	sought->found = *event;
	err->kind = ERROR_NONE;
	return false;
}

/* Looks through the records behind the end of the backup, to segment `last`: no summary says which xids are in it. */
static bool xid_seek(struct search *search, uint64_t last, struct wal_event *found, struct error *err)
{
	struct sought sought = {.xid = search->asked->target->xid, .from = search->backup->stop_lsn};
	uint64_t first = segment_of(search->backup, search->backup->stop_lsn - 1);

	if (!wal_range_walk(search->asked->repo, &search->range, first, last, sought_visit, &sought, NULL, err) &&
	    err->kind != ERROR_NONE)
		return false;
	*found = sought.found;
	return true;
}

static bool xid_reach(struct search *search, uint64_t last, bool *found, struct error *err)
{
	struct wal_event event = {0};

	TRY(xid_seek(search, last, &event, err));
	*found = event.lsn != 0;
	return *found ? reach_settle(search, STOP_XID, event.lsn, event.end, err) : true;
}

static void why_two_points(const struct search *search)
{
	char text[2][CLOCK_TEXT_SIZE], lsn[2][LSN_TEXT_SIZE];

	for (int i = 0; i < 2; i++) {
		time_format_local(search->survey.points[i].time_us, text[i]);
		lsn_format(search->survey.points[i].lsn, lsn[i]);
	}
	(void) fail(why(search), ERROR_USAGE, "there are %d restore points \"%s\": of %s at LSN %s, of %s at LSN %s%s",
		    search->survey.point_count, search->asked->target->name, text[0], lsn[0], text[1], lsn[1],
		    search->survey.point_count > 2 ? ", …" : "");
	(void) fail_hint(why(search), "Choose one with --target-lsn=%s or --target-lsn=%s.", lsn[0], lsn[1]);
}

static bool name_reach(struct search *search, uint64_t last, bool *found, struct error *err)
{
	search->survey = (struct wal_survey){.name = search->asked->target->name, .from = search->backup->stop_lsn};
	TRY(search_survey(search, last, err));
	*found = search->survey.point_count > 0 || !search->survey.understood;
	if (!search->survey.understood)
		why_unknown_wal(search);
	else if (search->survey.point_count > 1)
		why_two_points(search);
	else if (search->survey.point_count == 1)
		return reach_settle(search, STOP_NAME, search->survey.points[0].lsn, search->survey.points[0].lsn + 1,
				    err);
	return true;
}

/* Transactions and restore points: what lies behind the newest backup first, then what lies between it and the one
 * before, and so on. */
typedef bool (*reach_seek)(struct search *search, uint64_t last, bool *found, struct error *err);

static bool reach_seeking(struct search *search, reach_seek seek, struct error *err)
{
	char what[TARGET_TEXT_SIZE];
	bool is_whole, found, has_hole_somewhere = false;
	uint64_t newer = UINT64_MAX;

	target_format(search->asked->target, what);
	for (int i = 0; i < search->candidates.count; i++) {
		TRY(search_open(search, search->candidates.backups[i], &is_whole, err));
		uint64_t last = search->available < newer ? search->available : newer;

		if (is_whole) {
			TRY(seek(search, last, &found, err));
			if (found)
				return true;
		}
		if (!is_whole || wal_survey_breaks(&search->survey) ||
		    (last == search->available && last < newer && has_hole(search))) {
			has_hole_somewhere = true;
			search->survey = (struct wal_survey){0};
			if (is_whole)
				TRY(search_survey(search, search->available, err));
			why_hole(search, what);
		}
		newer = segment_of(search->backup, search->backup->stop_lsn - 1);
	}
	if (has_hole_somewhere)
		return true;
	(void) fail(why(search), ERROR_USAGE,
		    "%s is not in the archive behind the end of %s backup on timeline %" PRIu32, what,
		    search->asked->chosen != NULL ? "the chosen" : "any", leaf(search));
	if (search->asked->target->kind == TARGET_XID)
		(void) fail_hint(why(search), "Only the number of a top-level transaction that wrote something and has "
					      "ended can be a target.");
	else
		(void) fail_hint(why(search),
				 "Names are compared exactly, as pg_create_restore_point() was given them.");
	return true;
}

static bool reach_dispatch(struct search *search, struct error *err)
{
	if (search->candidates.count == 0) {
		why_no_backup(search);
		return true;
	}
	search->reach->backup = search->candidates.backups[0];
	switch (search->asked->target->kind) {
	case TARGET_LATEST:
	case TARGET_STANDBY:
		return reach_latest(search, err);
	case TARGET_IMMEDIATE:
		return reach_immediate(search, err);
	case TARGET_TIME:
		return reach_time(search, err);
	case TARGET_LSN:
		return reach_lsn(search, err);
	case TARGET_XID:
		return reach_seeking(search, xid_reach, err);
	case TARGET_NAME:
		return reach_seeking(search, name_reach, err);
	}
	return true;
}

bool reach_find(const struct reaching *asked, const struct timeline_history *path, struct reach *reach,
		struct error *err)
{
	struct search search = {.asked = asked, .path = path, .reach = reach};

	*reach = (struct reach){.path = path, .exclusive = asked->target->exclusive};
	bool done = candidates_find(asked, path, &search.candidates, err) && reach_dispatch(&search, err);
	wal_range_release(&search.range);
	candidates_release(&search.candidates);
	return done;
}
