#include "repo/pack_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/workers.h"

/* Packs that wait for a thread which stores them. */
#define QUEUE_MAX 1
/* What everything else of a program needs: the manifest part being collected, libpq, the program itself. */
#define MEMORY_RESERVED	 (40 * (int64_t) MiB)
#define STORED_STEP	 MiB
#define FRAME_STORED_MAX (PACK_FRAME_SIZE + OBJECT_TAG_SIZE)
#define JOBS_MAX	 64
/* How much of what was compressed last says how the next frames will do: about half of it to all of it. */
#define RECENT_SIZE (16 * MiB)

/* A frame on its way. They form a ring, in the order of their content. */
struct slot {
	struct pack_writer *writer;
	uint32_t pack; /* number of the pack it belongs to */
	bool ends_pack;
	bool is_compressed; /* what is in `content` then is as `entry` says */
	uint32_t entry;
	size_t plain_size;
	uint8_t *content; /* PACK_FRAME_SIZE */
};

/* What a thread needs to compress with, whichever has it. */
struct tool {
	struct encoder encoder;
	uint8_t *target; /* PACK_FRAME_SIZE; changes places with the content of the slot */
};

/* A pack that is put together or stored. */
struct pack {
	struct pack_writer *writer;
	struct object_builder builder;
	struct buf object;
};

/* What was compressed, and what became of it. */
struct measure {
	uint64_t plain, stored;
};

struct pack_writer {
	struct repo *repo;
	char label[BACKUP_LABEL_SIZE];
	struct pack_sizing sizing;
	struct workers *compressing, *storing;

	/* Of the thread that appends. */
	uint32_t number;    /* of the pack that its bytes go to */
	uint64_t pack_size; /* plaintext of it in the slots that were handed over */
	struct slot *filling;
	char reference[LAYOUT_KEY_SIZE];

	pthread_mutex_t lock; /* guards what follows, and is_compressed of the slots */
	pthread_cond_t changed;
	bool closing; /* nothing need be done any more */
	bool failed;
	struct error failure;	 /* the first one */
	uint64_t filled, placed; /* slots that were handed over so far, and that are free again */
	bool is_placing;	 /* somebody puts frames into packs */
	struct measure current;	 /* of pack `number` */
	struct measure recent;	 /* of the last frames, whatever pack they are in */
	uint64_t stored_size;
	int tool_count, spare_count;
	struct tool *tools; /* sizing.jobs when nobody has one */
	struct buf *spares; /* emptied buffers of packs: as many as there can be packs */

	/* Of who is placing. */
	struct pack *open;
	int slot_count;
	struct slot *slots;
};

/* -------------------------------------------------------------------------------------------------- sizing */

/* One that is being filled, and for each thread one it compresses and one that waits. */
static int slots_for(int jobs)
{
	return 2 * jobs + 1;
}

/* One that is put together, QUEUE_MAX waiting, and one for each thread. */
static int packs_for(struct pack_sizing sizing)
{
	return 1 + QUEUE_MAX + sizing.uploads;
}

/* When a pack is ended, frames of it that may be in the slots do not compress in the worst case. */
static size_t pack_stored_max(struct pack_sizing sizing)
{
	return sizing.stored_size + (size_t) slots_for(sizing.jobs) * FRAME_STORED_MAX;
}

int64_t pack_sizing_memory(struct pack_sizing sizing)
{
	return (int64_t) ((size_t) (slots_for(sizing.jobs) + sizing.jobs) * PACK_FRAME_SIZE +
			  (size_t) packs_for(sizing) * (pack_stored_max(sizing) + OBJECT_PEEK_SIZE));
}

struct pack_sizing pack_sizing_plan(int64_t memory, int64_t jobs)
{
	int64_t available = memory > 2 * MEMORY_RESERVED ? memory - MEMORY_RESERVED : memory / 2;
	struct pack_sizing sizing = {.stored_size = PACK_STORED_DEFAULT};

