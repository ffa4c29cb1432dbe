#include "repo/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "repo/wal_store.h"
#include "repo/wal_survey.h"

/* One path. What was kept of it, or of one that leads there part of the way, stands for what it covers. */
struct walk {
	struct windows *all;
	int place;
	const struct wal_path *path;
	uint32_t segment_size;
	uint64_t first; /* segment with which its first backup begins */
	struct wal_range range;
	uint64_t listed_from; /* what lies before it is taken for being there, as it was */
	uint64_t reached;     /* by a window; 0: by none yet */
	bool lists_all;	      /* since what was kept does not do: */
	bool has_unlisted;    /* what lies before it counts that was not counted then */
	/* The path of which windows were kept; NULL: none. */
	const struct wal_path *source;
	uint64_t shared_last; /* the last segment whose file both have; UINT64_MAX: it is the same path */
};

void window_release(struct window *window)
{
	free((void *) window->backups);
	window->backups = NULL;
	wal_marks_release(&window->marks);
}

void windows_release(struct windows *windows)
{
	for (int i = 0; i < windows->count; i++)
		window_release(&windows->items[i]);
	free(windows->items);
	windows->items = NULL;
	windows->count = 0;
	windows->capacity = 0;
	gaps_release(&windows->gaps);
	restore_points_release(&windows->points);
	lineage_release(&windows->lineage);
	wal_needed_release(&windows->retired);
}

struct window *windows_extend(struct windows *windows, struct error *err)
{
	if (!ARRAY_RESERVE(&windows->items, windows->count, &windows->capacity, err))
		return NULL;
	windows->items[windows->count] = (struct window){.place = 0};
	return &windows->items[windows->count++];
}

/* ----------------------------------------------------------------------------------------------- one window */

static int stop_order(const void *left, const void *right)
{
	const struct backup *a = *(const struct backup *const *) left;
	const struct backup *b = *(const struct backup *const *) right;

	if (a->stop_lsn != b->stop_lsn)
		return a->stop_lsn < b->stop_lsn ? -1 : 1;
	return strcmp(a->label, b->label);
}

/* Backups behind the first one of a window belong to it as far as it goes. */
static bool window_take_backups(const struct windows *all, const struct backup *earliest, struct window *window,
				struct error *err)
{
	const struct catalog *catalog = all->catalog;

	window->backups = calloc((size_t) catalog->count, sizeof(*window->backups));
	if (window->backups == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	window->backup_count = 0;
	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];

		if (wal_path_has_backup(window->path, backup) && backup->start_lsn >= earliest->start_lsn &&
		    backup->stop_lsn <= window->latest_lsn)
			window->backups[window->backup_count++] = backup;
	}
	if (window->backup_count > 1)
		qsort((void *) window->backups, (size_t) window->backup_count, sizeof(*window->backups), stop_order);
	return true;
}

static void window_place(const struct walk *walk, struct window *window)
{
	const struct lineage *lineage = &walk->all->lineage;

	window->place = walk->place;
	window->path = walk->path;
	(void) snprintf(window->branch, sizeof(window->branch), "%s", layout_branch(&walk->path->layout));
	window->timeline = wal_path_timeline(walk->path);
	window->is_end = lineage->is_end[walk->place];
	window->is_proposed = lineage->is_proposed[walk->place];
}

/* Without a commit behind the backup, its end is the latest moment too. */
static void window_conclude(const struct backup *earliest, struct window *window)
{
	const struct wal_mark *last = wal_marks_last_commit(&window->marks);

	window->commits = wal_marks_commits(&window->marks);
	window->latest_us = window->earliest_us;
	if (last != NULL && last->last_commit_time_us > window->earliest_us)
		window->latest_us = last->last_commit_time_us;
	if (window->latest_lsn < earliest->stop_lsn)
		window->latest_lsn = earliest->stop_lsn;
}

struct surveying {
	struct walk *walk;
	struct window *window;
	uint64_t first, from;  /* segments before the latter were counted earlier */
	bool is_within_record; /* the first does not show where what crosses it began */
};

