#include "repo/wal_index_update.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/workers.h"
#include "repo/wal_index.h"
#include "repo/wal_range.h"

/* A backup is complete by then; what is not done in this time the next one does, or "pitr-catalog rebuild". */
#define RECENT_TIME_MS INT64_C(120000)

/* What is stored beside one segment. */
struct reading {
	struct repo *repo;
	const struct layout *layout;
	uint64_t number;
	uint32_t stored_size;
	struct wal_name name;
	json_t *meta; /* owned; NULL: it could not be read */
	struct error why;
};

struct making {
	struct repo *repo;
	struct wal_index_update *update;
	struct wal_path *path;
	struct wal_range range;
	struct wal_index *index;
	int count; /* segments of the block at work */
	struct reading readings[WAL_INDEX_BLOCK];
};

static bool meta_read(struct reading *reading, struct error *err)
{
	struct wal_entry entry;

	TRY(wal_store_meta(reading->repo, reading->layout, &reading->name, &reading->meta, err));
	if (wal_entry_decode(reading->meta, &reading->name, &entry, err))
		return true;
	json_cleanup(&reading->meta);
	return false;
}

static bool reading_run(void *job, bool cancelled, struct error *err)
{
	struct reading *reading = job;

	if (cancelled || meta_read(reading, err))
		return true;
	if (err->kind != ERROR_CORRUPT && err->kind != ERROR_NOT_FOUND && err->kind != ERROR_USAGE)
		return false;
	reading->why = *err;
	return true;
}

static void readings_release(struct making *making)
{
	for (int i = 0; i < making->count; i++)
		json_cleanup(&making->readings[i].meta);
	making->count = 0;
}

/* The segments of the block that are there, and belong to the branch. */
static void block_list(struct making *making, uint64_t block)
{
	const struct layout *layout = making->update->layout;

	making->count = 0;
	for (uint64_t number = block * WAL_INDEX_BLOCK; number < (block + 1) * WAL_INDEX_BLOCK; number++) {
		struct reading *reading = &making->readings[making->count];
		enum wal_source source;
		uint32_t stored_size;

		if (!wal_range_find(&making->range, number, &source, &stored_size) || source != WAL_FROM_ARCHIVE)
			continue;
		*reading = (struct reading){
			.repo = making->repo, .layout = layout, .number = number, .stored_size = stored_size};
		wal_range_name(&making->range, number, &reading->name);
		if (layout_owner(layout, &reading->name) == &layout->branches[0])
			making->count++;
	}
}

static bool block_read(struct making *making, struct error *err)
{
	int jobs = making->update->jobs < making->count ? making->update->jobs : making->count;
	struct workers *workers = NULL;
	struct error ignored;
	bool done = true;

	TRY(workers_open(jobs < 1 ? 1 : jobs, making->count, &workers, err));
	for (int i = 0; i < making->count && done; i++)
		done = workers_submit(workers, reading_run, &making->readings[i], err);
	return workers_finish(workers, done ? err : &ignored) && done;
}

/* How what the index says compares with what was read. */
struct comparison {
	int missing, different;
};

static bool block_compare(struct making *making, struct comparison *comparison, struct error *err)
{
	*comparison = (struct comparison){0};
	for (int i = 0; i < making->count; i++) {
		const struct reading *reading = &making->readings[i];
		json_t *meta JSON_CLEANUP = NULL;

		if (reading->meta == NULL)
			continue;
		TRY(wal_index_meta(making->index, reading->number, reading->stored_size, &meta, err));
		comparison->missing += meta == NULL ? 1 : 0;
		comparison->different += meta != NULL && json_equal(meta, reading->meta) == 0 ? 1 : 0;
	}
	return true;
}

static bool block_write(struct making *making, uint64_t block, int64_t made_us, struct error *err)
{
	const struct layout *layout = making->update->layout;
	struct wal_name first;
	uint8_t random[4];
	char key[LAYOUT_KEY_SIZE];
	BUF(text, WAL_INDEX_TEXT_MAX);

	TRY(wal_index_text_begin(&text, making->repo->host, made_us, err));
	for (int i = 0; i < making->count; i++) {
		const struct reading *reading = &making->readings[i];
		bool is_added = true;

		if (reading->meta == NULL)
			continue;
		TRY(wal_index_text_add(&text, &reading->name, reading->stored_size, reading->meta, &is_added, err));
		making->update->segments += is_added ? 1 : 0;
	}
	wal_name_of_segment(making->update->timeline, block * WAL_INDEX_BLOCK, making->update->segment_size, &first);
	TRY(random_bytes(random, sizeof(random), err));
	layout_wal_index(layout, layout_branch(layout), &first, random, key);
	TRY(repo_put(making->repo, key, OBJECT_WAL_INDEX, CLASS_HOST, bytes_of("", 0), buf_bytes(&text), NULL, err));
	making->update->written++;
	return true;
}