	sizing.jobs = jobs > JOBS_MAX ? JOBS_MAX : jobs < 1 ? 1 : (int) jobs;
	while (sizing.jobs > 1 && (slots_for(sizing.jobs) + sizing.jobs) * (int64_t) PACK_FRAME_SIZE > available / 4)
		sizing.jobs--;
	sizing.uploads = sizing.jobs;
	while (sizing.uploads > 1 && pack_sizing_memory(sizing) > available)
		sizing.uploads--;
	while (sizing.stored_size > STORED_STEP && pack_sizing_memory(sizing) > available)
		sizing.stored_size -= STORED_STEP;
	return sizing;
}

/* ------------------------------------------------------------------------------------------------- extents */

void extents_release(struct extents *extents)
{
	free(extents->items);
	*extents = (struct extents){0};
}

void extents_clear(struct extents *extents)
{
	extents->count = 0;
}

static bool extents_add(struct extents *extents, const char *reference, uint64_t offset, uint64_t size,
			struct error *err)
{
	struct extent *last = extents->count > 0 ? &extents->items[extents->count - 1] : NULL;

	if (last != NULL && last->offset + last->size == offset && strcmp(last->pack, reference) == 0) {
		last->size += size;
		return true;
	}
	if (extents->count == PACK_EXTENTS_MAX)
		return fail(err, ERROR_USAGE, "a file is larger than %d packs", PACK_EXTENTS_MAX);
	TRY(ARRAY_RESERVE(&extents->items, extents->count, &extents->capacity, err));
	last = &extents->items[extents->count++];
	*last = (struct extent){.offset = offset, .size = size};
	if (snprintf(last->pack, sizeof(last->pack), "%s", reference) >= (int) sizeof(last->pack))
		return fail(err, ERROR_USAGE, "the name of the pack \"%s\" is too long for a manifest", reference);
	return true;
}

/* ------------------------------------------------------------------------------------------------- failures */

static void writer_lock(struct pack_writer *writer)
{
	(void) pthread_mutex_lock(&writer->lock);
}

static void writer_unlock(struct pack_writer *writer)
{
	(void) pthread_mutex_unlock(&writer->lock);
}

/* Tells everybody, who may wait for what will not come. Called with the lock held. */
static void writer_fail(struct pack_writer *writer, const struct error *err)
{
	if (!writer->failed)
		writer->failure = *err;
	writer->failed = true;
	(void) pthread_cond_broadcast(&writer->changed);
}

static void writer_record_failure(struct pack_writer *writer, const struct error *err)
{
	writer_lock(writer);
	writer_fail(writer, err);
	writer_unlock(writer);
}

static bool writer_is_over(struct pack_writer *writer)
{
	writer_lock(writer);
	bool is_over = writer->closing || writer->failed;
	writer_unlock(writer);
	return is_over;
}

/* -------------------------------------------------------------------------------------------------- storing */

/* Keeps the emptied buffer for another pack: memory that has been touched need not be asked for again. */
static void pack_release(struct pack *pack)
{
	struct pack_writer *writer = pack->writer;

	object_builder_release(&pack->builder);
	buf_clear(&pack->object);
	writer_lock(writer);
	if (writer->spare_count < packs_for(writer->sizing))
		buf_move(&writer->spares[writer->spare_count++], &pack->object);
	writer_unlock(writer);
	buf_release(&pack->object);
	free(pack);
}

static bool pack_store(void *context, bool cancelled, struct error *err)
{
	struct pack *pack = context;
	struct pack_writer *writer = pack->writer;
	uint64_t stored_size = 0;
	bool done = !cancelled && !writer_is_over(writer);

	if (done) {
		done = repo_put_built(writer->repo, &pack->builder, &stored_size, err);
		if (!done)
			writer_record_failure(writer, err);
		writer_lock(writer);
		writer->stored_size += stored_size;
		writer_unlock(writer);
	}
	pack_release(pack);
	return done || err->kind == ERROR_NONE;
}

/* ---------------------------------------------------------------------------------------------- placing */