static bool segment_visit(void *context, const struct wal_survey_segment *segment, struct error *err)
{
	struct surveying *surveying = context;
	struct walk *walk = surveying->walk;
	struct wal_mark mark = {.first = segment->number,
				.last = segment->number,
				.stored_bytes = segment->stored_size,
				.commits = segment->commits,
				.time_min_us = segment->time_min_us,
				.time_max_us = segment->time_max_us,
				.last_commit = segment->last_commit.lsn,
				.last_commit_xid = segment->last_commit.xid,
				.last_commit_time_us = segment->last_commit.time_us};

	if (segment->number < surveying->from) {
		if (segment->number != surveying->first || !segment->is_within_record)
			return true;
		surveying->is_within_record = true;
		err->kind = ERROR_NONE;
		return segment->number == surveying->window->first;
	}
	walk->has_unlisted = walk->has_unlisted || segment->number < walk->listed_from;
	TRY(restore_points_add(&walk->all->points, walk->path, walk->segment_size, segment, err));
	return wal_marks_add(&surveying->window->marks, &mark, err);
}

/* Looks at the segments from `from` to `last`, and at so many before them as it takes to know what crosses. */
static bool survey_run(struct walk *walk, struct window *window, uint64_t from, struct wal_survey *survey,
		       struct error *err)
{
	struct surveying surveying = {
		.walk = walk, .window = window, .first = from > window->first ? from - 1 : from, .from = from};

	for (;; surveying.first--) {
		struct wal_survey question = *survey;

		question.first = surveying.first;
		question.visit = segment_visit;
		question.context = &surveying;
		surveying.is_within_record = false;
		if (wal_survey_run(walk->all->repo, &walk->range, &question, err)) {
			*survey = question;
			survey->context = NULL;
			return true;
		}
		if (!surveying.is_within_record || err->kind != ERROR_NONE)
			return false;
	}
}

static enum window_end survey_end(const struct wal_survey *survey, bool is_before_gap)
{
	if (survey->is_damaged)
		return WINDOW_DAMAGED;
	if (!survey->understood)
		return WINDOW_UNKNOWN_VERSION;
	if (survey->ends_early)
		return WINDOW_BREAKS_OFF;
	return is_before_gap ? WINDOW_GAP : WINDOW_END_OF_ARCHIVE;
}

static void window_take_survey(struct window *window, const struct wal_survey *survey)
{
	window->reached = survey->reached;
	window->magic = survey->magic;
	if (survey->end != 0)
		window->latest_lsn = survey->end;
	window->end = survey_end(survey, window->end == WINDOW_GAP);
	if (survey->is_damaged)
		memcpy(window->damage, survey->damage.text, sizeof(window->damage));
	/* One that was good is no longer. */
	while (window->marks.count > 0 && window->marks.items[window->marks.count - 1].last > survey->reached)
		window->marks.count--;
	if (!survey->is_damaged || window->marks.count == 0 ||
	    window->marks.items[window->marks.count - 1].last < survey->reached)
		return;
	window->marks.count--;
	window->latest_lsn = survey->reached * window->segment_size;
}

/* From one segment to another; *more is whether it came to its end. */
static bool window_survey(struct walk *walk, struct window *window, const struct backup *earliest, uint64_t from,
			  uint64_t last, bool *more, struct error *err)
{
	struct wal_survey survey = {.last = last, .from = earliest->start_lsn, .jobs = walk->all->jobs};

	TRY(survey_run(walk, window, from, &survey, err));
	walk->all->surveyed += survey.reached - survey.first + 1;
	window_take_survey(window, &survey);
	*more = !survey.is_damaged && survey.understood && !survey.ends_early;
	return true;
}

/* Which segments of the window were counted before: those of marks [*first, *last] of what was kept. The first segment
 * of a window is another one's when something crosses into it. */
