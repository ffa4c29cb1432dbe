#include "files/batch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/workers.h"
#include "files/compare.h"

/* Files are made, and the pieces they consist of gathered by pack, until there are this many; then the packs are
 * fetched, each once. Some 10 MB; and as much again for digests. */
#define BATCH_FILES_MAX	 65536
#define BATCH_SLICES_MAX 131072
#define BATCH_PIECES_MAX 524288
/* What one thread compares without asking again. */
#define COMPARE_FILES_MAX 128
#define COMPARE_SIZE_MAX  (64 * MiB)
/* Frames that are fetched without need rather than making another request. */
#define FRAME_GAP_MAX 2

struct file {
	char *path; /* owned */
	const struct tree *tree;
	struct buf *kept; /* where the content goes instead; NULL: into the file */
	bool is_compared;
	struct comparison comparison; /* of one that was there; owned */
};

struct slice {
	struct extent extent;
	uint64_t offset; /* in the file */
	size_t file;
};

struct slices {
	size_t count, capacity;
	struct slice *items; /* owned */
};

struct batch {
	struct repo *repo;
	struct progress *progress;
	int jobs;
	bool is_sparse;
	size_t file_count, piece_count;
	struct file *files;
	struct slices slices;

	pthread_mutex_t lock; /* guards what follows */
	struct batch_counts counts;
};

bool batch_open(struct repo *repo, int jobs, bool is_sparse, struct progress *progress, struct batch **batch,
		struct error *err)
{
	struct batch *made = calloc(1, sizeof(*made));
	struct file *files = calloc(BATCH_FILES_MAX, sizeof(*files));

	if (made == NULL || files == NULL) {
		free(made);
		free(files);
		return fail(err, ERROR_SYSTEM, "out of memory");
	}
	*made = (struct batch){
		.repo = repo, .progress = progress, .jobs = jobs, .is_sparse = is_sparse, .files = files};
	(void) pthread_mutex_init(&made->lock, NULL);
	*batch = made;
	return true;
}

static void batch_clear(struct batch *batch)
{
	for (size_t i = 0; i < batch->file_count; i++) {
		free(batch->files[i].path);
		comparison_release(&batch->files[i].comparison);
	}
	batch->file_count = batch->piece_count = batch->slices.count = 0;
}

void batch_close(struct batch *batch)
{
	if (batch == NULL)
		return;
	batch_clear(batch);
	free(batch->files);
	free(batch->slices.items);
	(void) pthread_mutex_destroy(&batch->lock);
	free(batch);
}

struct batch_counts batch_counts(const struct batch *batch)
{
	return batch->counts;
}

static void batch_count(struct batch *batch, struct batch_counts more)
{
	(void) pthread_mutex_lock(&batch->lock);
	batch->counts.kept += more.kept;
	batch->counts.written += more.written;
	batch->counts.fetched += more.fetched;
	(void) pthread_mutex_unlock(&batch->lock);
	progress_add(batch->progress, more.kept + more.written);
}

/* ----------------------------------------------------------------------------------------------- gathering */

