#include "files/fill.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/workers.h"
#include "files/frames.h"

/* Requests of this size take longer to come than to be answered, also from far away. */
#define RANGE_SIZE_DEFAULT (4 * MiB)
#define RANGE_SIZE_MIN	   (512 * KiB)
#define CHUNK_SIZE_DEFAULT (4 * MiB)
/* The path of a thread through a range holds the request, one compressed frame and a chunk. */
#define FRAME_SIZE ((size_t) 1 << OBJECT_FRAME_LOG2_DEFAULT)
/* What everything else of a program needs: a batch of files, a part of the manifest, the program itself. */
#define MEMORY_RESERVED (64 * (int64_t) MiB)
#define JOBS_MAX	64
/* Beyond those that open frames, for each of them: one waits for the repository, one for the disk. */
#define THREADS_PER_JOB 2
#define THREADS_MORE	2
/* Frames that are fetched without need rather than making another request. */
#define FRAME_GAP_MAX 2

int64_t fill_sizing_memory(struct fill_sizing sizing)
{
	return sizing.threads *
	       (int64_t) (sizing.range_size + 2 * FRAME_SIZE + sizing.chunk_size + FS_DIRECT_ALIGNMENT);
}

struct fill_sizing fill_sizing_plan(int64_t memory, int64_t jobs)
{
	int64_t available = memory > 2 * MEMORY_RESERVED ? memory - MEMORY_RESERVED : memory / 2;
	int count = jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : (int) jobs;
	struct fill_sizing sizing = {.jobs = count,
				     .threads = THREADS_PER_JOB * count + THREADS_MORE,
				     .range_size = RANGE_SIZE_DEFAULT,
				     .chunk_size = CHUNK_SIZE_DEFAULT};

	while (fill_sizing_memory(sizing) > available && sizing.range_size > RANGE_SIZE_MIN) {
		sizing.range_size /= 2;
		sizing.chunk_size = sizing.chunk_size > FRAME_SIZE ? sizing.chunk_size / 2 : FRAME_SIZE;
	}
	while (fill_sizing_memory(sizing) > available && sizing.threads > 1)
		sizing.threads--;
	if (sizing.jobs > sizing.threads)
		sizing.jobs = sizing.threads;
	return sizing;
}

enum pack_state { PACK_WAITING, PACK_OPENING, PACK_OPEN, PACK_TAKEN, PACK_CLOSED };

/* A pack and the slices of it. */
struct pack {
	enum pack_state state;
	int readers; /* threads that have a range of it in hand */
	struct pack_reader reader;
	struct frames frames; /* those no thread has taken yet */
};

struct filling {
	const struct fill_order *order;
	struct pack *packs; /* owned */
	size_t pack_count;

	pthread_mutex_t lock;	 /* guards what follows */
	pthread_cond_t changed;	 /* a pack is open, a thread may open frames, or all is over */
	size_t first_open, next; /* packs: those before are closed; those from there on are waiting */
	int openers;		 /* threads that open frames */
	bool is_over;		 /* a thread has failed */
	uint64_t fetched;
};

/* What a thread has of its own. */
struct hand {
	struct filling *filling;
	struct tree_walk walk;
	struct buf stored;
	uint8_t *memory; /* of the chunk; aligned; owned */
	size_t capacity;
	struct bytes chunk; /* in it */
};

/* ---------------------------------------------------------------------------------------------------- taking work */

struct task {
	struct pack *pack;
	bool is_open;	       /* there is a range to be had; else the pack is to be opened */
	struct frames_run run; /* the range */
};

/* With the lock held. A pack of which everything is taken and laid is closed. */
static void pack_settle(struct filling *filling, struct pack *pack)
{
	if (pack->state == PACK_TAKEN && pack->readers == 0) {
		pack_reader_close(&pack->reader);
		pack->state = PACK_CLOSED;
	}
	while (filling->first_open < filling->next && filling->packs[filling->first_open].state == PACK_CLOSED)
		filling->first_open++;
}