static bool marks_shared(const struct walk *walk, const struct window *known, uint64_t window_first, uint64_t last,
			 uint64_t *from, uint64_t *to)
{
	bool found = false;

	if (last > walk->shared_last)
		last = walk->shared_last;
	for (int i = 0; known != NULL && i < known->marks.count; i++) {
		const struct wal_mark *mark = &known->marks.items[i];

		if (mark->last > last || mark->first < window_first ||
		    (mark->first == window_first && known->first != window_first))
			continue;
		*from = found ? *from : mark->first;
		*to = mark->last;
		found = true;
	}
	return found;
}

/* The marks of the window up to segment `last`, made or kept. False with ERROR_NONE: it is more than may be read. */
static bool window_measure(struct walk *walk, const struct window *known, const struct backup *earliest, uint64_t last,
			   struct window *window, struct error *err)
{
	struct windows *all = walk->all;
	uint64_t from = window->first, to = 0;
	bool is_shared = marks_shared(walk, known, window->first, last, &from, &to), more = true;
	uint64_t unknown = is_shared ? (from - window->first) + (last - to) : last - window->first + 1;

	err->kind = ERROR_NONE;
	if (all->survey_max != 0 && all->surveyed + unknown > all->survey_max)
		return false;
	if (is_shared && from > window->first)
		TRY(window_survey(walk, window, earliest, window->first, from - 1, &more, err));
	if (!more)
		return true;
	if (is_shared) {
		TRY(wal_marks_add_within(&window->marks, &known->marks, from, to, err));
		window->reached = to;
		window->latest_lsn = to < known->reached ? (to + 1) * window->segment_size : known->latest_lsn;
		from = to + 1;
	}
	return from > last || window_survey(walk, window, earliest, from, last, &more, err);
}

/* ---------------------------------------------------------------------------------------------- all of a path */

static bool is_of(const struct window *window, const struct wal_path *path)
{
	return path != NULL && window->timeline == wal_path_timeline(path) && lineage_is_of(path, window->branch);
}

/* The window that was kept in which the segment lies. */
static const struct window *known_find(const struct walk *walk, uint64_t number)
{
	const struct windows *known = walk->all->known;

	for (int i = 0; known != NULL && number <= walk->shared_last && i < known->count; i++)
		if (is_of(&known->items[i], walk->source) && known->items[i].first <= number &&
		    known->items[i].reached >= number)
			return &known->items[i];
	return NULL;
}

/* As it was, since to look again is too much. */
static bool window_keep(struct walk *walk, const struct window *known, const struct backup *earliest, struct error *err)
{
	struct window *window = windows_extend(walk->all, err);

	if (window == NULL)
		return false;
	*window = *known;
	window->marks = (struct wal_marks){0};
	window->backups = NULL;
	window_place(walk, window);
	TRY(wal_marks_add_within(&window->marks, &known->marks, 0, UINT64_MAX, err));
	return window_take_backups(walk->all, earliest, window, err);
}

static void window_begin(const struct walk *walk, const struct backup *earliest, struct window *window)
{
	window_place(walk, window);
	window->segment_size = walk->segment_size;
	(void) snprintf(window->label, sizeof(window->label), "%s", earliest->label);
	window->earliest_us = earliest->finished_us;
	window->earliest_lsn = earliest->stop_lsn;
	window->first = wal_segment_of(earliest->start_lsn, walk->segment_size);
	window->as_of_us = walk->all->now_us;
}

/* Of a backup whose own WAL is damaged nothing can be restored. */
static bool window_is_usable(const struct window *window, const struct backup *earliest)
{
	return window->reached > wal_segment_of(earliest->stop_lsn - 1, window->segment_size) ||
	       window->end != WINDOW_DAMAGED;
}

/* Makes the window that was added last, or takes it away again. */
static bool window_make(struct walk *walk, const struct window *known, const struct backup *earliest, uint64_t last,
			struct error *err)
{
	struct windows *all = walk->all;
	struct window *window = &all->items[all->count - 1];
	uint64_t missing, missing_last;

