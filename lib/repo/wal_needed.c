#include "repo/wal_needed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void wal_needed_release(struct wal_needed *needed)
{
	free(needed->ranges);
	*needed = (struct wal_needed){.segment_size = needed->segment_size};
}

static bool range_is_of(const struct wal_needed_range *range, const char *branch, uint32_t timeline)
{
	return range->timeline == timeline && strcmp(range->branch, branch) == 0;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Takes every range out that overlaps or adjoins the new one, which grows by it. */
static void ranges_merge(struct wal_needed *needed, struct wal_needed_range *range)
{
	int kept = 0;

	for (int i = 0; i < needed->count; i++) {
		const struct wal_needed_range *other = &needed->ranges[i];
		bool is_apart = other->last < range->first
					? range->first - other->last > 1
					: other->first > range->last && other->first - range->last > 1;

		if (is_apart || !range_is_of(other, range->branch, range->timeline)) {
			needed->ranges[kept++] = *other;
			continue;
		}
		range->first = lesser(range->first, other->first);
		range->last = greater(range->last, other->last);
	}
	needed->count = kept;
}

bool wal_needed_add(struct wal_needed *needed, const char *branch, uint32_t timeline, uint64_t first, uint64_t last,
		    struct error *err)
{
	struct wal_needed_range range = {.timeline = timeline, .first = first, .last = last};

	(void) snprintf(range.branch, sizeof(range.branch), "%s", branch);
	ranges_merge(needed, &range);
	TRY(ARRAY_RESERVE(&needed->ranges, needed->count, &needed->capacity, err));
	needed->ranges[needed->count++] = range;
	return true;
}

/* From which segment on the timeline is branch number `index`'s own; false: it never is. */
static bool branch_first(const struct layout *layout, int index, uint32_t timeline, uint32_t segment_size,
			 uint64_t *first)
{
	const struct branch *branch = &layout->branches[index];
	struct wal_name name = {
		.timeline = branch->timeline, .log = branch->first_log, .segment = branch->first_segment};

	*first = 0;
	if (index == layout->branch_count - 1 || timeline > branch->timeline)
		return true;
	if (timeline < branch->timeline || !branch->has_first)
		return false;
	*first = wal_segment_number(&name, segment_size);
	return true;
}

/* Segments of one timeline, each from the first branch of the chain whose own it is. */
static bool add_timeline(struct wal_needed *needed, const struct layout *layout, uint32_t timeline, uint64_t first,
			 uint64_t last, struct error *err)
{
	for (int index = 0; index < layout->branch_count; index++) {
		uint64_t own;

		if (!branch_first(layout, index, timeline, needed->segment_size, &own))
			continue;
		if (own <= last)
			TRY(wal_needed_add(needed, layout->branches[index].name, timeline, greater(first, own), last,
					   err));
		if (own <= first)
			return true;
		last = lesser(last, own - 1);
	}
	return true;
}

bool wal_needed_add_path(struct wal_needed *needed, const struct wal_path *path, uint64_t first, uint64_t last,
			 struct error *err)
{
	const struct timeline_history *history = &path->history;
	uint64_t begin = 0;

	for (int i = 0; i < history->count; i++) {
		uint64_t end = history->path[i].end;

		if (end <= begin)
			continue;
		uint64_t from = greater(first, begin / needed->segment_size);
		uint64_t to = end == UINT64_MAX ? last : lesser(last, (end - 1) / needed->segment_size);

		if (from <= to)
			TRY(add_timeline(needed, &path->layout, history->path[i].timeline, from, to, err));
		begin = end;
	}
	return true;
}

/* What lies behind the end of a range that is cut in two. */
static bool range_split(struct wal_needed *needed, int place, uint64_t last, struct error *err)
{
	struct wal_needed_range rest = needed->ranges[place];

	rest.first = last + 1;
	TRY(ARRAY_RESERVE(&needed->ranges, needed->count, &needed->capacity, err));
	needed->ranges[needed->count++] = rest;
	return true;
}

bool wal_needed_remove(struct wal_needed *needed, const char *branch, uint32_t timeline, uint64_t first, uint64_t last,
		       struct error *err)
{
	for (int i = needed->count - 1; i >= 0; i--) {
		struct wal_needed_range *range = &needed->ranges[i];

		if (range->last < first || last < range->first || !range_is_of(range, branch, timeline))
			continue;
		if (range->first < first) {
			if (range->last > last)
				TRY(range_split(needed, i, last, err));
			needed->ranges[i].last = first - 1;
		} else if (range->last > last) {
			range->first = last + 1;
		} else {
			*range = needed->ranges[--needed->count];
		}
	}
	return true;
}

bool wal_needed_has(const struct wal_needed *needed, const char *branch, uint32_t timeline, uint64_t first,
		    uint64_t last)
{
	for (int i = 0; i < needed->count; i++) {
		const struct wal_needed_range *range = &needed->ranges[i];

		if (range->first <= last && first <= range->last && range_is_of(range, branch, timeline))
			return true;
	}
	return needed->is_all;
}