static int readable_count(struct making *making)
{
	struct wal_index_update *update = making->update;
	int count = 0;

	for (int i = 0; i < making->count; i++) {
		if (making->readings[i].meta != NULL) {
			count++;
			continue;
		}
		update->unreadable++;
		update->why = making->readings[i].why;
	}
	return count;
}

/* What was made before is found first only when it is younger. */
static int64_t made_after(int64_t before_us)
{
	int64_t now_us = clock_now_us();

	return now_us > before_us ? now_us : before_us + 1;
}

static bool block_update(struct making *making, uint64_t block, struct error *err)
{
	struct wal_index_update *update = making->update;
	struct wal_index_objects objects;
	struct comparison comparison;

	update->blocks++;
	TRY(wal_index_read_block(making->index, update->timeline, block, &objects, err));
	update->objects_damaged += objects.damaged;
	TRY(block_read(making, err));
	int readable = readable_count(making);
	if (readable == 0)
		return true;
	TRY(block_compare(making, &comparison, err));
	if (comparison.missing + comparison.different == 0) {
		update->good++;
		update->segments += (uint64_t) readable;
		return true;
	}
	if (comparison.different > 0)
		update->different++;
	else if (objects.count > objects.damaged)
		update->incomplete++;
	else if (objects.damaged > 0)
		update->damaged++;
	return block_write(making, block, made_after(objects.made_us), err);
}

/* The first block from this one on that has segments; false: there is none. */
static bool block_next(const struct wal_range *range, uint64_t *block)
{
	for (int i = 0; i < range->run_count; i++) {
		const struct wal_run *run = &range->runs[i];

		if (run->last / WAL_INDEX_BLOCK < *block)
			continue;
		if (run->first / WAL_INDEX_BLOCK > *block)
			*block = run->first / WAL_INDEX_BLOCK;
		return true;
	}
	return false;
}

static bool blocks_update(struct making *making, uint64_t block, struct error *err)
{
	struct wal_index_update *update = making->update;
	const struct wal_range *range = &making->range;
	uint64_t last = range->run_count == 0 ? 0 : range->runs[range->run_count - 1].last / WAL_INDEX_BLOCK;

	for (; block_next(range, &block) && (block < last || update->is_over); block++) {
		if (update->deadline_ms != 0 && deadline_left_ms(update->deadline_ms) <= 0) {
			update->is_late = true;
			return true;
		}
		block_list(making, block);
		bool done = making->count == 0 || block_update(making, block, err);
		readings_release(making);
		TRY(done);
	}
	return true;
}

static bool making_run(struct making *making, struct error *err)
{
	struct wal_index_update *update = making->update;
	uint64_t first = 0, block;
	bool has_block;

	TRY(wal_index_open(making->repo, making->path, update->segment_size, 0, &making->index, err));
	if (!update->checks) {
		TRY(wal_index_last_block(making->index, update->timeline, &has_block, &block, err));
		first = has_block ? block + 1 : 0;
	}
	TRY(wal_range_list(making->repo, making->path, update->segment_size,
			   first * WAL_INDEX_BLOCK * update->segment_size, &making->range, err));
	return blocks_update(making, first, err);
}

bool wal_index_update_run(struct repo *repo, struct wal_index_update *update, struct error *err)
{
	struct making *making = calloc(1, sizeof(*making));
	struct wal_path *path = calloc(1, sizeof(*path));
	bool done = false;

	if (making == NULL || path == NULL) {
		(void) fail(err, ERROR_SYSTEM, "out of memory");
	} else {
		path->layout = *update->layout;
		path->history.count = 1;
		path->history.path[0] = (struct timeline_switch){.timeline = update->timeline, .end = UINT64_MAX};
		making->repo = repo;
		making->update = update;
		making->path = path;
		done = making_run(making, err);
		wal_index_close(making->index);
		wal_range_release(&making->range);
	}
	free(making);
	free(path);
	return done;
}

bool wal_index_update_recent(struct repo *repo, uint32_t segment_size, int jobs, struct error *err)
{
	uint32_t timelines[TIMELINES_MAX];
	int64_t deadline_ms = deadline_in(RECENT_TIME_MS);
	int count;

	TRY(wal_store_timelines(repo, layout_branch(&repo->layout), timelines, TIMELINES_MAX, &count, err));
	for (int i = 0; i < count; i++) {
		struct wal_index_update update = {.layout = &repo->layout,
						  .timeline = timelines[i],
						  .segment_size = segment_size,
						  .is_over = i < count - 1,
						  .deadline_ms = deadline_ms,
						  .jobs = jobs};

		TRY(wal_index_update_run(repo, &update, err));
		if (update.written > 0)
			log_info("timeline %" PRIu32 ": indexed %" PRIu64 " WAL segments in %d object%s", timelines[i],
				 update.segments, update.written, update.written == 1 ? "" : "s");
		if (update.is_late)
			return true;
	}
	return true;
}