	window_begin(walk, earliest, window);
	window->end = wal_range_gap(&walk->range, window->first, &missing, &missing_last) ? WINDOW_GAP
											  : WINDOW_END_OF_ARCHIVE;
	if (window_measure(walk, known, earliest, last, window, err)) {
		window_conclude(earliest, window);
		walk->reached = window->reached;
		if (window_is_usable(window, earliest))
			return window_take_backups(all, earliest, window, err);
	} else if (err->kind != ERROR_NONE || all->survey_max == 0) {
		return false;
	} else {
		all->is_partial = true;
		walk->reached = last;
		if (known != NULL && is_of(known, walk->path) && strcmp(known->label, earliest->label) == 0) {
			window_release(window);
			all->count--;
			return window_keep(walk, known, earliest, err);
		}
	}
	window_release(window);
	all->count--;
	return true;
}

/* The window that begins with a backup, when that has all its WAL. *is_over: the path has to be listed from its
 * beginning, for which nothing that was kept can stand. */
static bool window_of_backup(struct walk *walk, const struct backup *backup, bool *is_over, struct error *err)
{
	uint64_t first = wal_segment_of(backup->start_lsn, walk->segment_size), last;
	const struct window *known = known_find(walk, first);

	*is_over = first < walk->listed_from && (known == NULL || known->first != first);
	if (*is_over || !wal_range_reach(&walk->range, first, &last) ||
	    last < wal_segment_of(backup->stop_lsn - 1, walk->segment_size))
		return true;
	TRY(windows_extend(walk->all, err) != NULL && window_make(walk, known, backup, last, err));
	*is_over = walk->has_unlisted;
	return true;
}

/* ------------------------------------------------------------------------------------------ what is on a path */

static bool segment_is_same(const struct walk *walk, const struct wal_path *other, uint64_t number)
{
	struct wal_name ours, theirs;

	wal_path_name(walk->path, number, walk->segment_size, &ours);
	wal_path_name(other, number, walk->segment_size, &theirs);
	return strcmp(ours.text, theirs.text) == 0 &&
	       strcmp(layout_owner(&walk->path->layout, &ours)->name, layout_owner(&other->layout, &theirs)->name) == 0;
}

/* The last of the segments [first, last] that is the same on the other path, of which the first one is: once paths
 * part, they do not meet again. */
static uint64_t segment_last_same(const struct walk *walk, const struct wal_path *other, uint64_t first, uint64_t last)
{
	while (first < last) {
		uint64_t middle = first + (last - first + 1) / 2;

		if (segment_is_same(walk, other, middle))
			first = middle;
		else
			last = middle - 1;
	}
	return first;
}

/* The segments that the windows of a path cover that were kept. */
static bool known_extent(const struct windows *known, const struct wal_path *path, uint64_t *first, uint64_t *last)
{
	bool found = false;

	for (int i = 0; i < known->count; i++) {
		const struct window *window = &known->items[i];

		if (!is_of(window, path))
			continue;
		*first = !found || window->first < *first ? window->first : *first;
		*last = !found || window->reached > *last ? window->reached : *last;
		found = true;
	}
	return found;
}

/* From where on the path has to be listed: what was kept of itself, or of the path that it has most in common with,
 * says what is there before. */
static void source_find(struct walk *walk)
{
	const struct windows *known = walk->all->known;
	const struct lineage *lineage = &walk->all->lineage;
	uint64_t first = 0, last = 0;

	walk->listed_from = walk->first;
	for (int i = 0; known != NULL && i < lineage->count; i++) {
		const struct wal_path *path = lineage->paths[i];
		bool is_own = path == walk->path;

		if (!known_extent(known, path, &first, &last) || first > walk->first || last < walk->first ||
		    (!is_own && !segment_is_same(walk, path, walk->first)))
			continue;
		last = is_own ? last : segment_last_same(walk, path, walk->first, last);
		if (!is_own && walk->source != NULL && last <= walk->listed_from)
			continue;
		walk->source = path;
		walk->listed_from = last;
		walk->shared_last = is_own ? UINT64_MAX : last;
		if (is_own)
			break;
	}
	/* Not from within a hole. */
	for (int i = 0; walk->source != NULL && i < known->gaps.count; i++) {
		const struct gap *gap = &known->gaps.items[i];

		if (gap->missing < walk->listed_from && gap->missing_last >= walk->listed_from &&
		    gap_is_on(gap, walk->source, walk->segment_size))
			walk->listed_from = gap->missing;
	}
}

