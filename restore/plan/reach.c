#include "plan/reach.h"

#include "plan/reach_why.h"
#include "plan/search.h"

/* How many of the backups on the path are newer than the one that was taken. */
static int backups_newer(const struct search *search)
{
	int newer = 0;

	while (newer < search->candidates.count && search->candidates.backups[newer] != search->backup)
		newer++;
	return newer;
}

/* Where replay stops, nothing from there on is replayed: a commit at which it stops belongs to it or not. */
static uint64_t behind_stop(const struct reach *reach, enum stop_kind stop, uint64_t lsn)
{
	bool is_replayed = stop == STOP_NAME || ((stop == STOP_LSN || stop == STOP_XID) && !reach->exclusive);

	return is_replayed ? lsn + 1 : lsn;
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
	reach->first = search->reach->range.first;
	reach->last = search->survey.reached - (search->survey.is_damaged ? 1 : 0);
	reach->last_commit = search->survey.last_commit;
	reach->understood = search->survey.understood;
	reach->tablespaces = search->survey.tablespaces;
	reach->point = lsn;
	reach->point_timeline = timeline_history_at(&search->path->history, lsn);
	reach->behind = behind_stop(reach, stop, lsn);
	reach->available = search->available;
	reach->newer_backups = backups_newer(search);
	reach->is_coarse = search->survey.is_coarse;
	reach->denial = search->survey.denial;
}

/* The record at `lsn` is the target: proves the way to it, and finds the last commit that is restored. */
static bool reach_settle(struct search *search, enum stop_kind stop, uint64_t lsn, uint64_t end, struct error *err)
{
	uint64_t last = search_segment(search, end - 1);

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
	search->reach->exclusive = false;
	reach_take(search, STOP_LSN, search->survey.last_record);
	search->reach->at_end = true;
}

