#include "repo/wal_survey.h"

#include <stdlib.h>
#include <string.h>

#include "base/workers.h"
#include "repo/wal_store.h"

/* Summaries are read this many at once: few at first, since a time is often found soon. About 4 MB at most. */
#define BATCH_MIN 16
#define BATCH_MAX 256

struct survey_walk {
	struct repo *repo;
	const struct wal_range *range;
	struct wal_survey *survey;
	bool done;
	bool has_open; /* a record began in `open` and has not ended yet */
	struct wal_summary open;
};

static struct wal_commit commit_of(const struct survey_walk *walk, const struct wal_event *event)
{
	return (struct wal_commit){.lsn = event->lsn,
				   .timeline = timeline_history_at(walk->range->history, event->lsn),
				   .xid = event->xid,
				   .time_us = event->time_us,
				   .is_abort = event->kind == WAL_ABORT};
}

/* recoveryStopsBefore() of xlogrecovery.c: commits and aborts count alike; with an inclusive target the first one
 * behind the time stops replay, with an exclusive one the first one at it. */
static bool time_stops(const struct wal_survey *survey, int64_t time_us)
{
	return survey->seeks_time && (survey->exclusive ? time_us >= survey->time_us : time_us > survey->time_us);
}

static void point_add(struct survey_walk *walk, uint64_t lsn, int64_t time_us, const char *name)
{
	struct wal_survey *survey = walk->survey;

	if (lsn < survey->from || survey->name == NULL || (*survey->name != '\0' && strcmp(survey->name, name) != 0))
		return;
	if (survey->point_count < WAL_SURVEY_POINTS_MAX) {
		struct wal_restore_point *point = &survey->points[survey->point_count];

		point->lsn = lsn;
		point->timeline = timeline_history_at(walk->range->history, lsn);
		point->time_us = time_us;
		memcpy(point->name, name, sizeof(point->name));
	}
	survey->point_count++;
}

static void unread_note(struct wal_tablespaces *tablespaces, uint64_t first, uint64_t last)
{
	if (!tablespaces->has_unread || first < tablespaces->unread_first)
		tablespaces->unread_first = first;
	if (!tablespaces->has_unread || last > tablespaces->unread_last)
		tablespaces->unread_last = last;
	tablespaces->has_unread = true;
}

static bool tablespace_equal(const struct wal_tablespace *a, const struct wal_tablespace *b)
{
	return a->oid == b->oid && strcmp(a->path, b->path) == 0;
}

/* Of a tablespace that is created again and again the first time is kept. */
static void tablespace_add(struct survey_walk *walk, const struct wal_tablespace *tablespace)
{
	struct wal_tablespaces *found = &walk->survey->tablespaces;
	uint64_t segment = wal_segment_of(tablespace->lsn, walk->range->segment_size);

	if (tablespace->lsn < walk->survey->from)
		return;
	for (int i = 0; i < found->count; i++)
		if (tablespace_equal(&found->items[i], tablespace))
			return;
	if (found->count < WAL_SURVEY_TABLESPACES_MAX)
		found->items[found->count++] = *tablespace;
	else /* it may go on in the segment that is looked at */
		unread_note(found, segment, walk->survey->reached);
}

static void tablespace_see(struct survey_walk *walk, const struct wal_event *event)
{
	uint64_t segment = wal_segment_of(event->lsn, walk->range->segment_size);
	struct wal_tablespace tablespace;

	wal_tablespace_take(event, &tablespace);
	if (!event->path_is_cut)
		tablespace_add(walk, &tablespace);
	else if (event->lsn >= walk->survey->from)
		unread_note(&walk->survey->tablespaces, segment, walk->survey->reached);
}

static void time_count(struct wal_survey *survey, int64_t time_us)
{
	if (survey->time_min_us == 0 || time_us < survey->time_min_us)
		survey->time_min_us = time_us;
	if (time_us > survey->time_max_us)
		survey->time_max_us = time_us;
}