/* Is the hole as it was? Somebody may have found the segments. */
static bool gap_is_unchanged(const struct walk *walk, const struct gap *gap, bool *is_unchanged, struct error *err)
{
	struct wal_name before, later;
	bool found = false;

	*is_unchanged = true;
	if (gap->missing == 0)
		return true;
	wal_name_of_segment(gap->first.timeline, gap->missing - 1, walk->segment_size, &before);
	TRY(wal_store_later(walk->all->repo, &walk->path->layout, &before, &found, &later, err));
	if (found) {
		uint64_t number = wal_segment_number(&later, walk->segment_size);

		*is_unchanged = number < gap->missing || number > gap->missing_last;
	}
	return true;
}

/* The first hole that was known at or behind the segment; NULL: there is none. */
static const struct gap *gap_next(const struct walk *walk, uint64_t number)
{
	const struct gaps *gaps = &walk->all->known->gaps;
	const struct gap *next = NULL;

	for (int i = 0; i < gaps->count; i++) {
		const struct gap *gap = &gaps->items[i];

		if (gap->missing_last >= number && (next == NULL || gap->missing < next->missing) &&
		    gap_is_on(gap, walk->source, walk->segment_size))
			next = gap;
	}
	return next;
}

/* Adds what was known to be there before what was listed. *is_over: a hole is no longer what it was. */
static bool range_recall(struct walk *walk, bool *is_over, struct error *err)
{
	bool is_unchanged = true;

	for (uint64_t number = walk->first; number < walk->listed_from;) {
		const struct gap *gap = gap_next(walk, number);
		uint64_t end = gap != NULL && gap->missing < walk->listed_from ? gap->missing : walk->listed_from;

		for (; number < end; number++)
			TRY(wal_range_add(&walk->range, WAL_FROM_ARCHIVE, number, 0, err));
		if (end == walk->listed_from)
			break;
		TRY(gap_is_unchanged(walk, gap, &is_unchanged, err));
		if (!is_unchanged)
			break;
		number = gap->missing_last + 1;
	}
	*is_over = !is_unchanged;
	return true;
}

static bool range_read(struct walk *walk, bool *is_over, struct error *err)
{
	walk->source = NULL;
	walk->shared_last = 0;
	source_find(walk);
	if (walk->lists_all)
		walk->listed_from = walk->first;
	TRY(wal_range_list(walk->all->repo, walk->path, walk->segment_size, walk->listed_from * walk->segment_size,
			   &walk->range, err));
	walk->range.first = walk->first;
	return range_recall(walk, is_over, err);
}

static void gaps_count(struct walk *walk)
{
	struct windows *all = walk->all;
	int count = 0;

	for (int i = 0; i < all->gaps.count; i++)
		count += all->gaps.items[i].missing >= walk->first &&
			 gap_is_on(&all->gaps.items[i], walk->path, walk->segment_size);
	for (int i = 0; i < all->count; i++)
		if (all->items[i].place == walk->place)
			all->items[i].gap_count = count;
}

static bool windows_walk(struct walk *walk, bool *is_over, struct error *err)
{
	struct windows *all = walk->all;

	TRY(range_read(walk, is_over, err));
	for (int i = 0; i < all->catalog->count && !*is_over; i++) {
		const struct backup *backup = &all->catalog->backups[i];

		if (wal_path_has_backup(walk->path, backup) &&
		    wal_segment_of(backup->start_lsn, backup->segment_size) > walk->reached)
			TRY(window_of_backup(walk, backup, is_over, err));
	}
	if (*is_over)
		return true;
	struct gap_search search = {.repo = all->repo,
				    .range = &walk->range,
				    .place = walk->place,
				    .jobs = all->jobs,
				    .retired = &all->retired,
				    .known = all->known != NULL ? &all->known->gaps : NULL};
	TRY(gaps_find(&search, &all->gaps, err));
	gaps_count(walk);
	return true;
}