/* With the lock held. */
static bool range_take(struct filling *filling, struct task *task)
{
	const struct frames_limit limit = {
		.is_stored = true, .size = filling->order->sizing.range_size, .gap = FRAME_GAP_MAX};

	for (size_t i = filling->first_open; i < filling->next; i++) {
		struct pack *pack = &filling->packs[i];

		if (pack->state != PACK_OPEN)
			continue;
		if (frames_next(&pack->frames, &limit, &task->run)) {
			pack->readers++;
			task->pack = pack;
			task->is_open = true;
			return true;
		}
		pack->state = PACK_TAKEN;
		pack_settle(filling, pack);
	}
	return false;
}

/* With the lock held: a pack that is not open yet. */
static bool pack_take(struct filling *filling, struct task *task)
{
	if (filling->next == filling->pack_count)
		return false;
	task->pack = &filling->packs[filling->next++];
	task->pack->state = PACK_OPENING;
	task->is_open = false;
	return true;
}

static bool is_opening(const struct filling *filling)
{
	for (size_t i = filling->first_open; i < filling->next; i++)
		if (filling->packs[i].state == PACK_OPENING)
			return true;
	return false;
}

/* The oldest pack first. While its last ranges are on their way, the next ones are opened. False: nothing is left. */
static bool task_take(struct filling *filling, struct task *task)
{
	bool found = false;

	(void) pthread_mutex_lock(&filling->lock);
	while (!filling->is_over && !found) {
		found = range_take(filling, task) || pack_take(filling, task);
		if (!found && !is_opening(filling))
			break;
		if (!found)
			(void) pthread_cond_wait(&filling->changed, &filling->lock);
	}
	(void) pthread_mutex_unlock(&filling->lock);
	return found;
}

static bool pack_open(struct filling *filling, struct pack *pack, struct error *err)
{
	const struct slice *slices = pack->frames.slices;
	bool done = pack_reader_open(filling->order->repo, slices[0].extent.pack, &pack->reader, err) &&
		    frames_begin(&pack->frames, &pack->reader, err);

	(void) pthread_mutex_lock(&filling->lock);
	pack->state = done ? PACK_OPEN : PACK_TAKEN;
	filling->fetched += pack->reader.fetched_size;
	(void) pthread_cond_broadcast(&filling->changed);
	(void) pthread_mutex_unlock(&filling->lock);
	return done;
}

/* As many threads as there are jobs open frames at a time. */
static void openers_enter(struct filling *filling)
{
	(void) pthread_mutex_lock(&filling->lock);
	while (filling->openers == filling->order->sizing.jobs)
		(void) pthread_cond_wait(&filling->changed, &filling->lock);
	filling->openers++;
	(void) pthread_mutex_unlock(&filling->lock);
}

static void openers_leave(struct filling *filling)
{
	(void) pthread_mutex_lock(&filling->lock);
	filling->openers--;
	(void) pthread_cond_broadcast(&filling->changed);
	(void) pthread_mutex_unlock(&filling->lock);
}

/* ---------------------------------------------------------------------------------------------------- laying */

static bool hand_reserve(struct hand *hand, size_t capacity, struct error *err)
{
	if (capacity <= hand->capacity)
		return true;
	free(hand->memory);
	hand->capacity = 0;
	hand->memory = NULL;
	if (posix_memalign((void **) &hand->memory, FS_DIRECT_ALIGNMENT, capacity) != 0)
		return fail(err, ERROR_SYSTEM, "could not allocate %zu bytes", capacity);
	hand->capacity = capacity;
	return true;
}

/* The part of a slice that is in the chunk, which begins at `chunk_offset` of the pack. */
static struct slice slice_within(const struct slice *slice, uint64_t chunk_offset, size_t chunk_size)
{
	uint64_t begin = slice->extent.offset, end = begin + slice->extent.size;
	struct slice part = *slice;