/* Counts one record that was seen whole; marks the walk as done when replay would stop at it. */
static void event_count(struct survey_walk *walk, const struct wal_event *event)
{
	struct wal_survey *survey = walk->survey;

	if (event->kind == WAL_RESTORE_POINT)
		point_add(walk, event->lsn, event->time_us, event->name);
	if (event->kind == WAL_TABLESPACE)
		tablespace_see(walk, event);
	if (event->kind != WAL_COMMIT && event->kind != WAL_ABORT)
		return;
	if (event->lsn >= survey->from && time_stops(survey, event->time_us)) {
		survey->stop = commit_of(walk, event);
		walk->done = true;
		return;
	}
	if (survey->until != 0 && event->lsn > survey->until)
		return;
	time_count(survey, event->time_us);
	if (event->kind == WAL_ABORT) {
		survey->aborts++;
		return;
	}
	survey->commits++;
	survey->last_commit = commit_of(walk, event);
}

/* The record that began in an earlier segment and ends in this one. */
static void crossing_count(struct survey_walk *walk, const struct wal_summary *summary)
{
	struct wal_survey *survey = walk->survey;
	struct wal_event event;

	if (!walk->has_open || summary->head_end == 0)
		return;
	walk->has_open = false;
	if (walk->open.tail_record >= survey->from)
		survey->last_record = walk->open.tail_record;
	if (wal_summary_join(&walk->open, summary, &event))
		event_count(walk, &event);
}

static bool event_visit(void *context, const struct wal_event *event, struct error *err)
{
	struct survey_walk *walk = context;

	event_count(walk, event);
	if (!walk->done)
		return true;
	err->kind = ERROR_NONE;
	return false;
}

/* Must the records themselves be looked at? Where replay would stop, where what counts ends, and where restore points
 * were left out. */
static bool needs_records(const struct wal_survey *survey, const struct wal_summary *summary)
{
	bool has_commits = summary->commits + summary->aborts > 0;
	bool is_cut = survey->until >= summary->start && survey->until < summary->end;

	return (has_commits && (is_cut || time_stops(survey, summary->time_max_us))) ||
	       (survey->name != NULL && *survey->name != '\0' && summary->restore_point_count > WAL_RESTORE_POINTS_MAX);
}

/* Adds the records that begin and end in this segment, from its summary alone. */
static void summary_count(struct survey_walk *walk, const struct wal_summary *summary)
{
	struct wal_survey *survey = walk->survey;
	bool is_counted = survey->until == 0 || summary->start <= survey->until;

	for (int i = 0; i < summary->restore_point_count && i < WAL_RESTORE_POINTS_MAX; i++)
		point_add(walk, summary->restore_points[i].lsn, summary->restore_points[i].time_us,
			  summary->restore_points[i].name);
	if (summary->restore_point_count > WAL_RESTORE_POINTS_MAX)
		survey->points_complete = false;
	for (int i = 0; i < summary->tablespace_count && i < WAL_TABLESPACES_MAX; i++)
		tablespace_add(walk, &summary->tablespaces[i]);
	if (summary->tablespace_count > WAL_TABLESPACES_MAX)
		unread_note(&survey->tablespaces, survey->reached, survey->reached);
	if (!is_counted)
		return;
	survey->commits += summary->commits;
	survey->aborts += summary->aborts;
	if (summary->commits + summary->aborts > 0) {
		time_count(survey, summary->time_min_us);
		time_count(survey, summary->time_max_us);
	}
	if (summary->last_commit != 0) {
		survey->last_commit =
			(struct wal_commit){.lsn = summary->last_commit,
					    .timeline = timeline_history_at(walk->range->history, summary->last_commit),
					    .xid = summary->last_commit_xid,
					    .time_us = summary->last_commit_time_us};
	}
}

static bool segment_count(struct survey_walk *walk, uint64_t number, const struct wal_summary *summary,
			  struct error *err)
{
	struct wal_survey *survey = walk->survey;

	survey->reached = number;
	survey->magic = summary->magic;
	survey->understood = summary->understood;
	walk->done = !summary->understood;
	if (walk->done)
		return true;
	crossing_count(walk, summary);
	if (walk->done)
		return true;
	if (needs_records(survey, summary)) {
		if (!wal_range_walk(walk->repo, walk->range, number, number, event_visit, walk, NULL, err) &&
		    err->kind != ERROR_NONE)
			return false;
		if (walk->done)
			return true;
	} else {
		summary_count(walk, summary);
	}
	if (summary->last_record >= survey->from && summary->last_record != 0)
		survey->last_record = summary->last_record;
	survey->end = summary->end;
	survey->ends_early = summary->ends_early && number < survey->last;
	walk->done = survey->ends_early;
	if (summary->tail_record != 0) {
		walk->open = *summary;
		walk->has_open = true;
	}
	return true;
}

