#include "end_of_wal.h"

#include <string.h>

/* A timeline has no segments before the one in which it branched off its parent; a server does not ask for them,
 * other tools may. `later` is a segment of the timeline, and knows the segment size. */
static bool before_timeline_begins(struct repo *repo, const struct wal_name *name, const struct wal_name *later,
				   bool *before, struct error *err)
{
	struct timeline_history history;
	struct wal_entry entry;

	*before = false;
	if (name->timeline == 1)
		return true;
	if (!wal_store_history(repo, &repo->layout, name->timeline, &history, err))
		return err->kind == ERROR_NOT_FOUND; /* nothing to judge by: the gap stands */
	if (history.count < 2)
		return true;
	TRY(wal_store_entry(repo, &repo->layout, later, &entry, err));
	if (!wal_segment_size_valid(entry.summary.segment_size))
		return true;
	uint64_t begin = history.path[history.count - 2].end;
	*before = wal_segment_number(name, entry.summary.segment_size) <
		  wal_segment_of(begin, entry.summary.segment_size);
	return true;
}

/* The segment size, as a stored segment of the timeline says it; 0: there is none. */
static bool segment_size_read(struct repo *repo, uint32_t timeline, uint32_t *segment_size, struct error *err)
{
	struct wal_name before_all = {.kind = WAL_SEGMENT, .timeline = timeline}, first;
	struct wal_entry entry;
	bool found;

	*segment_size = 0;
	TRY(wal_store_later(repo, &repo->layout, &before_all, &found, &first, err));
	if (!found)
		return true;
	TRY(wal_store_entry(repo, &repo->layout, &first, &entry, err));
	if (wal_segment_size_valid(entry.summary.segment_size))
		*segment_size = entry.summary.segment_size;
	return true;
}

/* Does the way to a younger timeline lead through the whole segment? Then it was written, whoever asks for it. */
static bool history_has_segment(const struct timeline_history *history, const struct wal_name *name,
				uint32_t segment_size)
{
	uint64_t number = wal_segment_number(name, segment_size), begin = 0;

	for (int i = 0; i + 1 < history->count; i++) {
		uint64_t end = history->path[i].end;

		if (history->path[i].timeline == name->timeline)
			return number >= wal_segment_of(begin, segment_size) &&
			       number < wal_segment_of(end, segment_size);
		begin = end;
	}
	return false;
}

/* Looks for such a timeline among those of branch number `index` of the chain. */
static bool younger_find(struct repo *repo, int index, const struct wal_name *name, uint32_t segment_size,
			 struct wal_name *younger, struct error *err)
{
	const struct layout *layout = &repo->layout;
	uint32_t timelines[TIMELINES_MAX];
	struct timeline_history history;
	int count;

	TRY(wal_store_histories(repo, layout->branches[index].name, timelines, TIMELINES_MAX, &count, err));
	for (int i = 0; i < count; i++) {
		if (timelines[i] <= name->timeline || !layout_owns_timeline(layout, index, timelines[i]))
			continue;
		TRY(wal_store_history(repo, layout, timelines[i], &history, err));
		if (history_has_segment(&history, name, segment_size)) {
			wal_name_of_history(timelines[i], younger);
			return true;
		}
	}
	return true;
}

/* The last segments of a timeline that was left for another one have none behind them. */
static bool end_was_left(struct repo *repo, const struct wal_name *name, bool *was_left, struct wal_name *younger,
			 struct error *err)
{
	uint32_t segment_size;

	*younger = (struct wal_name){.kind = WAL_SEGMENT};
	TRY(segment_size_read(repo, name->timeline, &segment_size, err));
	for (int i = 0; i < repo->layout.branch_count && segment_size != 0 && younger->kind != WAL_HISTORY; i++)
		TRY(younger_find(repo, i, name, segment_size, younger, err));
	*was_left = younger->kind == WAL_HISTORY;
	return true;
}

bool end_of_wal_judge(struct repo *repo, const struct wal_name *name, enum end_of_wal *verdict, struct wal_name *later,
		      struct error *err)
{
	bool found;
	bool before = false;

	*verdict = END_PROVEN;
	if (name->kind != WAL_SEGMENT)
		return true;
	TRY(wal_store_later(repo, &repo->layout, name, &found, later, err));
	if (found)
		TRY(before_timeline_begins(repo, name, later, &before, err));
	else
		TRY(end_was_left(repo, name, &found, later, err));
	if (found && !before)
		*verdict = END_IS_GAP;
	return true;
}
