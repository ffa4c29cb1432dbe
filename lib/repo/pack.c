#include "repo/pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/workers.h"

/* Packs waiting for a thread. One is enough: while it waits the next one fills. */
#define QUEUE_MAX 1
/* What everything else of a program needs: the manifest part being collected, libpq, the program itself. */
#define MEMORY_RESERVED (40 * (int64_t) MiB)
/* Smaller packs make more requests than more threads gain. */
#define PACK_SIZE_PREFERRED_MIN (8 * (int64_t) MiB)
#define JOBS_MAX		64

struct pack_writer {
	struct repo *repo;
	char label[BACKUP_LABEL_SIZE];
	struct pack_sizing sizing;
	struct workers *workers;
	uint32_t number; /* of the pack that is being filled */
	char reference[LAYOUT_KEY_SIZE];
	struct buf filling;

	pthread_mutex_t lock; /* guards what follows; shared with the threads */
	bool closing;	      /* whoever waits for a thread need not be stored any more */
	uint64_t stored_size;
	int spare_count;
	struct buf *spares; /* emptied buffers: sizing.jobs + QUEUE_MAX of them at most */
};

struct pack_job {
	struct pack_writer *writer;
	uint32_t number;
	struct buf content;
};

/* In flight there are: one being filled, QUEUE_MAX waiting, and for each thread one with its sealed object. */
static int64_t buffers_for(int64_t jobs)
{
	return 1 + QUEUE_MAX + 2 * jobs;
}

struct pack_sizing pack_sizing_plan(int64_t memory, int64_t jobs)
{
	int64_t available = memory > 2 * MEMORY_RESERVED ? memory - MEMORY_RESERVED : memory / 2;
	int64_t size;

	if (jobs > JOBS_MAX)
		jobs = JOBS_MAX;
	while (jobs > 1 && available / buffers_for(jobs) < PACK_SIZE_PREFERRED_MIN)
		jobs--;
	if (jobs < 1)
		jobs = 1;
	size = available / buffers_for(jobs);
	if (size > (int64_t) PACK_SIZE_DEFAULT)
		size = (int64_t) PACK_SIZE_DEFAULT;
	if (size < (int64_t) PACK_SIZE_MIN)
		size = (int64_t) PACK_SIZE_MIN;
	return (struct pack_sizing){.pack_size = (size_t) size / MiB * MiB, .jobs = (int) jobs};
}

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
	if (extents->count == extents->capacity) {
		int capacity = extents->capacity == 0 ? 8 : 2 * extents->capacity;
		struct extent *grown;

		if (capacity > PACK_EXTENTS_MAX)
			return fail(err, ERROR_USAGE, "a file is larger than %d packs", PACK_EXTENTS_MAX);
		grown = realloc(extents->items, (size_t) capacity * sizeof(*grown));
		if (grown == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
		extents->items = grown;
		extents->capacity = capacity;
	}
	last = &extents->items[extents->count++];
	*last = (struct extent){.offset = offset, .size = size};
	if (snprintf(last->pack, sizeof(last->pack), "%s", reference) >= (int) sizeof(last->pack))
		return fail(err, ERROR_USAGE, "the name of the pack \"%s\" is too long for a manifest", reference);
	return true;
}

/* Empties the buffer and keeps it for the next pack: memory that has been touched need not be asked for again. */
static void pack_writer_keep_spare(struct pack_writer *writer, struct buf *content, uint64_t stored_size)
{
	(void) pthread_mutex_lock(&writer->lock);
	writer->stored_size += stored_size;
	if (writer->spare_count < writer->sizing.jobs + QUEUE_MAX) {
		buf_clear(content);
		buf_move(&writer->spares[writer->spare_count++], content);
	}
	(void) pthread_mutex_unlock(&writer->lock);
	buf_release(content);
}

static bool pack_job_run(void *context, bool cancelled, struct error *err)
{
	struct pack_job *job = context;
	struct repo *repo = job->writer->repo;
	char key[LAYOUT_KEY_SIZE];
	uint64_t stored_size = 0;
	bool done = false;

	(void) pthread_mutex_lock(&job->writer->lock);
	cancelled |= job->writer->closing;
	(void) pthread_mutex_unlock(&job->writer->lock);
	layout_pack(&repo->layout, job->writer->label, job->number, key);
	if (!cancelled)
		done = repo_put(repo, key, OBJECT_PACK, CLASS_SECRET, bytes_of(NULL, 0), buf_bytes(&job->content),
				&stored_size, err);
	pack_writer_keep_spare(job->writer, &job->content, done ? stored_size : 0);
	free(job);
	return done;
}

/* Makes `filling` ready for pack `number`. */
static bool pack_writer_begin_pack(struct pack_writer *writer, struct error *err)
{
	layout_pack_reference(&writer->repo->layout, writer->label, writer->number, writer->reference);
	(void) pthread_mutex_lock(&writer->lock);
	if (writer->spare_count > 0)
		buf_move(&writer->filling, &writer->spares[--writer->spare_count]);
	(void) pthread_mutex_unlock(&writer->lock);
	writer->filling.size_max = writer->sizing.pack_size;
	return buf_allocate(&writer->filling, writer->sizing.pack_size, err);
}

/* Hands what was collected to a thread. */
static bool pack_writer_submit(struct pack_writer *writer, struct error *err)
{
	struct pack_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (writer->number == UINT32_MAX) {
		free(job);
		return fail(err, ERROR_USAGE, "the backup has too many packs");
	}
	job->writer = writer;
	job->number = writer->number++;
	buf_move(&job->content, &writer->filling);
	return workers_submit(writer->workers, pack_job_run, job, err);
}