struct reading {
	struct repo *repo;
	struct wal_name name;
	struct wal_summary *summary; /* where to put it */
	bool is_damaged;
	struct error damage;
};

bool wal_survey_breaks(const struct wal_survey *survey)
{
	return survey->ends_early || survey->is_damaged;
}

static bool kind_is_damage(enum error_kind kind)
{
	return kind == ERROR_CORRUPT || kind == ERROR_NOT_FOUND;
}

static void damage_note(struct survey_walk *walk, uint64_t number, const struct error *damage)
{
	walk->survey->reached = number;
	walk->survey->is_damaged = true;
	walk->survey->damage = *damage;
	walk->done = true;
}

static bool summary_read(const struct reading *reading, struct error *err)
{
	struct wal_summary *summary = reading->summary;

	TRY(wal_store_summary(reading->repo, &reading->name, summary, err));
	if (summary->start != wal_segment_start(&reading->name, summary->segment_size))
		return fail(err, ERROR_CORRUPT, "the summary of \"%s\" belongs to another segment", reading->name.text);
	return true;
}

static bool reading_run(void *job, bool cancelled, struct error *err)
{
	struct reading *reading = job;

	if (cancelled || summary_read(reading, err))
		return true;
	if (!kind_is_damage(err->kind))
		return false;
	reading->is_damaged = true;
	reading->damage = *err;
	return true;
}

/* Where a segment itself has to be read, that may fail in the same ways. */
static bool segment_take(struct survey_walk *walk, uint64_t number, const struct wal_summary *summary,
			 struct error *err)
{
	if (segment_count(walk, number, summary, err))
		return true;
	if (!kind_is_damage(err->kind))
		return false;
	damage_note(walk, number, err);
	return true;
}

/* Reads `count` summaries from segment `first` on, in parallel. */
static bool batch_read(struct survey_walk *walk, uint64_t first, int count, struct reading *readings,
		       struct wal_summary *summaries, struct error *err)
{
	int jobs = walk->survey->jobs < 1 ? 1 : walk->survey->jobs < count ? walk->survey->jobs : count;
	struct workers *workers = NULL;
	bool done = true;

	TRY(workers_open(jobs, count, &workers, err));
	for (int i = 0; i < count && done; i++) {
		readings[i] = (struct reading){.repo = walk->repo, .summary = &summaries[i]};
		wal_range_name(walk->range, first + (uint64_t) i, &readings[i].name);
		done = workers_submit(workers, reading_run, &readings[i], err);
	}
	struct error ignored;
	return workers_finish(workers, done ? err : &ignored) && done;
}

static bool survey_batches(struct survey_walk *walk, struct reading *readings, struct wal_summary *summaries,
			   struct error *err)
{
	struct wal_survey *survey = walk->survey;
	int batch = BATCH_MIN;

	for (uint64_t next = survey->first; next <= survey->last && !walk->done;) {
		uint64_t left = survey->last - next + 1;
		int count = left < (uint64_t) batch ? (int) left : batch;

		TRY(batch_read(walk, next, count, readings, summaries, err));
		for (int i = 0; i < count && !walk->done; i++) {
			if (readings[i].is_damaged)
				damage_note(walk, next + (uint64_t) i, &readings[i].damage);
			else
				TRY(segment_take(walk, next + (uint64_t) i, &summaries[i], err));
		}
		next += (uint64_t) count;
		batch = batch * 2 > BATCH_MAX ? BATCH_MAX : batch * 2;
	}
	return true;
}

bool wal_survey_run(struct repo *repo, const struct wal_range *range, struct wal_survey *survey, struct error *err)
{
	struct survey_walk *walk = calloc(1, sizeof(*walk));
	struct reading *readings = calloc(BATCH_MAX, sizeof(*readings));
	struct wal_summary *summaries = calloc(BATCH_MAX, sizeof(*summaries));
	bool done = false;

	survey->points_complete = survey->understood = true;
	if (walk == NULL || readings == NULL || summaries == NULL) {
		(void) fail(err, ERROR_SYSTEM, "out of memory");
	} else {
		walk->repo = repo;
		walk->range = range;
		walk->survey = survey;
		done = survey_batches(walk, readings, summaries, err);
	}
	free(walk);
	free(readings);
	free(summaries);
	return done;
}
