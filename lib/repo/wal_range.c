#include "repo/wal_range.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/workers.h"
#include "repo/wal_store.h"

/* Segments [*first, *last] for which the path reads files of its timeline number `index`; false: none at all. */
static bool path_part(const struct wal_range *range, int index, uint64_t *first, uint64_t *last)
{
	const struct timeline_switch *path = range->path->history.path;

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
	if (range->run_count == WAL_RUNS_MAX) {
		(void) fail(err, ERROR_CORRUPT, "the archive has more than %d holes", WAL_RUNS_MAX);
		return NULL;
	}
	if (!ARRAY_RESERVE(&range->runs, range->run_count, &range->run_capacity, err))
		return NULL;
	return &range->runs[range->run_count++];
}

/* One more segment at the end of a run. */
static bool run_extend(struct wal_run *run, uint64_t number, uint64_t size, struct error *err)
{
	size_t count = (size_t) (number - run->first);

	if (count == WAL_RUN_MAX || !ARRAY_RESERVE(&run->sizes, count, &run->size_capacity, err))
		return fail(err, ERROR_SYSTEM, "out of memory for more than %zu WAL segments", count);
	run->sizes[count] = size < UINT32_MAX ? (uint32_t) size : UINT32_MAX;
	run->last = number;
	return true;
}

struct listing {
	struct repo *repo;
	struct wal_range *range;
	uint64_t first, last;
};

/* Of several .partial of one segment the one that holds most; that of PostgreSQL does not say how much that is. */
static void partial_note(struct wal_range *range, const struct wal_name *name, uint64_t size)
{
	uint64_t number = wal_segment_number(name, range->segment_size);
	uint64_t known = wal_segment_number(&range->partial, range->segment_size);

	if (name->timeline != wal_path_timeline(range->path))
		return;
	if (range->partial.text[0] != '\0' &&
	    (number < known || (number == known && name->offset < range->partial.offset)))
		return;
	range->partial = *name;
	range->partial_size = size < UINT32_MAX ? (uint32_t) size : UINT32_MAX;
}

static bool listing_add(void *context, const char *key, uint64_t size, struct error *err)
{
	struct listing *listing = context;
	struct wal_range *range = listing->range;
	struct wal_run *run = range->run_count > 0 ? &range->runs[range->run_count - 1] : NULL;
	struct wal_name name;

	if (!layout_parse_wal(&range->path->layout, key, &name) ||
	    (name.kind != WAL_SEGMENT && name.kind != WAL_PARTIAL))
		return true;
	uint64_t number = wal_segment_number(&name, range->segment_size);
	if (number < listing->first)
		return true;
	if (number > listing->last) {
		err->kind = ERROR_NONE;
		return false;
	}
	if (name.kind == WAL_PARTIAL) {
		partial_note(range, &name, size);
		return true;
	}
	if (run == NULL || run->timeline != name.timeline || number != run->last + 1) {
		run = runs_extend(range, err);
		if (run == NULL)
			return false;
		*run = (struct wal_run){.timeline = name.timeline, .first = number};
	}
	return run_extend(run, number, size, err);
}

/* Adds what is there of the segments [first, last] of one timeline, in the branches of the chain one after the other,
 * oldest first. A listing begins behind a key: the one of the segment before. */
static bool listing_run(struct listing *listing, uint32_t timeline, struct error *err)
{
	const struct layout *layout = &listing->range->path->layout;
	char prefix[LAYOUT_KEY_SIZE];
	struct wal_name before;

	for (int i = layout->branch_count - 1; i >= 0; i--) {
		char after[LAYOUT_KEY_SIZE] = "";

		if (!layout_owns_timeline(layout, i, timeline))
			continue;
		layout_wal_prefix(layout, layout->branches[i].name, timeline, prefix);
		if (listing->first > 0) {
			wal_name_of_segment(timeline, listing->first - 1, listing->range->segment_size, &before);
			if (layout_owner(layout, &before) == &layout->branches[i])
				layout_wal(layout, &before, after);
		}
		TRY(storage_list(listing->repo->storage, prefix, after, listing_add, listing, err));
	}
	return true;
}

bool wal_range_list(struct repo *repo, const struct wal_path *path, uint32_t segment_size, uint64_t from,
		    struct wal_range *range, struct error *err)
{
	struct listing listing = {.repo = repo, .range = range};

	*range = (struct wal_range){
		.path = path, .segment_size = segment_size, .first = wal_segment_of(from, segment_size)};
	TRY(wal_index_open(repo, path, segment_size, range->first, &range->index, err));
	for (int i = 0; i < path->history.count; i++)
		if (path_part(range, i, &listing.first, &listing.last))
			TRY(listing_run(&listing, path->history.path[i].timeline, err));
	return true;
}

bool wal_range_add(struct wal_range *range, enum wal_source source, uint64_t number, uint32_t size, struct error *err)
{
	struct wal_name name;
	int place = range->run_count;

	while (place > 0 && range->runs[place - 1].first > number)
		place--;
	wal_range_name(range, number, &name);
	struct wal_run *before = place > 0 ? &range->runs[place - 1] : NULL;
	if (before != NULL && before->source == source && before->timeline == name.timeline &&
	    before->last + 1 == number)
		return run_extend(before, number, size, err);
	if (runs_extend(range, err) == NULL)
		return false;
	memmove(&range->runs[place + 1], &range->runs[place],
		(size_t) (range->run_count - 1 - place) * sizeof(range->runs[0]));
	range->runs[place] = (struct wal_run){.timeline = name.timeline, .source = source, .first = number};
	return run_extend(&range->runs[place], number, size, err);
}