bool pack_writer_open(struct repo *repo, const char *label, struct pack_sizing sizing, struct pack_writer **writer,
		      struct error *err)
{
	struct pack_writer *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	(void) pthread_mutex_init(&made->lock, NULL);
	made->repo = repo;
	made->sizing = sizing;
	(void) snprintf(made->label, sizeof(made->label), "%s", label);
	made->spares = calloc((size_t) (sizing.jobs + QUEUE_MAX), sizeof(*made->spares));
	if (made->spares == NULL) {
		pack_writer_close(made);
		return fail(err, ERROR_SYSTEM, "out of memory");
	}
	if (!workers_open(sizing.jobs, QUEUE_MAX, &made->workers, err) || !pack_writer_begin_pack(made, err)) {
		pack_writer_close(made);
		return false;
	}
	*writer = made;
	return true;
}

bool pack_writer_append(struct pack_writer *writer, struct bytes content, struct extents *extents, struct error *err)
{
	while (content.size > 0) {
		size_t offset = writer->filling.size;
		size_t room = writer->sizing.pack_size - offset;
		size_t size = content.size < room ? content.size : room;

		TRY(extents_add(extents, writer->reference, offset, size, err));
		TRY(buf_append(&writer->filling, bytes_slice(content, 0, size), err));
		content = bytes_slice(content, size, content.size - size);
		if (writer->filling.size == writer->sizing.pack_size) {
			TRY(pack_writer_submit(writer, err));
			TRY(pack_writer_begin_pack(writer, err));
		}
	}
	return true;
}

bool pack_writer_finish(struct pack_writer *writer, uint32_t *packs, uint64_t *stored_size, struct error *err)
{
	struct workers *workers = writer->workers;
	bool submitted = writer->filling.size == 0 || pack_writer_submit(writer, err);

	writer->workers = NULL;
	TRY(workers_finish(workers, err) && submitted);
	*packs = writer->number;
	*stored_size = writer->stored_size;
	return true;
}

void pack_writer_close(struct pack_writer *writer)
{
	struct error ignored = {0};

	if (writer == NULL)
		return;
	(void) pthread_mutex_lock(&writer->lock);
	writer->closing = true;
	(void) pthread_mutex_unlock(&writer->lock);
	if (writer->workers != NULL)
		(void) !workers_finish(writer->workers, &ignored);
	for (int i = 0; i < writer->spare_count; i++)
		buf_release(&writer->spares[i]);
	free(writer->spares);
	buf_release(&writer->filling);
	(void) pthread_mutex_destroy(&writer->lock);
	free(writer);
}

void pack_writer_cleanup(struct pack_writer **writer)
{
	pack_writer_close(*writer);
	*writer = NULL;
}

static bool fail_missing(const char *key, struct error *err)
{
	return err->kind != ERROR_NOT_FOUND
		       ? false
		       : fail(err, ERROR_CORRUPT, "the pack \"%s\" is missing from the repository", key);
}

bool pack_get(struct repo *repo, const char *reference, struct buf *content, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	TRY(layout_pack_of_reference(&repo->layout, reference, key, err));
	return repo_get(repo, key, OBJECT_PACK, content, err) || fail_missing(key, err);
}

static bool fail_outside(const struct extent *extent, uint64_t pack_size, struct error *err)
{
	return fail(err, ERROR_CORRUPT,
		    "bytes %" PRIu64 " to %" PRIu64 " lie outside of the pack \"%s\" of %" PRIu64 " bytes",
		    extent->offset, extent->offset + extent->size, extent->pack, pack_size);
}

static bool extent_is_within(const struct extent *extent, uint64_t pack_size)
{
	return extent->offset <= pack_size && extent->size <= pack_size - extent->offset;
}

bool pack_slice(struct bytes pack, const struct extent *extent, struct bytes *slice, struct error *err)
{
	if (!extent_is_within(extent, pack.size))
		return fail_outside(extent, pack.size, err);
	*slice = bytes_slice(pack, (size_t) extent->offset, (size_t) extent->size);
	return true;
}

bool pack_reader_open(struct repo *repo, const char *reference, struct pack_reader *reader, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	*reader = (struct pack_reader){.repo = repo};
	TRY(layout_pack_of_reference(&repo->layout, reference, key, err));
	if (!repo_peek(repo, key, OBJECT_PACK, &reader->header, NULL, err))
		return fail_missing(key, err);
	reader->fetched_size = OBJECT_PEEK_SIZE;
	if (reader->header.plain_size > PACK_SIZE_MAX)
		return fail(err, ERROR_CORRUPT, "the pack \"%s\" is larger than %zu bytes", key, PACK_SIZE_MAX);
	return true;
}

void pack_reader_close(struct pack_reader *reader)
{
	object_header_release(&reader->header);
}

bool pack_reader_frames(const struct pack_reader *reader, const struct extent *extent, uint32_t *first, uint32_t *last,
			struct error *err)
{
	if (extent->size == 0 || !extent_is_within(extent, reader->header.plain_size))
		return fail_outside(extent, reader->header.plain_size, err);
	*first = (uint32_t) (extent->offset >> reader->header.frame_log2);
	*last = (uint32_t) ((extent->offset + extent->size - 1) >> reader->header.frame_log2);
	return true;
}

bool pack_reader_get(struct pack_reader *reader, uint32_t first, uint32_t last, struct buf *content, struct error *err)
{
	uint64_t begin = (uint64_t) first << reader->header.frame_log2;
	uint64_t end = (uint64_t) (last + 1) << reader->header.frame_log2, stored_size;

	if (end > reader->header.plain_size)
		end = reader->header.plain_size;
	TRY(buf_allocate(content, content->size + (size_t) (end - begin), err));
	TRY(repo_get_frames(reader->repo, &reader->header, first, last, content, &stored_size, err));
	reader->fetched_size += stored_size;
	return true;
}
