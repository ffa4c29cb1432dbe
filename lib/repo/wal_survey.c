#include "repo/wal_survey.h"

#include <stdlib.h>
#include <string.h>

#include "base/workers.h"
#include "repo/wal_store.h"

/* Summaries are read this many at once: few at first, since a time is often found soon. About 7 MB at most. */
#define BATCH_MIN 16
#define BATCH_MAX 256

struct survey_walk {
	struct repo *repo;
	const struct wal_range *range;
	struct wal_survey *survey;
	bool done;
	uint64_t previous; /* start of the last complete record, whatever is asked; 0: not known yet */
	bool has_open;	   /* a record began in `open` and has not ended yet */
	struct wal_summary open;
	struct wal_survey_segment segment; /* the one that is counted, for who wants to see it */
};

static struct wal_commit commit_of(const struct survey_walk *walk, const struct wal_event *event)
{
	return (struct wal_commit){.lsn = event->lsn,
				   .timeline = timeline_history_at(&walk->range->path->history, event->lsn),
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

static void point_set(const struct survey_walk *walk, struct wal_restore_point *point, uint64_t lsn, int64_t time_us,
		      const char *name)
{
	point->lsn = lsn;
	point->timeline = timeline_history_at(&walk->range->path->history, lsn);
	point->time_us = time_us;
	memcpy(point->name, name, sizeof(point->name));
}

static void point_add(struct survey_walk *walk, uint64_t lsn, int64_t time_us, const char *name)
{
	struct wal_survey *survey = walk->survey;
	struct wal_survey_segment *segment = &walk->segment;

	if (lsn >= survey->from && segment->point_count <= WAL_RESTORE_POINTS_MAX)
		point_set(walk, &segment->points[segment->point_count++], lsn, time_us, name);
	if (lsn < survey->from || survey->name == NULL || (*survey->name != '\0' && strcmp(survey->name, name) != 0))
		return;
	if (survey->point_count < WAL_SURVEY_POINTS_MAX)
		point_set(walk, &survey->points[survey->point_count], lsn, time_us, name);
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

static void time_add(int64_t time_us, int64_t *time_min_us, int64_t *time_max_us)
{
	if (*time_min_us == 0 || time_us < *time_min_us)
		*time_min_us = time_us;
	if (time_us > *time_max_us)
		*time_max_us = time_us;
}

static void time_count(struct survey_walk *walk, int64_t time_us)
{
	time_add(time_us, &walk->survey->time_min_us, &walk->survey->time_max_us);
	time_add(time_us, &walk->segment.time_min_us, &walk->segment.time_max_us);
}

static void commits_count(struct survey_walk *walk, uint64_t count, const struct wal_commit *last)
{
	walk->survey->commits += count;
	walk->segment.commits += count;
	if (last->lsn != 0)
		walk->survey->last_commit = walk->segment.last_commit = *last;
}

static void stop_note(struct survey_walk *walk, uint64_t record, uint64_t end)
{
	walk->survey->stop_record = record;
	walk->survey->stop_end = end;
	walk->done = true;
}

/* Counts one record that was seen whole; marks the walk as done when replay would stop at it. */
static void event_count(struct survey_walk *walk, const struct wal_event *event)
{
	struct wal_survey *survey = walk->survey;

	if (survey->seeks_lsn && event->lsn >= survey->lsn) {
		stop_note(walk, event->lsn, event->end);
		if (survey->exclusive)
			return;
	}
	if (event->kind == WAL_RESTORE_POINT)
		point_add(walk, event->lsn, event->time_us, event->name);
	if (event->kind == WAL_TABLESPACE)
		tablespace_see(walk, event);
	if (event->kind != WAL_COMMIT && event->kind != WAL_ABORT)
		return;
	if (event->lsn >= survey->from &&
	    (time_stops(survey, event->time_us) || (survey->seeks_xid && event->xid == survey->xid))) {
		survey->stop = commit_of(walk, event);
		stop_note(walk, event->lsn, event->end);
		return;
	}
	if (survey->until != 0 && event->lsn > survey->until)
		return;
	time_count(walk, event->time_us);
	if (event->kind == WAL_ABORT) {
		survey->aborts++;
		return;
	}
	const struct wal_commit commit = commit_of(walk, event);
	commits_count(walk, 1, &commit);
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

static bool crossing_visit(void *context, const struct wal_event *event, struct error *err)
{
	struct survey_walk *walk = context;

	if (event->lsn == walk->open.tail_record)
		event_count(walk, event);
	if (event->lsn < walk->open.tail_record)
		return true;
	err->kind = ERROR_NONE;
	return false;
}

/* The record that began in an earlier segment and ends in this one. That of a two-phase transaction does not show its
 * number, so where one is sought its segments have to be read. */
static bool crossing_count(struct survey_walk *walk, uint64_t number, const struct wal_summary *summary,
			   struct error *err)
{
	struct wal_survey *survey = walk->survey;
	struct wal_event event;

	if (!walk->has_open || summary->head_end == 0)
		return true;
	walk->has_open = false;
	walk->previous = walk->open.tail_record;
	if (walk->open.tail_record >= survey->from)
		survey->last_record = walk->open.tail_record;
	if (!wal_summary_join(&walk->open, summary, &event)) {
		if (survey->seeks_lsn && walk->open.tail_record >= survey->lsn)
			stop_note(walk, walk->open.tail_record, summary->head_end);
		return true;
	}
	bool is_unknown = survey->seeks_xid && event.xid == 0 && (event.kind == WAL_COMMIT || event.kind == WAL_ABORT);
	if (is_unknown)
		return wal_range_walk(walk->repo, walk->range,
				      wal_segment_of(walk->open.tail_record, walk->range->segment_size), number,
				      crossing_visit, walk, NULL, err) ||
		       err->kind == ERROR_NONE;
	event_count(walk, &event);
	return true;
}

/* May the transaction have ended here, in a record that begins and ends here? Transactions are counted modulo 2^32. */
static bool may_have_xid(const struct wal_survey *survey, const struct wal_summary *summary)
{
	if (!survey->seeks_xid || summary->commits + summary->aborts == 0)
		return false;
	return summary->xid_min == 0 || survey->xid - summary->xid_min <= summary->xid_max - summary->xid_min;
}

/* Does a record begin and end here that begins at the position that is sought, or behind it? */
static bool lsn_stops(const struct wal_survey *survey, const struct wal_summary *summary)
{
	return survey->seeks_lsn && summary->last_record != 0 && summary->last_record >= survey->lsn;
}

/* Must the records themselves be looked at? Where replay would stop, where what counts ends, where the transaction may
 * be, and where restore points were left out. */
static bool needs_records(const struct wal_survey *survey, const struct wal_summary *summary)
{
	bool has_commits = summary->commits + summary->aborts > 0;
	bool is_cut = (survey->until >= summary->start && survey->until < summary->end) || lsn_stops(survey, summary);

	return (has_commits && (is_cut || time_stops(survey, summary->time_max_us))) || may_have_xid(survey, summary) ||
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
	if (summary->restore_point_count > WAL_RESTORE_POINTS_MAX) {
		survey->points_complete = false;
		walk->segment.points_omitted = summary->restore_point_count - WAL_RESTORE_POINTS_MAX;
	}
	for (int i = 0; i < summary->tablespace_count && i < WAL_TABLESPACES_MAX; i++)
		tablespace_add(walk, &summary->tablespaces[i]);
	if (summary->tablespace_count > WAL_TABLESPACES_MAX)
		unread_note(&survey->tablespaces, survey->reached, survey->reached);
	if (!is_counted)
		return;
	survey->aborts += summary->aborts;
	if (summary->commits + summary->aborts > 0) {
		time_count(walk, summary->time_min_us);
		time_count(walk, summary->time_max_us);
	}
	const struct wal_commit last = {.lsn = summary->last_commit,
					.timeline =
						timeline_history_at(&walk->range->path->history, summary->last_commit),
					.xid = summary->last_commit_xid,
					.time_us = summary->last_commit_time_us};
	commits_count(walk, summary->commits, &last);
}

/* The records are what the key does not let us see. */
static void coarse_count(struct survey_walk *walk, const struct wal_summary *summary, const struct error *denial)
{
	struct wal_survey *survey = walk->survey;
	uint64_t until = survey->until, first = summary->first_record != 0 ? summary->first_record : summary->start;
	bool stops_all = time_stops(survey, summary->time_min_us);

	survey->is_coarse = true;
	survey->denial = *denial;
	first = first > survey->from ? first : survey->from;
	if (time_stops(survey, summary->time_max_us)) {
		survey->stop = (struct wal_commit){.lsn = first,
						   .timeline = timeline_history_at(&walk->range->path->history, first),
						   .time_us = stops_all ? summary->time_min_us : summary->time_max_us};
		stop_note(walk, first, summary->end);
		return;
	}
	if (lsn_stops(survey, summary)) {
		stop_note(walk, survey->lsn, summary->end);
		return;
	}
	if (until >= summary->start && until < summary->end)
		survey->until = summary->start - 1;
	summary_count(walk, summary);
	survey->until = until;
}

static bool records_count(struct survey_walk *walk, uint64_t number, const struct wal_summary *summary,
			  struct error *err)
{
	if (wal_range_walk(walk->repo, walk->range, number, number, event_visit, walk, NULL, err) ||
	    err->kind == ERROR_NONE)
		return true;
	if (err->kind != ERROR_DENIED || walk->survey->seeks_xid)
		return false;
	coarse_count(walk, summary, err);
	return true;
}

/* Does the segment continue the one before it? Two servers that wrote the same timeline (a clone, a split brain) may
 * both have stored segments, and replay would end where the one's follow the other's. Each record names the one before
 * it; an unfinished record and its rest have to measure what it says. */
static bool segment_continues(const struct survey_walk *walk, const struct wal_summary *summary)
{
	uint64_t previous = walk->previous;

	if (walk->has_open && summary->head_end != 0) {
		if (!wal_summary_fits(&walk->open, summary))
			return false;
		previous = walk->open.tail_record;
	}
	return previous == 0 || summary->previous_record == 0 || summary->previous_record == previous;
}

static bool fail_splice(const struct survey_walk *walk, uint64_t number, struct error *err)
{
	struct wal_name before, name;

	wal_range_name(walk->range, number - 1, &before);
	wal_range_name(walk->range, number, &name);
	(void) fail(err, ERROR_CORRUPT,
		    "the WAL segment \"%s\" does not continue \"%s\": they were written by servers that had diverged",
		    name.text, before.text);
	return fail_hint(err,
			 "One of them is a copy of the other. On the server that is to continue, run \"pitr-catalog "
			 "fork\".");
}

static void segment_begin(struct survey_walk *walk, uint64_t number, const struct wal_summary *summary)
{
	struct wal_survey_segment *segment = &walk->segment;
	enum wal_source source;

	segment->number = number;
	segment->stored_size = 0;
	segment->is_within_record = summary->head_size > 0 && summary->head_end == 0;
	segment->commits = 0;
	segment->time_min_us = segment->time_max_us = 0;
	segment->last_commit = (struct wal_commit){.lsn = 0};
	segment->point_count = segment->points_omitted = 0;
	(void) !wal_range_find(walk->range, number, &source, &segment->stored_size);
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
	if (number > survey->first && !segment_continues(walk, summary))
		return fail_splice(walk, number, err);
	segment_begin(walk, number, summary);
	TRY(crossing_count(walk, number, summary, err));
	if (walk->done)
		return true;
	if (needs_records(survey, summary))
		TRY(records_count(walk, number, summary, err));
	else
		summary_count(walk, summary);
	if (!walk->done && lsn_stops(survey, summary)) /* nothing that counts is near it */
		stop_note(walk, survey->lsn, summary->end);
	if (walk->done)
		return true;
	if (summary->last_record >= survey->from && summary->last_record != 0)
		survey->last_record = summary->last_record;
	if (summary->last_record != 0)
		walk->previous = summary->last_record;
	survey->end = summary->end;
	survey->ends_early = summary->ends_early && number < survey->last;
	walk->done = survey->ends_early;
	if (summary->tail_record != 0) {
		walk->open = *summary;
		walk->has_open = true;
	}
	return survey->visit == NULL || survey->visit(survey->context, &walk->segment, err);
}

struct reading {
	struct repo *repo;
	const struct wal_range *range;
	uint64_t number;
	struct wal_entry *entry; /* where to put it */
	bool is_damaged;
	struct error damage;
};

/* Consecutive segments that are read at once. */
struct batch {
	struct wal_entry entries[BATCH_MAX];
	struct reading readings[BATCH_MAX]; /* of those that the index does not know */
	const struct reading *damaged;	    /* the first that is; NULL: none */
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

static bool reading_run(void *job, bool cancelled, struct error *err)
{
	struct reading *reading = job;

	if (cancelled || wal_range_entry(reading->repo, reading->range, reading->number, reading->entry, err))
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

/* What the index does not tell of the segments themselves, in parallel. */
static bool readings_run(struct survey_walk *walk, struct reading *readings, int count, struct error *err)
{
	int jobs = walk->survey->jobs < 1 ? 1 : walk->survey->jobs < count ? walk->survey->jobs : count;
	struct workers *workers = NULL;
	struct error ignored;
	bool done = true;

	if (count == 0)
		return true;
	TRY(workers_open(jobs, count, &workers, err));
	for (int i = 0; i < count && done; i++)
		done = workers_submit(workers, reading_run, &readings[i], err);
	return workers_finish(workers, done ? err : &ignored) && done;
}

/* Reads what is known of `count` segments from `first` on. Of those that are damaged the first is what counts. */
static bool batch_read(struct survey_walk *walk, uint64_t first, int count, struct batch *batch, struct error *err)
{
	int unknown = 0;
	bool found;

	for (int i = 0; i < count; i++) {
		struct wal_entry *entry = &batch->entries[i];

		TRY(wal_range_indexed(walk->range, first + (uint64_t) i, entry, &found, err));
		if (!found)
			batch->readings[unknown++] = (struct reading){.repo = walk->repo,
								      .range = walk->range,
								      .number = first + (uint64_t) i,
								      .entry = entry};
	}
	TRY(readings_run(walk, batch->readings, unknown, err));
	batch->damaged = NULL;
	for (int i = unknown - 1; i >= 0; i--)
		if (batch->readings[i].is_damaged)
			batch->damaged = &batch->readings[i];
	return true;
}

static bool survey_batches(struct survey_walk *walk, struct batch *batch, struct error *err)
{
	struct wal_survey *survey = walk->survey;
	int size = BATCH_MIN;

	for (uint64_t next = survey->first; next <= survey->last && !walk->done;) {
		uint64_t left = survey->last - next + 1;
		int count = left < (uint64_t) size ? (int) left : size;

		TRY(batch_read(walk, next, count, batch, err));
		for (int i = 0; i < count && !walk->done; i++) {
			uint64_t number = next + (uint64_t) i;

			if (batch->damaged != NULL && batch->damaged->number == number)
				damage_note(walk, number, &batch->damaged->damage);
			else
				TRY(segment_take(walk, number, &batch->entries[i].summary, err));
		}
		next += (uint64_t) count;
		size = size * 2 > BATCH_MAX ? BATCH_MAX : size * 2;
	}
	return true;
}

bool wal_survey_run(struct repo *repo, const struct wal_range *range, struct wal_survey *survey, struct error *err)
{
	struct survey_walk *walk = calloc(1, sizeof(*walk));
	struct batch *batch = calloc(1, sizeof(*batch));
	bool done = false;

	survey->points_complete = survey->understood = true;
	if (walk == NULL || batch == NULL) {
		(void) fail(err, ERROR_SYSTEM, "out of memory");
	} else {
		walk->repo = repo;
		walk->range = range;
		walk->survey = survey;
		done = survey_batches(walk, batch, err);
	}
	free(walk);
	free(batch);
	return done;
}
