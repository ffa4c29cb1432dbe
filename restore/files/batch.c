#include "files/batch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/workers.h"
#include "files/file.h"
#include "files/fill.h"

/* Files, and the slices of packs they consist of, are gathered until there are this many. Some 30 MB; and as much again
 * for digests. */
#define BATCH_FILES_MAX	 65536
#define BATCH_SLICES_MAX 131072
#define BATCH_PIECES_MAX 524288
/* What one thread compares without asking again. */
#define COMPARE_FILES_MAX 128
#define COMPARE_SIZE_MAX  (64 * MiB)

struct slices {
	size_t count, capacity;
	struct slice *items; /* owned */
};

struct batch {
	struct repo *repo;
	struct progress *progress;
	struct fill_sizing sizing;
	int jobs;
	struct tree_walk walk; /* of whoever gathers */
	size_t file_count, piece_count;
	bool has_old; /* some files may be there */
	struct file *files;
	struct slices slices;

	pthread_mutex_t making; /* of files */
	pthread_mutex_t lock;	/* guards what follows */
	struct batch_counts counts;
};

bool batch_open(struct repo *repo, const struct options *options, struct progress *progress, struct batch **batch,
		struct error *err)
{
	struct batch *made = calloc(1, sizeof(*made));
	struct file *files = calloc(BATCH_FILES_MAX, sizeof(*files));

	if (made == NULL || files == NULL) {
		free(made);
		free(files);
		return fail(err, ERROR_SYSTEM, "out of memory");
	}
	made->repo = repo;
	made->progress = progress;
	made->sizing = fill_sizing_plan(options->memory, options->jobs);
	made->jobs = made->sizing.jobs;
	made->files = files;
	tree_walk_init(&made->walk);
	(void) pthread_mutex_init(&made->making, NULL);
	(void) pthread_mutex_init(&made->lock, NULL);
	*batch = made;
	return true;
}

static void batch_clear(struct batch *batch)
{
	for (size_t i = 0; i < batch->file_count; i++)
		file_release(&batch->files[i]);
	batch->file_count = batch->piece_count = batch->slices.count = 0;
	batch->has_old = false;
}

void batch_close(struct batch *batch)
{
	if (batch == NULL)
		return;
	batch_clear(batch);
	free(batch->files);
	free(batch->slices.items);
	tree_walk_release(&batch->walk);
	(void) pthread_mutex_destroy(&batch->lock);
	(void) pthread_mutex_destroy(&batch->making);
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

static bool slice_add(struct slices *slices, const struct slice *slice, struct error *err)
{
	TRY(ARRAY_RESERVE(&slices->items, slices->count, &slices->capacity, err));
	slices->items[slices->count++] = *slice;
	return true;
}

static bool slices_add(struct batch *batch, const struct manifest_entry *entry, size_t file, struct error *err)
{
	uint64_t offset = 0;

	for (int i = 0; i < entry->extent_count; i++) {
		struct slice slice = {.extent = entry->extents[i], .offset = offset, .file = file};

		TRY(slice_add(&batch->slices, &slice, err));
		offset += slice.extent.size;
	}
	return true;
}

static bool batch_lay_full(struct batch *batch, struct error *err)
{
	bool is_full = batch->file_count == BATCH_FILES_MAX || batch->slices.count >= BATCH_SLICES_MAX ||
		       batch->piece_count >= BATCH_PIECES_MAX;

	return is_full ? batch_lay(batch, err) : true;
}

bool batch_add(struct batch *batch, const struct manifest_entry *entry, struct tree *tree, enum batch_how how,
	       struct error *err)
{
	size_t number = batch->file_count++;
	struct file *file = &batch->files[number];

	TRY(file_init(file, entry, tree, NULL, err));
	file->to.replace = how == BATCH_REPLACE;
	TRY(tree_plan_mode(tree, entry->path, entry->mode & 0777, err));
	if (how == BATCH_KEEP) {
		TRY(comparison_init(&file->comparison, entry->size, entry->piece_size, entry->digest_count,
				    entry->digests, err));
		file->may_be_there = batch->has_old = true;
		batch->piece_count += entry->digest_count;
	} else if (entry->size == 0) {
		TRY(file_make_empty(file, &batch->walk, err));
	}
	return slices_add(batch, entry, number, err) && batch_lay_full(batch, err);
}

bool batch_add_kept(struct batch *batch, const struct manifest_entry *entry, struct buf *kept, struct error *err)
{
	size_t number = batch->file_count++;

	return file_init(&batch->files[number], entry, NULL, kept, err) && slices_add(batch, entry, number, err) &&
	       batch_lay_full(batch, err);
}

/* ----------------------------------------------------------------------------------------------- comparing */

/* A run of files. */
struct compare_job {
	struct batch *batch;
	size_t begin, end;
};

static bool files_take(const struct compare_job *job, struct tree_walk *walk, struct piece_digester *digester,
		       struct error *err)
{
	struct batch *batch = job->batch;

	TRY(piece_digester_init(digester, batch->repo->secrets, batch->repo->id, err));
	for (size_t i = job->begin; i < job->end; i++)
		if (batch->files[i].may_be_there)
			TRY(file_take(&batch->files[i], walk, digester, err));
	return true;
}

static bool compare_run(void *context, bool cancelled, struct error *err)
{
	struct piece_digester digester;
	struct tree_walk walk;

	if (cancelled)
		return true;
	memset(&digester, 0, sizeof(digester));
	tree_walk_init(&walk);
	bool done = files_take(context, &walk, &digester, err);
	tree_walk_release(&walk);
	piece_digester_release(&digester);
	return done;
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
		struct slice part = *slice;

		part.offset = begin;
		part.extent.offset += begin - slice->offset;
		part.extent.size = size;
		TRY(slice_add(needed, &part, err));
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

		done = batch->files[slice->file].was_there ? slice_divide(batch, slice, &needed, err)
							   : slice_add(&needed, slice, err);
	}
	free(batch->slices.items);
	batch->slices = needed;
	return done;
}

/* ------------------------------------------------------------------------------------------------- filling */

static bool content_lay(void *context, struct tree_walk *walk, size_t file, uint64_t offset, struct bytes content,
			struct error *err)
{
	struct batch *batch = context;

	TRY(file_write(&batch->files[file], walk, &batch->making, offset, content, err));
	batch_count(batch, (struct batch_counts){.written = content.size});
	return true;
}

static bool batch_fill(struct batch *batch, struct error *err)
{
	const struct fill_order order = {.repo = batch->repo,
					 .sizing = batch->sizing,
					 .slices = batch->slices.items,
					 .count = batch->slices.count,
					 .lay = content_lay,
					 .context = batch};
	uint64_t fetched;
	bool done = fill_run(&order, &fetched, err);

	batch->counts.fetched += fetched;
	return done;
}

bool batch_lay(struct batch *batch, struct error *err)
{
	if (batch->has_old) {
		TRY(batch_compare(batch, err));
		TRY(batch_reduce(batch, err));
	}
	if (batch->slices.count > 0)
		TRY(batch_fill(batch, err));
	batch_clear(batch);
	return true;
}
