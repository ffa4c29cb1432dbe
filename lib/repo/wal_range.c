#include "repo/wal_range.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/workers.h"
#include "repo/wal_store.h"

/* Segments [*first, *last] for which the path reads files of its timeline number `index`; false: none at all. */
static bool path_part(const struct wal_range *range, int index, uint64_t *first, uint64_t *last)
{
	const struct timeline_switch *path = range->history->path;

	*first = index == 0 ? 0 : wal_segment_of(path[index - 1].end, range->segment_size);
	if (*first < range->first)
		*first = range->first;
	if (path[index].end == UINT64_MAX) {
		*last = UINT64_MAX / range->segment_size;
		return true;
	}
	uint64_t next = wal_segment_of(path[index].end, range->segment_size);
	if (next <= *first)
		return false;
	*last = next - 1;
	return true;
}

static struct wal_run *runs_extend(struct wal_range *range, struct error *err)
{
	if (range->run_count == range->run_capacity) {
		int capacity = range->run_capacity == 0 ? 16 : range->run_capacity * 2;
		struct wal_run *runs;

		if (range->run_count >= WAL_RUNS_MAX) {
			(void) fail(err, ERROR_CORRUPT, "the archive has more than %d holes", WAL_RUNS_MAX);
			return NULL;
		}
		runs = realloc(range->runs, (size_t) capacity * sizeof(*runs));
		if (runs == NULL) {
			(void) fail(err, ERROR_SYSTEM, "out of memory");
			return NULL;
		}
		range->runs = runs;
		range->run_capacity = capacity;
	}
	return &range->runs[range->run_count++];
}

struct listing {
	struct repo *repo;
	struct wal_range *range;
	uint64_t first, last;
};

static bool listing_add(void *context, const char *key, uint64_t size, struct error *err)
{
	struct listing *listing = context;
	struct wal_range *range = listing->range;
	struct wal_run *run = range->run_count > 0 ? &range->runs[range->run_count - 1] : NULL;
	struct wal_name name;

	if (!layout_parse_wal(&listing->repo->layout, key, &name) || name.kind != WAL_SEGMENT)
		return true;
	uint64_t number = wal_segment_number(&name, range->segment_size);
	if (number < listing->first)
		return true;
	if (number > listing->last) {
		err->kind = ERROR_NONE;
		return false;
	}
	if (run == NULL || run->timeline != name.timeline || number != run->last + 1) {
		run = runs_extend(range, err);
		if (run == NULL)
			return false;
		*run = (struct wal_run){.timeline = name.timeline, .first = number};
	}
	run->last = number;
	run->stored_size += size;
	return true;
}

/* Adds what is there of the segments [first, last] of one timeline. A listing begins behind a key: the one of the
 * segment before. */
static bool listing_run(struct listing *listing, uint32_t timeline, struct error *err)
{
	char prefix[LAYOUT_KEY_SIZE], after[LAYOUT_KEY_SIZE] = "";
	struct wal_name before;

	layout_wal_prefix(&listing->repo->layout, timeline, prefix);
	if (listing->first > 0) {
		wal_name_of_segment(timeline, listing->first - 1, listing->range->segment_size, &before);
		layout_wal(&listing->repo->layout, &before, after);
	}
	return storage_list(listing->repo->storage, prefix, after, listing_add, listing, err);
}

bool wal_range_list(struct repo *repo, const struct timeline_history *history, uint32_t segment_size, uint64_t from,
		    struct wal_range *range, struct error *err)
{
	struct listing listing = {.repo = repo, .range = range};

	*range = (struct wal_range){
		.history = history, .segment_size = segment_size, .first = wal_segment_of(from, segment_size)};
	for (int i = 0; i < history->count; i++)
		if (path_part(range, i, &listing.first, &listing.last))
			TRY(listing_run(&listing, history->path[i].timeline, err));
	return true;
}

void wal_range_release(struct wal_range *range)
{
	free(range->runs);
	range->runs = NULL;
	range->run_count = range->run_capacity = 0;
}

void wal_range_name(const struct wal_range *range, uint64_t number, struct wal_name *name)
{
	/* The timeline at the last byte: the youngest whose first segment is not behind this one. */
	uint64_t last_byte = number * range->segment_size + (range->segment_size - 1);

	wal_name_of_segment(timeline_history_at(range->history, last_byte), number, range->segment_size, name);
}

bool wal_range_reach(const struct wal_range *range, uint64_t first, uint64_t *last)
{
	bool found = false;

	for (int i = 0; i < range->run_count; i++) {
		const struct wal_run *run = &range->runs[i];

		if (!found && first >= run->first && first <= run->last)
			found = true;
		else if (found && run->first != *last + 1)
			break;
		if (found)
			*last = run->last;
	}
	return found;
}

bool wal_range_gap(const struct wal_range *range, uint64_t first, uint64_t *missing, uint64_t *missing_last)
{
	uint64_t next = first;

	for (int i = 0; i < range->run_count; i++) {
		const struct wal_run *run = &range->runs[i];

		if (run->last < next)
			continue;
		if (run->first > next) {
			*missing = next;
			*missing_last = run->first - 1;
			return true;
		}
		next = run->last + 1;
	}
	return false;
}

int wal_range_gap_count(const struct wal_range *range)
{
	int count = range->run_count > 0 && range->runs[0].first > range->first ? 1 : 0;

	for (int i = 1; i < range->run_count; i++)
		if (range->runs[i].first != range->runs[i - 1].last + 1)
			count++;
	return count;
}

bool wal_range_stored_size(struct repo *repo, const struct wal_range *range, uint64_t first, uint64_t last,
			   uint64_t *stored_size, struct error *err)
{
	struct wal_range part WAL_RANGE_CLEANUP = {
		.history = range->history, .segment_size = range->segment_size, .first = first};
	struct listing listing = {.repo = repo, .range = &part};

	*stored_size = 0;
	for (int i = 0; i < part.history->count; i++) {
		if (!path_part(&part, i, &listing.first, &listing.last) || listing.first > last)
			continue;
		if (listing.last > last)
			listing.last = last;
		TRY(listing_run(&listing, part.history->path[i].timeline, err));
	}
	for (int i = 0; i < part.run_count; i++)
		*stored_size += part.runs[i].stored_size;
	return true;
}

static void walk_cleanup(struct wal_walk **walk)
{
	wal_walk_close(*walk);
}

bool wal_range_walk(struct repo *repo, const struct wal_range *range, uint64_t first, uint64_t last, wal_visit visit,
		    void *context, uint64_t *end_lsn, struct error *err)
{
	struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;
	BUF(content, range->segment_size);
	uint64_t end;

	TRY(wal_walk_open(visit, context, &walk, err));
	for (uint64_t number = first; number <= last; number++) {
		struct wal_name name;
		struct wal_segment segment;

		wal_range_name(range, number, &name);
		buf_clear(&content);
		TRY(wal_store_get(repo, &name, &content, err));
		TRY(wal_segment_check(buf_bytes(&content), &name, &segment, err));
		TRY(wal_walk_segment(walk, buf_bytes(&content), &segment, err));
		if (wal_walk_ended(walk, &end))
			break;
	}
	if (end_lsn != NULL) {
		(void) wal_walk_ended(walk, &end);
		*end_lsn = end;
	}
	return true;
}