static bool slices_reserve(struct slices *slices, size_t extra, struct error *err)
{
	size_t capacity = slices->capacity;

	while (capacity < slices->count + extra)
		capacity = capacity == 0 ? 1024 : capacity * 2;
	if (capacity == slices->capacity)
		return true;
	struct slice *items = realloc(slices->items, capacity * sizeof(*items));
	if (items == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	slices->items = items;
	slices->capacity = capacity;
	return true;
}

static bool file_init(struct file *file, const struct manifest_entry *entry, bool was_there, struct error *err)
{
	file->path = strdup(entry->path);
	if (file->path == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	file->is_compared = was_there && entry->digest_count > 0;
	return !file->is_compared || comparison_init(&file->comparison, entry->size, entry->piece_size,
						     entry->digest_count, entry->digests, err);
}

bool batch_add(struct batch *batch, const struct manifest_entry *entry, const struct tree *tree, struct buf *kept,
	       bool was_there, struct error *err)
{
	uint64_t offset = 0;

	TRY(slices_reserve(&batch->slices, (size_t) entry->extent_count, err));
	struct file *file = &batch->files[batch->file_count];
	*file = (struct file){.tree = tree, .kept = kept};
	size_t number = batch->file_count++;
	TRY(file_init(file, entry, was_there, err));
	for (int i = 0; i < entry->extent_count; i++) {
		batch->slices.items[batch->slices.count++] =
			(struct slice){.extent = entry->extents[i], .offset = offset, .file = number};
		offset += entry->extents[i].size;
	}
	batch->piece_count += file->comparison.digest_count;
	if (batch->file_count < BATCH_FILES_MAX && batch->slices.count < BATCH_SLICES_MAX &&
	    batch->piece_count < BATCH_PIECES_MAX)
		return true;
	return batch_lay(batch, err);
}

/* ----------------------------------------------------------------------------------------------- comparing */

/* A run of files. */
struct compare_job {
	struct batch *batch;
	size_t begin, end;
};

static bool compare_run(void *context, bool cancelled, struct error *err)
{
	const struct compare_job *job = context;
	struct batch *batch = job->batch;
	struct piece_digester digester PIECE_DIGESTER_CLEANUP = {.gmac = {0}};

	if (cancelled)
		return true;
	TRY(piece_digester_init(&digester, batch->repo->secrets, batch->repo->id, err));
	for (size_t i = job->begin; i < job->end; i++) {
		struct file *file = &batch->files[i];

		if (file->is_compared)
			TRY(comparison_run(&file->comparison, file->tree, file->path, &digester, err));
	}
	return true;
}

static bool compare_submit(struct batch *batch, struct workers *workers, struct compare_job *jobs, struct error *err)
{
	size_t begin = 0, count = 0;
	uint64_t size = 0;

	for (size_t i = 0; i < batch->file_count; i++) {
		size += batch->files[i].comparison.size;
		if (size < COMPARE_SIZE_MAX && i + 1 - begin < COMPARE_FILES_MAX && i + 1 < batch->file_count)
			continue;
		jobs[count] = (struct compare_job){.batch = batch, .begin = begin, .end = i + 1};
		TRY(workers_submit(workers, compare_run, &jobs[count], err));
		count++;
		begin = i + 1;
		size = 0;
	}
	return true;
}

static bool batch_compare(struct batch *batch, struct error *err)
{
	struct compare_job *jobs = calloc(batch->file_count, sizeof(*jobs));
	struct workers *workers = NULL;
	struct error ignored;

	if (jobs == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = workers_open(batch->jobs, batch->jobs, &workers, err);
	if (done) {
		done = compare_submit(batch, workers, jobs, err);
		done = workers_finish(workers, done ? err : &ignored) && done;
	}
	free(jobs);
	return done;
}

/* What of a slice differs, as slices of its own. */
static bool slice_divide(struct batch *batch, const struct slice *slice, struct slices *needed, struct error *err)
{
	const struct file *file = &batch->files[slice->file];
	uint64_t begin = slice->offset, end = begin + slice->extent.size, size, sum = 0;

	for (; comparison_next(&file->comparison, &begin, end, &size); begin += size) {
		TRY(slices_reserve(needed, 1, err));
		struct slice *part = &needed->items[needed->count++];
		*part = *slice;
		part->offset = begin;
		part->extent.offset += begin - slice->offset;
		part->extent.size = size;
		sum += size;
	}
	batch_count(batch, (struct batch_counts){.kept = slice->extent.size - sum});
	return true;
}

/* Only what differs stays among the slices. */
static bool batch_reduce(struct batch *batch, struct error *err)
{
	struct slices needed = {.count = 0};
	bool done = true;

	for (size_t i = 0; i < batch->slices.count && done; i++) {
		const struct slice *slice = &batch->slices.items[i];

		if (batch->files[slice->file].is_compared) {
			done = slice_divide(batch, slice, &needed, err);
		} else {
			done = slices_reserve(&needed, 1, err);
			if (done)
				needed.items[needed.count++] = *slice;
		}
	}
	free(batch->slices.items);
	batch->slices = needed;
	return done;
}

/* ------------------------------------------------------------------------------------------------- filling */

/* The slices of one pack. */
struct pack_job {
	struct batch *batch;
	const struct slice *slices;
	size_t count;
};

/* From `content`, which begins at `content_offset` of the pack. */
static bool slice_lay(struct batch *batch, const struct slice *slice, struct bytes content, uint64_t content_offset,
		      struct error *err)
{
	const struct file *file = &batch->files[slice->file];
	struct extent extent = slice->extent;
	struct bytes piece;

	extent.offset -= content_offset;
	TRY(pack_slice(content, &extent, &piece, err));
	if (file->kept != NULL) /* its pieces do not overlap: no lock */
		memcpy(file->kept->data + slice->offset, piece.data, piece.size);
	else
		TRY(tree_write(file->tree, file->path, slice->offset, piece, err));
	batch_count(batch, (struct batch_counts){.written = piece.size});
	return true;
}

static bool pack_lay(const struct pack_job *job, struct error *err)
{
	BUF(pack, PACK_SIZE_MAX);

	TRY(pack_get(job->batch->repo, job->slices[0].extent.pack, &pack, err));
	for (size_t i = 0; i < job->count; i++)
		TRY(slice_lay(job->batch, &job->slices[i], buf_bytes(&pack), 0, err));
	return true;
}

/* Fetches frames `first` to `last` and lays the slices that lie in them. */
static bool frames_lay(const struct pack_job *job, struct pack_reader *reader, size_t slice, size_t count,
		       const uint32_t frames[2], struct error *err)
{
	uint64_t offset = (uint64_t) frames[0] << reader->header.frame_log2;
	BUF(content, PACK_SIZE_MAX);

	TRY(pack_reader_get(reader, frames[0], frames[1], &content, err));
	for (size_t i = slice; i < slice + count; i++)
		TRY(slice_lay(job->batch, &job->slices[i], buf_bytes(&content), offset, err));
	return true;
}

/* How many frames hold anything that is needed. The slices are in order. */
static bool frames_count(const struct pack_job *job, const struct pack_reader *reader, uint32_t *needed,
			 struct error *err)
{
	uint32_t first, last, next = 0;

	*needed = 0;
	for (size_t i = 0; i < job->count; i++) {
		TRY(pack_reader_frames(reader, &job->slices[i].extent, &first, &last, err));
		if (first < next)
			first = next;
		if (last >= first)
			*needed += last + 1 - first;
		next = last + 1 > next ? last + 1 : next;
	}
	return true;
}

/* Run by run of frames that are near one another; all in one when that is half of them or more. */
static bool pack_lay_runs(const struct pack_job *job, struct pack_reader *reader, struct error *err)
{
	uint32_t needed, run[2], first, last;
	size_t begin = 0;

	TRY(frames_count(job, reader, &needed, err));
	uint32_t gap_max = needed >= reader->header.frame_count / 2 ? reader->header.frame_count : FRAME_GAP_MAX;
	for (size_t i = 0; i < job->count; i++) {
		TRY(pack_reader_frames(reader, &job->slices[i].extent, &first, &last, err));
		if (i > begin && first > run[1] + 1 + gap_max) {
			TRY(frames_lay(job, reader, begin, i - begin, run, err));
			begin = i;
		}
		if (i == begin) {
			run[0] = first;
			run[1] = last;
		} else if (last > run[1]) {
			run[1] = last;
		}
	}
	return frames_lay(job, reader, begin, job->count - begin, run, err);
}

static bool pack_lay_sparse(const struct pack_job *job, struct error *err)
{
	struct pack_reader reader PACK_READER_CLEANUP = {.repo = NULL};

	TRY(pack_reader_open(job->batch->repo, job->slices[0].extent.pack, &reader, err));
	TRY(pack_lay_runs(job, &reader, err));
	batch_count(job->batch, (struct batch_counts){.fetched = reader.fetched_size});
	return true;
}

static bool pack_run(void *context, bool cancelled, struct error *err)
{
	const struct pack_job *job = context;

	if (cancelled)
		return true;
	return job->batch->is_sparse ? pack_lay_sparse(job, err) : pack_lay(job, err);
}

static int slice_order(const void *left, const void *right)
{
	const struct slice *a = left, *b = right;
	int order = strcmp(a->extent.pack, b->extent.pack);

	if (order != 0)
		return order;
	return a->extent.offset < b->extent.offset ? -1 : a->extent.offset > b->extent.offset;
}

/* Sorted by pack, so that each run of equal packs is a job. */
static bool packs_submit(struct batch *batch, struct workers *workers, struct pack_job *jobs, struct error *err)
{
	const struct slice *slices = batch->slices.items;
	size_t begin = 0, count = 0;

	for (size_t i = 1; i <= batch->slices.count; i++) {
		if (i < batch->slices.count && strcmp(slices[i].extent.pack, slices[begin].extent.pack) == 0)
			continue;
		jobs[count] = (struct pack_job){batch, &slices[begin], i - begin};
		TRY(workers_submit(workers, pack_run, &jobs[count], err));
		count++;
		begin = i;
	}
	return true;
}

static bool batch_fill(struct batch *batch, struct error *err)
{
	struct workers *workers = NULL;
	struct error ignored;

	qsort(batch->slices.items, batch->slices.count, sizeof(*batch->slices.items), slice_order);
	struct pack_job *jobs = calloc(batch->slices.count, sizeof(*jobs));
	if (jobs == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = workers_open(batch->jobs, batch->jobs, &workers, err);
	if (done) {
		done = packs_submit(batch, workers, jobs, err);
		done = workers_finish(workers, done ? err : &ignored) && done;
	}
	free(jobs);
	return done;
}

bool batch_lay(struct batch *batch, struct error *err)
{
	if (batch->piece_count > 0) {
		TRY(batch_compare(batch, err));
		TRY(batch_reduce(batch, err));
	}
	if (batch->slices.count > 0)
		TRY(batch_fill(batch, err));
	batch_clear(batch);
	return true;
}