/* Every window of one path: each begins with a backup and ends before a hole. */
static bool windows_of_path(struct windows *all, int place, struct error *err)
{
	const struct wal_path *path = all->lineage.paths[place];
	struct walk walk = {.all = all, .place = place, .path = path};
	bool is_over = false;
	int before = all->count, i = 0;

	while (i < all->catalog->count && !wal_path_has_backup(path, &all->catalog->backups[i]))
		i++;
	if (i == all->catalog->count)
		return true;
	walk.segment_size = all->catalog->backups[i].segment_size;
	walk.first = wal_segment_of(all->catalog->backups[i].start_lsn, walk.segment_size);
	bool done = windows_walk(&walk, &is_over, err);
	if (done && is_over) {
		while (all->count > before)
			window_release(&all->items[--all->count]);
		wal_range_release(&walk.range);
		walk.lists_all = true;
		walk.has_unlisted = false;
		walk.reached = 0;
		done = windows_walk(&walk, &is_over, err);
	}
	wal_range_release(&walk.range);
	return done;
}

/* --------------------------------------------------------------------------------------------------------- all */

/* Only those in a window can be restored. */
static void points_keep_restorable(struct windows *all)
{
	struct restore_points *points = &all->points;
	int kept = 0;

	for (int i = 0; i < points->count; i++) {
		const struct restore_point *point = &points->items[i];
		bool is_in = false;

		for (int k = 0; k < all->count && !is_in; k++) {
			const struct window *window = &all->items[k];

			is_in = point->lsn >= window->earliest_lsn && point->lsn < window->latest_lsn &&
				restore_point_is_on(point, window->path, window->segment_size);
		}
		if (is_in)
			points->items[kept++] = *point;
	}
	points->count = kept;
}

/* Nothing is looked at: it would be too much, as it was the last time. */
static bool windows_keep_all(struct windows *all, struct error *err)
{
	const struct windows *known = all->known;

	all->is_partial = true;
	for (int place = 0; place < all->lineage.count; place++) {
		struct walk walk = {.all = all, .place = place, .path = all->lineage.paths[place]};

		for (int i = 0; i < known->count; i++)
			for (int k = 0; k < all->catalog->count; k++)
				if (is_of(&known->items[i], walk.path) &&
				    strcmp(known->items[i].label, all->catalog->backups[k].label) == 0)
					TRY(window_keep(&walk, &known->items[i], &all->catalog->backups[k], err));
	}
	for (int i = 0; i < known->gaps.count; i++)
		TRY(gaps_add(&all->gaps, &known->gaps.items[i], err));
	return true;
}

static bool windows_find_all(struct windows *windows, struct error *err)
{
	char text[WAL_PATH_TEXT_SIZE];

	if (windows->known != NULL && windows->known->is_partial)
		return windows_keep_all(windows, err);
	for (int i = 0; i < windows->lineage.count; i++) {
		if (windows_of_path(windows, i, err))
			continue;
		wal_path_format(windows->lineage.paths[i], text);
		return fail_in(err, "%s", text);
	}
	return true;
}

bool windows_find(struct windows *windows, struct error *err)
{
	struct branch_list list;

	if (windows->catalog->count == 0) {
		TRY(branch_list_read(windows->repo, &list, err));
		return branch_production(windows->repo, &list, windows->lineage.production, err);
	}
	TRY(lineage_read(windows->repo, windows->catalog->backups[0].segment_size, &windows->lineage, err));
	TRY(retired_wal_read(windows->repo, windows->catalog->backups[0].segment_size, &windows->retired, err));
	if (windows->known != NULL)
		TRY(restore_points_add_all(&windows->points, &windows->known->points, err));
	TRY(windows_find_all(windows, err));
	points_keep_restorable(windows);
	restore_points_order(&windows->points);
	return true;
}