/* The latest, and a standby: the newest backup, and all WAL behind it. */
static bool reach_latest(struct search *search, struct error *err)
{
	bool is_whole, is_standby = search->asked->target->kind == TARGET_STANDBY;

	TRY(search_open(search, search->candidates.backups[0], &is_whole, err));
	if (is_whole)
		TRY(search_survey(search, search->available, err));
	if (!is_whole || (search->survey.understood && search_has_hole(search)))
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

/* Replay stops at the first record that begins at the LSN or behind it: there has to be one. */
static bool lsn_survey(struct search *search, uint64_t lsn, bool exclusive, struct error *err)
{
	uint64_t last = search_segment(search, lsn) + 1;

	for (;;) {
		if (last > search->available)
			last = search->available;
		search->survey = (struct wal_survey){.seeks_lsn = true, .lsn = lsn, .exclusive = exclusive};
		TRY(search_survey(search, last, err));
		if (search->survey.stop_record != 0 || last == search->available || !search->survey.understood ||
		    wal_survey_breaks(&search->survey))
			return true;
		last += last - search->reach->range.first + 1;
	}
}

/* PostgreSQL notices "immediate" at the first record behind the end of the backup. There may be none: from a standby
 * that end can be the end of a segment, with nothing behind it. */
static bool reach_immediate(struct search *search, struct error *err)
{
	bool is_whole;

	TRY(search_open(search, search->candidates.backups[0], &is_whole, err));
	if (!is_whole) {
		why_hole(search, "the end of the backup");
		return true;
	}
	TRY(lsn_survey(search, search->backup->stop_lsn, true, err));
	if (!search->survey.understood)
		why_unknown_wal(search);
	else if (search->survey.stop_record != 0)
		reach_take(search, STOP_IMMEDIATE, search->backup->stop_lsn);
	else if (search_has_hole(search) || search->survey.last_record == 0)
		why_hole(search, "the end of the backup");
	else
		reach_take_end(search);
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

	search->reach->next = search->survey.stop;
	if (last->lsn != 0 && last->lsn >= search->backup->stop_lsn) {
		search->reach->exclusive = false;
		reach_take(search, STOP_LSN, last->lsn);
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
	uint64_t stop = search->survey.is_coarse ? search->survey.stop_end - 1 : search->survey.stop.lsn;
	if (!search->survey.understood) {
		why_unknown_wal(search);
	} else if (search->survey.stop.lsn != 0 && stop < backup->stop_lsn) {
		*is_later = true; /* clocks: a commit inside the backup is behind the time */
	} else if (search->survey.stop.lsn != 0) {
		reach_take_time(search);
	} else if (search_has_hole(search)) {
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
	const struct backup *next = search_backup_after(search, target->time_us);
	why_too_early(search, next != NULL ? next : search->candidates.backups[search->candidates.count - 1],
		      "the target time");
	return true;
}

static bool reach_lsn_from(struct search *search, struct error *err)
{
	const struct target *target = search->asked->target;

	TRY(lsn_survey(search, target->lsn, target->exclusive, err));
	if (!search->survey.understood) {
		why_unknown_wal(search);
	} else if (search->survey.stop_record != 0) {
		reach_take(search, STOP_LSN, target->lsn);
		search->reach->behind = behind_stop(search->reach, STOP_LSN, search->survey.stop_record);
	} else if (search_has_hole(search)) {
		why_hole(search, "the target LSN");
	} else if (search->survey.last_record != 0 && search->survey.end >= target->lsn) {
		reach_take_end(search); /* all before the LSN is there, and no record begins at it or behind it */
	} else {
		why_beyond(search);
	}
	search->reach->point = target->lsn;
	search->reach->point_timeline = timeline_history_at(&search->path->history, target->lsn - 1);
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

/* Of the segments behind the end of the backup only those are read in which the transaction may have ended. */
static bool xid_reach(struct search *search, uint64_t last, bool *found, struct error *err)
{
	search->survey = (struct wal_survey){
		.seeks_xid = true, .xid = search->asked->target->xid, .from = search->backup->stop_lsn};
	if (!search_survey(search, last, err))
		return fail_in(err, "could not look for the transaction");
	*found = search->survey.stop.lsn != 0 || !search->survey.understood;
	if (!search->survey.understood)
		why_unknown_wal(search);
	else if (*found)
		return reach_settle(search, STOP_XID, search->survey.stop.lsn, search->survey.stop_end, err);
	return true;
}

static bool name_reach(struct search *search, uint64_t last, bool *found, struct error *err)
{
	search->survey = (struct wal_survey){.name = search->asked->target->name, .from = search->backup->stop_lsn};
	TRY(search_survey(search, last, err));
	*found = search->survey.point_count > 0 || !search->survey.understood;
	search->reach->is_ambiguous = search->survey.point_count > 1;
	if (!search->survey.understood)
		why_unknown_wal(search);
	else if (search->reach->is_ambiguous)
		why_two_points(search);
	else if (search->survey.point_count == 1)
		return reach_settle(search, STOP_NAME, search->survey.points[0].lsn, search->survey.points[0].lsn + 1,
				    err);
	return true;
}

/* What restore points there are, for who has mistyped one. */
static bool reach_not_found(struct search *search, struct error *err)
{
	search->survey = (struct wal_survey){.name = ""};
	if (search->asked->target->kind == TARGET_NAME)
		TRY(search_survey(search, search->available, err));
	why_not_found(search);
	return true;
}

/* Transactions and restore points: what lies behind the newest backup first, then what lies between it and the one
 * before, and so on. */
typedef bool (*reach_seek)(struct search *search, uint64_t last, bool *found, struct error *err);

static bool reach_seeking(struct search *search, reach_seek seek, struct error *err)
{
	char what[TARGET_TEXT_SIZE];
	bool is_whole, found = false, has_hole_somewhere = false;
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
		    (last == search->available && last < newer && search_has_hole(search))) {
			has_hole_somewhere = true;
			search->survey = (struct wal_survey){0};
			if (is_whole)
				TRY(search_survey(search, search->available, err));
			why_hole(search, what);
		}
		newer = search_segment(search, search->backup->stop_lsn - 1);
	}
	if (has_hole_somewhere)
		return true;
	return reach_not_found(search, err);
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

uint64_t reach_segments(const struct reach *reach)
{
	return reach->last - reach->first + 1;
}

void reach_release(struct reach *reach)
{
	wal_range_release(&reach->range);
}

static bool reach_try(const struct reaching *asked, const struct wal_path *path, bool takes_damaged,
		      struct reach *reach, struct error *err)
{
	struct search search;

	*reach = (struct reach){.path = path, .exclusive = asked->target->exclusive};
	bool done = search_init(&search, asked, path, takes_damaged, reach, err) && reach_dispatch(&search, err);
	search_release(&search);
	return done;
}

/* Could the target be reached from this backup, as far as its end tells? */
static bool ends_before(const struct backup *backup, const struct target *target, const struct reach *reach)
{
	switch (target->kind) {
	case TARGET_LATEST:
	case TARGET_STANDBY:
	case TARGET_IMMEDIATE:
		return true;
	case TARGET_TIME:
		return backup->finished_us <= target->time_us;
	case TARGET_LSN:
		return backup->stop_lsn <= target->lsn;
	case TARGET_XID:
	case TARGET_NAME:
		return backup->stop_lsn <= reach->lsn;
	}
	return false;
}

/* The newest damaged one that would have been taken; any at all when nothing was reached. */
static const struct backup *damaged_find(const struct reaching *asked, const struct wal_path *path,
					 const struct reach *reach)
{
	const struct backup *found = NULL;

	for (int i = 0; i < asked->catalog->count && asked->chosen == NULL; i++) {
		const struct backup *backup = &asked->catalog->backups[i];

		if (!backup->is_damaged || !wal_path_has_backup(path, backup) ||
		    (reach->reached &&
		     (backup->stop_lsn < reach->backup->stop_lsn || !ends_before(backup, asked->target, reach))))
			continue;
		if (found == NULL || backup->stop_lsn > found->stop_lsn)
			found = backup;
	}
	return found;
}

/* A backup that is known to be damaged is better than none: of what it has lost the target may need nothing. */
bool reach_find(const struct reaching *asked, const struct wal_path *path, struct reach *reach, struct error *err)
{
	TRY(reach_try(asked, path, false, reach, err));
	const struct backup *damaged = damaged_find(asked, path, reach);
	if (reach->reached)
		reach->passed_over = damaged;
	if (reach->reached || reach->is_ambiguous || damaged == NULL)
		return true;
	reach_release(reach);
	return reach_try(asked, path, true, reach, err);
}

bool reach_find_next(const struct reaching *asked, struct reach *reach, struct error *err)
{
	uint64_t first = wal_segment_of(reach->behind, reach->backup->segment_size);
	struct wal_survey survey = {.first = first,
				    .last = reach->available,
				    .from = reach->behind,
				    .seeks_time = true,
				    .time_us = INT64_MIN,
				    .jobs = asked->jobs};

	if (reach->next.lsn != 0 || reach->at_end || reach->stop == STOP_NEVER || first > reach->available)
		return true;
	/* A record that ends behind the stop may begin in the segment before. */
	if (survey.first > reach->first)
		survey.first--;
	TRY(wal_survey_run(asked->repo, &reach->range, &survey, err));
	reach->next = survey.stop;
	if (survey.is_coarse) {
		reach->is_coarse = true;
		reach->denial = survey.denial;
	}
	return true;
}