	if (begin < chunk_offset)
		begin = chunk_offset;
	if (end > chunk_offset + chunk_size)
		end = chunk_offset + chunk_size;
	part.extent.size = end > begin ? end - begin : 0;
	part.extent.offset = begin;
	part.offset += begin - slice->extent.offset;
	return part;
}

/* Where in a page the chunk is to begin, so that the largest part of it lies in memory as it does in its file: only
 * then can it be written directly. */
static size_t chunk_shift(const struct frames_run *run, uint64_t chunk_offset, size_t chunk_size)
{
	uint64_t largest = 0, shift = 0;

	for (size_t i = 0; i < run->slice_count; i++) {
		struct slice part = slice_within(&run->slices[i], chunk_offset, chunk_size);

		if (part.extent.size > largest) {
			largest = part.extent.size;
			shift = part.offset - (part.extent.offset - chunk_offset);
		}
	}
	return (size_t) (shift % FS_DIRECT_ALIGNMENT);
}

/* Opens the frames of the run, which lie one behind the other in `stored`. */
static bool chunk_open(struct hand *hand, struct frame_opener *opener, const struct frames_run *run,
		       struct bytes stored, struct error *err)
{
	const struct object_header *header = opener->header;
	uint64_t offset = frame_offset(header, run->first);
	size_t size = 0, at = 0;

	for (uint32_t i = run->first; i <= run->last; i++)
		size += object_frame_plain_size(header, i);
	TRY(hand_reserve(hand, size + FS_DIRECT_ALIGNMENT, err));
	uint8_t *target = hand->memory + chunk_shift(run, offset, size);
	hand->chunk = bytes_of(target, size);
	for (uint32_t i = run->first; i <= run->last; i++) {
		size_t stored_size = (size_t) object_frames_size(header, i, i);

		TRY(frame_opener_run(opener, i, bytes_slice(stored, at, stored_size), target, err));
		at += stored_size;
		target += object_frame_plain_size(header, i);
	}
	return true;
}

static bool chunk_lay(struct hand *hand, const struct frames_run *run, uint64_t chunk_offset, struct error *err)
{
	const struct fill_order *order = hand->filling->order;

	for (size_t i = 0; i < run->slice_count; i++) {
		struct slice part = slice_within(&run->slices[i], chunk_offset, hand->chunk.size);

		if (part.extent.size == 0)
			continue;
		struct bytes content = bytes_slice(hand->chunk, (size_t) (part.extent.offset - chunk_offset),
						   (size_t) part.extent.size);
		TRY(order->lay(order->context, &hand->walk, part.file, part.offset, content, err));
	}
	return true;
}

/* The range is fetched; chunk by chunk it is opened and laid. */
static bool range_lay(struct hand *hand, const struct frames_run *range, struct frame_opener *opener, struct error *err)
{
	struct filling *filling = hand->filling;
	const struct object_header *header = opener->header;
	const struct frames_limit limit = {.size = filling->order->sizing.chunk_size};
	struct frames frames = frames_within(header, range);
	struct frames_run run;

	while (frames_next(&frames, &limit, &run)) {
		uint64_t begin = run.first > range->first ? object_frames_size(header, range->first, run.first - 1) : 0;
		struct bytes stored = bytes_slice(buf_bytes(&hand->stored), (size_t) begin,
						  (size_t) object_frames_size(header, run.first, run.last));

		openers_enter(filling);
		bool done = chunk_open(hand, opener, &run, stored, err);
		openers_leave(filling);
		TRY(done && chunk_lay(hand, &run, frame_offset(header, run.first), err));
	}
	return true;
}