static bool pack_begin(struct pack_writer *writer, uint32_t number, struct error *err)
{
	struct object_form form = {
		.class = CLASS_SECRET,
		.codec = writer->repo->compression.codec,
		.frame_log2 = OBJECT_FRAME_LOG2_DEFAULT,
		.frames_max = (uint32_t) PACK_FRAMES_MAX,
	};
	struct pack *pack = calloc(1, sizeof(*pack));
	char key[LAYOUT_KEY_SIZE];

	if (pack == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	pack->writer = writer;
	writer->open = pack;
	writer_lock(writer);
	if (writer->spare_count > 0)
		buf_move(&pack->object, &writer->spares[--writer->spare_count]);
	writer_unlock(writer);
	pack->object.size_max = pack_stored_max(writer->sizing) + OBJECT_PEEK_SIZE;
	layout_pack(&writer->repo->layout, writer->label, number, key);
	return buf_allocate(&pack->object, pack->object.size_max, err) &&
	       repo_build(writer->repo, key, OBJECT_PACK, &form, &pack->builder, &pack->object, err);
}

/* Puts a compressed frame behind those before it; hands the pack on when it was the last. */
static bool slot_place(struct pack_writer *writer, const struct slot *slot, struct error *err)
{
	size_t stored_size = slot->entry & FRAME_SIZE_MASK;
	struct pack *pack;
	uint8_t *room;

	if (writer->open == NULL)
		TRY(pack_begin(writer, slot->pack, err));
	pack = writer->open;
	TRY(object_builder_room(&pack->builder, stored_size, &room, err));
	memcpy(room, slot->content, stored_size);
	TRY(object_builder_add(&pack->builder, slot->entry, slot->plain_size, err));
	if (!slot->ends_pack)
		return true;
	writer->open = NULL;
	return workers_submit(writer->storing, pack_store, pack, err);
}

/* Places what is compressed as far as there is no gap. One thread at a time does it, also for what others finish
 * meanwhile. */
static bool slots_place(struct pack_writer *writer, struct error *err)
{
	bool done = true;

	writer_lock(writer);
	while (done && !writer->failed && !writer->is_placing && writer->placed < writer->filled) {
		struct slot *slot = &writer->slots[writer->placed % (uint64_t) writer->slot_count];

		if (!slot->is_compressed)
			break;
		writer->is_placing = true;
		writer_unlock(writer);
		done = slot_place(writer, slot, err);
		writer_lock(writer);
		if (!done) /* before anybody else may place: the pack lacks a frame */
			writer_fail(writer, err);
		writer->is_placing = false;
		slot->is_compressed = false;
		writer->placed++;
		(void) pthread_cond_broadcast(&writer->changed);
	}
	writer_unlock(writer);
	return done;
}

/* ------------------------------------------------------------------------------------------ compressing */

static void measure_add(struct measure *measure, const struct slot *slot)
{
	measure->plain += slot->plain_size;
	measure->stored += (slot->entry & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
}

static bool slot_compress(struct pack_writer *writer, struct slot *slot, struct error *err)
{
	struct tool tool;

	writer_lock(writer);
	tool = writer->tools[--writer->tool_count];
	writer_unlock(writer);
	bool done = frame_compress(&tool.encoder, bytes_of(slot->content, slot->plain_size), tool.target, &slot->entry,
				   err);
	uint8_t *emptied = slot->content;
	slot->content = tool.target;
	tool.target = emptied;
	writer_lock(writer);
	writer->tools[writer->tool_count++] = tool;
	if (slot->pack == writer->number)
		measure_add(&writer->current, slot);
	measure_add(&writer->recent, slot);
	if (writer->recent.plain > RECENT_SIZE)
		writer->recent = (struct measure){writer->recent.plain / 2, writer->recent.stored / 2};
	slot->is_compressed = done;
	writer_unlock(writer);
	return done;
}

static bool slot_run(void *context, bool cancelled, struct error *err)
{
	struct slot *slot = context;
	struct pack_writer *writer = slot->writer;

	if (cancelled || writer_is_over(writer))
		return true;
	if (slot_compress(writer, slot, err) && slots_place(writer, err))
		return true;
	writer_record_failure(writer, err);
	return false;
}

/* --------------------------------------------------------------------------------------------- appending */

/* What `plain` bytes of the pack will measure: its frames that are still on their way are expected to do as well as the
 * last ones, the very first ones not at all. */
static uint64_t stored_expected(const struct pack_writer *writer, uint64_t plain)
{
	const struct measure *recent = &writer->recent;
	double ratio = recent->plain > 0 ? (double) recent->stored / (double) recent->plain : 1;

	return writer->current.stored + (uint64_t) ((double) (plain - writer->current.plain) * ratio);
}

/* Is the pack full with the frame that is being filled? Called with the lock held. */
static bool pack_is_full(const struct pack_writer *writer)
{
	uint64_t plain = writer->pack_size + writer->filling->plain_size;
	uint64_t stored_max =
		writer->current.stored + (plain - writer->current.plain) / PACK_FRAME_SIZE * FRAME_STORED_MAX;

	return plain == OBJECT_PLAIN_MAX || stored_expected(writer, plain) >= writer->sizing.stored_size ||
	       stored_max + FRAME_STORED_MAX > pack_stored_max(writer->sizing);
}

static void pack_writer_name(struct pack_writer *writer)
{
	layout_pack_reference(&writer->repo->layout, writer->label, writer->number, writer->reference);
}

/* The next bytes go to another pack. Called with the lock held. */
static bool pack_writer_turn(struct pack_writer *writer, struct error *err)
{
	if (writer->number == UINT32_MAX)
		return fail(err, ERROR_USAGE, "the backup has too many packs");
	writer->number++;
	writer->pack_size = 0;
	writer->current = (struct measure){0};
	pack_writer_name(writer);
	return true;
}

/* Hands the frame that was filled to a thread, and its pack when that is full or `ends_pack`. */
static bool pack_writer_submit(struct pack_writer *writer, bool ends_pack, struct error *err)
{
	struct slot *slot = writer->filling;
	bool done = true;

	writer_lock(writer);
	slot->pack = writer->number;
	slot->ends_pack = ends_pack || pack_is_full(writer);
	writer->pack_size += slot->plain_size;
	writer->filling = NULL;
	writer->filled++;
	if (slot->ends_pack)
		done = pack_writer_turn(writer, err);
	writer_unlock(writer);
	return done && workers_submit(writer->compressing, slot_run, slot, err);
}

/* Waits for a slot to fill. */
static bool pack_writer_next_slot(struct pack_writer *writer, struct error *err)
{
	writer_lock(writer);
	while (writer->filled - writer->placed == (uint64_t) writer->slot_count && !writer->failed)
		(void) pthread_cond_wait(&writer->changed, &writer->lock);
	bool failed = writer->failed;
	if (failed)
		*err = writer->failure;
	writer_unlock(writer);
	if (failed)
		return false;
	writer->filling = &writer->slots[writer->filled % (uint64_t) writer->slot_count];
	writer->filling->plain_size = 0;
	return true;
}

bool pack_writer_append(struct pack_writer *writer, struct bytes content, struct extents *extents, struct error *err)
{
	while (content.size > 0) {
		/* A full frame is handed over only when more comes: the last one of all ends its pack. */
		if (writer->filling != NULL && writer->filling->plain_size == PACK_FRAME_SIZE)
			TRY(pack_writer_submit(writer, false, err));
		if (writer->filling == NULL)
			TRY(pack_writer_next_slot(writer, err));
		struct slot *slot = writer->filling;
		size_t room = PACK_FRAME_SIZE - slot->plain_size;
		size_t size = content.size < room ? content.size : room;

		TRY(extents_add(extents, writer->reference, writer->pack_size + slot->plain_size, size, err));
		memcpy(slot->content + slot->plain_size, content.data, size);
		slot->plain_size += size;
		content = bytes_slice(content, size, content.size - size);
	}
	return true;
}

void pack_writer_align(struct pack_writer *writer)
{
	struct slot *slot = writer->filling;

	if (slot == NULL) /* a frame begins */
		return;
	size_t missing = (PACK_ALIGNMENT - slot->plain_size % PACK_ALIGNMENT) % PACK_ALIGNMENT;

	memset(slot->content + slot->plain_size, 0, missing);
	slot->plain_size += missing;
}

/* ------------------------------------------------------------------------------------------ beginning and end */

static bool pack_writer_allocate(struct pack_writer *writer, struct error *err)
{
	writer->slot_count = slots_for(writer->sizing.jobs);
	writer->slots = calloc((size_t) writer->slot_count, sizeof(*writer->slots));
	writer->tools = calloc((size_t) writer->sizing.jobs, sizeof(*writer->tools));
	writer->spares = calloc((size_t) packs_for(writer->sizing), sizeof(*writer->spares));
	if (writer->slots == NULL || writer->tools == NULL || writer->spares == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < writer->slot_count; i++) {
		writer->slots[i].writer = writer;
		writer->slots[i].content = malloc(PACK_FRAME_SIZE);
		if (writer->slots[i].content == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
	}
	for (; writer->tool_count < writer->sizing.jobs; writer->tool_count++) {
		struct tool *tool = &writer->tools[writer->tool_count];

		tool->target = malloc(PACK_FRAME_SIZE);
		if (tool->target == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
		if (!encoder_init(&tool->encoder, writer->repo->compression, err)) {
			free(tool->target);
			return false;
		}
	}
	return true;
}

bool pack_writer_open(struct repo *repo, const char *label, struct pack_sizing sizing, struct pack_writer **writer,
		      struct error *err)
{
	struct pack_writer *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	(void) pthread_mutex_init(&made->lock, NULL);
	(void) pthread_cond_init(&made->changed, NULL);
	made->repo = repo;
	made->sizing = sizing;
	(void) snprintf(made->label, sizeof(made->label), "%s", label);
	pack_writer_name(made);
	if (!pack_writer_allocate(made, err) || !workers_open(sizing.uploads, QUEUE_MAX, &made->storing, err) ||
	    !workers_open(sizing.jobs, made->slot_count, &made->compressing, err)) {
		pack_writer_close(made);
		return false;
	}
	*writer = made;
	return true;
}

/* Ends the threads: those that compress first, because they hand packs to the others. */
static bool pack_writer_join(struct pack_writer *writer, struct error *err)
{
	struct error other = {0};
	bool compressed = writer->compressing == NULL || workers_finish(writer->compressing, err);

	writer->compressing = NULL;
	bool stored = writer->storing == NULL || workers_finish(writer->storing, compressed ? err : &other);
	writer->storing = NULL;
	return compressed && stored;
}

bool pack_writer_finish(struct pack_writer *writer, uint32_t *packs, uint64_t *stored_size, struct error *err)
{
	bool submitted = writer->filling == NULL || pack_writer_submit(writer, true, err);
	struct error failure = {0};

	if (!pack_writer_join(writer, &failure) || !submitted) {
		if (writer->failed)
			*err = writer->failure;
		else if (failure.kind != ERROR_NONE)
			*err = failure;
		return false;
	}
	*packs = writer->number;
	*stored_size = writer->stored_size;
	return true;
}

void pack_writer_close(struct pack_writer *writer)
{
	struct error ignored = {0};

	if (writer == NULL)
		return;
	writer_lock(writer);
	writer->closing = true;
	writer_unlock(writer);
	(void) !pack_writer_join(writer, &ignored);
	if (writer->open != NULL)
		pack_release(writer->open);
	for (int i = 0; i < writer->slot_count; i++)
		free(writer->slots[i].content);
	for (int i = 0; i < writer->tool_count; i++) {
		encoder_release(&writer->tools[i].encoder);
		free(writer->tools[i].target);
	}
	for (int i = 0; i < writer->spare_count; i++)
		buf_release(&writer->spares[i]);
	free(writer->slots);
	free(writer->tools);
	free(writer->spares);
	(void) pthread_cond_destroy(&writer->changed);
	(void) pthread_mutex_destroy(&writer->lock);
	free(writer);
}

void pack_writer_cleanup(struct pack_writer **writer)
{
	pack_writer_close(*writer);
	*writer = NULL;
}