bool wal_range_add_directory(struct wal_range *range, const struct wal_directory *directory,
			     const struct layout *origin, struct error *err)
{
	range->directory = directory;
	if (directory->segment_size != range->segment_size)
		return true;
	for (int i = 0; i < directory->count; i++) {
		const struct wal_file *file = &directory->files[i];
		struct wal_name name;
		enum wal_source source;
		uint32_t size;

		wal_range_name(range, file->number, &name);
		if (file->number < range->first || file->timeline != name.timeline ||
		    strcmp(layout_owner(&range->path->layout, &name)->name, layout_owner(origin, &name)->name) != 0)
			continue;
		if (!wal_range_find(range, file->number, &source, &size))
			TRY(wal_range_add(range, WAL_FROM_DIRECTORY, file->number, 0, err));
	}
	return true;
}

bool wal_range_add_partial(struct wal_range *range, struct error *err)
{
	uint64_t number = wal_segment_number(&range->partial, range->segment_size);

	if (range->partial.text[0] == '\0' || number < range->first)
		return true;
	if (range->run_count > 0 && range->runs[range->run_count - 1].last >= number)
		return true;
	return wal_range_add(range, WAL_FROM_PARTIAL, number, range->partial_size, err);
}

void wal_range_release(struct wal_range *range)
{
	for (int i = 0; i < range->run_count; i++)
		free(range->runs[i].sizes);
	free(range->runs);
	wal_index_close(range->index);
	range->runs = NULL;
	range->index = NULL;
	range->run_count = 0;
	range->run_capacity = 0;
}

void wal_range_name(const struct wal_range *range, uint64_t number, struct wal_name *name)
{
	wal_path_name(range->path, number, range->segment_size, name);
}

bool wal_range_find(const struct wal_range *range, uint64_t number, enum wal_source *source, uint32_t *size)
{
	for (int i = 0; i < range->run_count; i++) {
		const struct wal_run *run = &range->runs[i];

		if (number < run->first || number > run->last)
			continue;
		*source = run->source;
		*size = run->sizes[number - run->first];
		return true;
	}
	return false;
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

uint64_t wal_range_count(const struct wal_range *range, enum wal_source source, uint64_t first, uint64_t last)
{
	uint64_t count = 0;

	for (int i = 0; i < range->run_count; i++) {
		const struct wal_run *run = &range->runs[i];
		uint64_t from = run->first > first ? run->first : first, to = run->last < last ? run->last : last;

		if (run->source == source && from <= to)
			count += to - from + 1;
	}
	return count;
}

uint64_t wal_range_stored_size(const struct wal_range *range, uint64_t first, uint64_t last)
{
	uint64_t stored_size = 0;

	for (int i = 0; i < range->run_count; i++) {
		const struct wal_run *run = &range->runs[i];
		uint64_t from = run->first > first ? run->first : first, to = run->last < last ? run->last : last;

		for (uint64_t number = from; number <= to; number++)
			stored_size += run->sizes[number - run->first];
	}
	return stored_size;
}

/* A name that the repository has no object of is for whoever asks there to be told. */
static enum wal_source source_of(const struct wal_range *range, uint64_t number)
{
	enum wal_source source = WAL_FROM_ARCHIVE;
	uint32_t size;

	(void) !wal_range_find(range, number, &source, &size);
	return source;
}

static bool range_read_partial(struct repo *repo, const struct wal_range *range, struct buf *content, struct error *err)
{
	struct wal_segment segment;

	TRY(wal_store_get(repo, &range->path->layout, &range->partial, content, err));
	return wal_segment_check(buf_bytes(content), &range->partial, &segment, err);
}

bool wal_range_read(struct repo *repo, const struct wal_range *range, uint64_t number, struct buf *content,
		    struct error *err)
{
	struct wal_name name;
	struct wal_segment segment;

	wal_range_name(range, number, &name);
	switch (source_of(range, number)) {
	case WAL_FROM_ARCHIVE:
		return wal_store_get(repo, &range->path->layout, &name, content, err);
	case WAL_FROM_PARTIAL:
		return range_read_partial(repo, range, content, err);
	case WAL_FROM_DIRECTORY:
		return wal_directory_load(range->directory, &name, content, &segment, err);
	}
	return false;
}

bool wal_range_entry(struct repo *repo, const struct wal_range *range, uint64_t number, struct wal_entry *entry,
		     struct error *err)
{
	struct wal_name name;
	struct wal_segment segment;
	BUF(content, range->segment_size);

	wal_range_name(range, number, &name);
	switch (source_of(range, number)) {
	case WAL_FROM_ARCHIVE:
		return wal_store_entry(repo, &range->path->layout, &name, entry, err);
	case WAL_FROM_PARTIAL:
		return wal_store_entry(repo, &range->path->layout, &range->partial, entry, err);
	case WAL_FROM_DIRECTORY:
		entry->host[0] = entry->stored[0] = '\0';
		return wal_directory_load(range->directory, &name, &content, &segment, err) &&
		       wal_summary_make(buf_bytes(&content), &segment, &entry->summary, err);
	}
	return false;
}

void wal_range_ignore_index(struct wal_range *range)
{
	wal_index_close(range->index);
	range->index = NULL;
}

bool wal_range_indexed(const struct wal_range *range, uint64_t number, struct wal_entry *entry, bool *found,
		       struct error *err)
{
	enum wal_source source;
	uint32_t size;

	*found = false;
	if (range->index == NULL || !wal_range_find(range, number, &source, &size) || source != WAL_FROM_ARCHIVE)
		return true;
	return wal_index_find(range->index, number, size, entry, found, err);
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
		TRY(wal_range_read(repo, range, number, &content, err));
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