static bool range_fetch(struct hand *hand, const struct task *task, struct error *err)
{
	const struct object_header *header = &task->pack->reader.header;
	struct frame_opener opener FRAME_OPENER_CLEANUP = {.header = NULL};
	const struct frames_run *range = &task->run;

	buf_clear(&hand->stored);
	hand->stored.size_max = (size_t) object_frames_size(header, range->first, range->last);
	if (hand->stored.size_max < hand->stored.capacity)
		hand->stored.size_max = hand->stored.capacity;
	TRY(repo_fetch_frames(hand->filling->order->repo, header, range->first, range->last, &hand->stored, err));
	TRY(repo_open_frames(hand->filling->order->repo, header, &opener, err));
	return range_lay(hand, range, &opener, err);
}

static bool range_run(struct hand *hand, const struct task *task, struct error *err)
{
	struct filling *filling = hand->filling;
	uint64_t size = object_frames_size(&task->pack->reader.header, task->run.first, task->run.last);
	bool done = range_fetch(hand, task, err);

	(void) pthread_mutex_lock(&filling->lock);
	filling->fetched += size;
	task->pack->readers--;
	pack_settle(filling, task->pack);
	(void) pthread_mutex_unlock(&filling->lock);
	return done;
}

static bool hand_work(struct hand *hand, struct error *err)
{
	struct task task;

	while (task_take(hand->filling, &task))
		TRY(task.is_open ? range_run(hand, &task, err) : pack_open(hand->filling, task.pack, err));
	return true;
}

static bool fill_thread(void *context, bool cancelled, struct error *err)
{
	struct filling *filling = context;
	struct hand hand = {.filling = filling};

	tree_walk_init(&hand.walk);
	bool done = cancelled || hand_work(&hand, err);
	tree_walk_release(&hand.walk);
	buf_release(&hand.stored);
	free(hand.memory);
	if (done)
		return true;
	(void) pthread_mutex_lock(&filling->lock);
	filling->is_over = true;
	(void) pthread_cond_broadcast(&filling->changed);
	(void) pthread_mutex_unlock(&filling->lock);
	return false;
}

/* ---------------------------------------------------------------------------------------------------- the whole */

static int slice_order(const void *left, const void *right)
{
	const struct slice *a = left, *b = right;
	int order = strcmp(a->extent.pack, b->extent.pack);

	if (order != 0)
		return order;
	return a->extent.offset < b->extent.offset ? -1 : a->extent.offset > b->extent.offset;
}

/* Each run of slices of the same pack. */
static bool packs_divide(struct filling *filling, struct error *err)
{
	struct slice *slices = filling->order->slices;
	size_t begin = 0;

	filling->packs = calloc(filling->order->count, sizeof(*filling->packs));
	if (filling->packs == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (size_t i = 1; i <= filling->order->count; i++) {
		if (i < filling->order->count && strcmp(slices[i].extent.pack, slices[begin].extent.pack) == 0)
			continue;
		filling->packs[filling->pack_count++].frames =
			(struct frames){.slices = &slices[begin], .count = i - begin};
		begin = i;
	}
	return true;
}

static bool threads_run(struct filling *filling, struct error *err)
{
	int threads = filling->order->sizing.threads;
	struct workers *workers = NULL;
	struct error ignored;
	bool done = true;

	TRY(workers_open(threads, threads, &workers, err));
	for (int i = 0; i < threads && done; i++)
		done = workers_submit(workers, fill_thread, filling, err);
	return workers_finish(workers, done ? err : &ignored) && done;
}

bool fill_run(const struct fill_order *order, uint64_t *fetched, struct error *err)
{
	struct filling filling = {.order = order};

	qsort(order->slices, order->count, sizeof(*order->slices), slice_order);
	(void) pthread_mutex_init(&filling.lock, NULL);
	(void) pthread_cond_init(&filling.changed, NULL);
	bool done = packs_divide(&filling, err) && threads_run(&filling, err);
	for (size_t i = 0; i < filling.pack_count; i++)
		pack_reader_close(&filling.packs[i].reader);
	free(filling.packs);
	(void) pthread_cond_destroy(&filling.changed);
	(void) pthread_mutex_destroy(&filling.lock);
	*fetched = filling.fetched;
	return done;
}
