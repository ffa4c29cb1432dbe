#include "lay_down.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/workers.h"
#include "pg/control_file.h"
#include "repo/manifest.h"
#include "repo/pack.h"
#include "tree.h"

/* Files are made, and the pieces they consist of gathered by pack, until there are this many; then the packs are
 * fetched, each once. Some 10 MB. */
#define BATCH_FILES_MAX	   65536
#define BATCH_SLICES_MAX   131072
#define TABLESPACE_MAP_MAX (2 * MiB)

/* Not laid down: what another server's life left behind, and what would be mistaken for our own. */
static const char *const left_out[] = {"postmaster.pid", "postmaster.opts", "recovery.signal", "standby.signal",
				       PLACE_MARKER};

struct file {
	char *path; /* owned */
	const struct tree *tree;
	struct buf *kept; /* where the content goes instead; NULL: into the file */
};

struct slice {
	struct extent extent;
	uint64_t offset; /* in the file */
	size_t file;
};

struct laying {
	struct repo *repo;
	struct laid *laid;
	struct tree data, included;
	bool has_included, is_resumed, is_included_resumed;
	int jobs;
	struct progress progress;
	size_t file_count, slice_count, slice_capacity;
	struct file *files;
	struct slice *slices;
};

void laid_release(struct laid *laid)
{
	buf_release(&laid->control);
	buf_release(&laid->tablespace_map);
}

static bool slice_lay(struct laying *laying, const struct slice *slice, struct bytes pack, struct error *err)
{
	const struct file *file = &laying->files[slice->file];
	struct bytes content;

	TRY(pack_slice(pack, &slice->extent, &content, err));
	if (file->kept != NULL) /* its pieces do not overlap: no lock */
		memcpy(file->kept->data + slice->offset, content.data, content.size);
	else
		TRY(tree_write(file->tree, file->path, slice->offset, content, err));
	progress_add(&laying->progress, content.size);
	return true;
}

/* The slices of one pack. */
struct pack_job {
	struct laying *laying;
	const struct slice *slices;
	size_t count;
};

static bool pack_lay(void *context, bool cancelled, struct error *err)
{
	const struct pack_job *job = context;
	BUF(pack, PACK_SIZE_MAX);

	if (cancelled)
		return true;
	TRY(pack_get(job->laying->repo, job->slices[0].extent.pack, &pack, err));
	for (size_t i = 0; i < job->count; i++)
		TRY(slice_lay(job->laying, &job->slices[i], buf_bytes(&pack), err));
	return true;
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
static bool packs_submit(struct laying *laying, struct workers *workers, struct pack_job *jobs, struct error *err)
{
	size_t begin = 0, count = 0;

	for (size_t i = 1; i <= laying->slice_count; i++) {
		if (i < laying->slice_count &&
		    strcmp(laying->slices[i].extent.pack, laying->slices[begin].extent.pack) == 0)
			continue;
		jobs[count] = (struct pack_job){laying, &laying->slices[begin], i - begin};
		TRY(workers_submit(workers, pack_lay, &jobs[count], err));
		count++;
		begin = i;
	}
	return true;
}

static void batch_clear(struct laying *laying)
{
	for (size_t i = 0; i < laying->file_count; i++)
		free(laying->files[i].path);
	laying->file_count = laying->slice_count = 0;
}

static bool batch_lay(struct laying *laying, struct error *err)
{
	struct workers *workers = NULL;
	struct error ignored;

	if (laying->slice_count > 0) {
		qsort(laying->slices, laying->slice_count, sizeof(*laying->slices), slice_order);
		struct pack_job *jobs = calloc(laying->slice_count, sizeof(*jobs));

		if (jobs == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
		bool done = workers_open(laying->jobs, laying->jobs, &workers, err);
		if (done) {
			done = packs_submit(laying, workers, jobs, err);
			done = workers_finish(workers, done ? err : &ignored) && done;
		}
		free(jobs);
		TRY(done);
	}
	batch_clear(laying);
	return true;
}

static bool slices_reserve(struct laying *laying, size_t extra, struct error *err)
{
	size_t capacity = laying->slice_capacity;

	while (capacity < laying->slice_count + extra)
		capacity = capacity == 0 ? 1024 : capacity * 2;
	if (capacity == laying->slice_capacity)
		return true;
	struct slice *slices = realloc(laying->slices, capacity * sizeof(*slices));
	if (slices == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	laying->slices = slices;
	laying->slice_capacity = capacity;
	return true;
}

/* Adds the file and its pieces to the batch. */
static bool batch_add(struct laying *laying, const struct manifest_entry *entry, const struct tree *tree,
		      struct buf *kept, struct error *err)
{
	uint64_t offset = 0;

	TRY(slices_reserve(laying, (size_t) entry->extent_count, err));
	struct file *file = &laying->files[laying->file_count];
	*file = (struct file){.path = strdup(entry->path), .tree = tree, .kept = kept};
	if (file->path == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < entry->extent_count; i++) {
		laying->slices[laying->slice_count++] =
			(struct slice){.extent = entry->extents[i], .offset = offset, .file = laying->file_count};
		offset += entry->extents[i].size;
	}
	laying->file_count++;
	if (laying->file_count < BATCH_FILES_MAX && laying->slice_count < BATCH_SLICES_MAX)
		return true;
	return batch_lay(laying, err);
}

/* Room for the whole of a file that is handed back. */
static bool kept_prepare(const struct manifest_entry *entry, struct buf *kept, struct error *err)
{
	if (kept->size != 0 || entry->size > kept->size_max)
		return fail(err, ERROR_CORRUPT, "\"%s\" is there twice, or too large", entry->path);
	TRY(buf_allocate(kept, (size_t) entry->size, err));
	kept->size = (size_t) entry->size;
	return true;
}

static bool entry_is_left_out(const struct manifest_entry *entry)
{
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
		if (strcmp(entry->path, left_out[i]) == 0)
			return true;
	return false;
}

static bool data_lay(struct laying *laying, const struct manifest_entry *entry, struct error *err)
{
	struct laid *laid = laying->laid;
	struct buf *kept = NULL;

	if (entry->type == MANIFEST_LINK)
		return fail(err, ERROR_CORRUPT, "\"%s\" must not be a link", entry->path);
	if (entry->type == MANIFEST_DIRECTORY) {
		if (strcmp(entry->path, "global") == 0)
			laid->has_group_access = (entry->mode & S_IRGRP) != 0;
		return tree_make_directory(&laying->data, entry->path, entry->mode & 0777, err);
	}
	if (entry_is_left_out(entry))
		return true;
	laid->file_count++;
	if (strcmp(entry->path, CONTROL_FILE_NAME) == 0)
		kept = &laid->control;
	else if (strcmp(entry->path, TABLESPACE_MAP_NAME) == 0)
		kept = &laid->tablespace_map;
	if (kept != NULL)
		TRY(kept_prepare(entry, kept, err));
	else
		TRY(tree_make_file(&laying->data, entry->path, entry->mode & 0777, entry->size, laying->is_resumed,
				   err));
	return batch_add(laying, entry, &laying->data, kept, err);
}

static bool included_lay(struct laying *laying, const struct manifest_entry *entry, struct error *err)
{
	laying->laid->included_count += entry->type == MANIFEST_FILE;
	if (!laying->has_included)
		return true;
	switch (entry->type) {
	case MANIFEST_DIRECTORY:
		return tree_make_directory(&laying->included, entry->path, (entry->mode & 0777) | S_IRWXU, err);
	case MANIFEST_LINK:
		return tree_make_symlink(&laying->included, entry->path, entry->link, laying->is_included_resumed, err);
	case MANIFEST_FILE:
		break;
	}
	TRY(tree_make_file(&laying->included, entry->path, entry->mode & 0777, entry->size, laying->is_included_resumed,
			   err));
	return batch_add(laying, entry, &laying->included, NULL, err);
}

static bool entry_visit(void *context, const struct manifest_entry *entry, struct error *err)
{
	struct laying *laying = context;

	return entry->root == MANIFEST_DATA ? data_lay(laying, entry, err) : included_lay(laying, entry, err);
}

/* A worker holds a pack and the object it came from. */
static int jobs_within(const struct options *options)
{
	int64_t fitting = options->memory / (int64_t) (2 * PACK_SIZE_DEFAULT);
	int64_t jobs = options->jobs < fitting ? options->jobs : fitting;

	return jobs < 1 ? 1 : (int) jobs;
}

static bool trees_open(struct laying *laying, const struct place *place, struct error *err)
{
	TRY(tree_open(place->pgdata, place->tablespace_count, &laying->data, err));
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(tree_add_link(&laying->data, place->tablespaces[i].oid, place->tablespaces[i].target, err));
	laying->has_included = place->included_to[0] != '\0';
	return laying->has_included ? tree_open(place->included_to, 0, &laying->included, err) : true;
}

static bool trees_seal(const struct laying *laying, struct error *err)
{
	return tree_seal(&laying->data, err) && tree_seal(&laying->included, err);
}

static bool laid_check(const struct laid *laid, const struct repo *repo, struct error *err)
{
	struct control_file control;

	if (laid->control.size == 0)
		return fail(err, ERROR_CORRUPT, "the backup has no \"%s\"", CONTROL_FILE_NAME);
	TRY(control_file_parse(buf_bytes(&laid->control), &control, err));
	if (control.system_identifier != repo->layout.system_identifier)
		return fail(err, ERROR_CORRUPT, "the \"%s\" of the backup is that of another cluster",
			    CONTROL_FILE_NAME);
	return true;
}

bool lay_down(struct repo *repo, const struct backup *backup, const struct options *options, const struct place *place,
	      struct laid *laid, struct error *err)
{
	struct laying laying = {.repo = repo,
				.laid = laid,
				.data.fd = -1,
				.included.fd = -1,
				.is_resumed = place->is_resumed,
				.is_included_resumed = place->is_included_resumed,
				.jobs = jobs_within(options)};

	*laid = (struct laid){.control.size_max = CONTROL_FILE_SIZE_MAX, .tablespace_map.size_max = TABLESPACE_MAP_MAX};
	laying.files = calloc(BATCH_FILES_MAX, sizeof(*laying.files));
	progress_init(&laying.progress, "laying down files", backup->database_bytes, options->progress);
	bool done = laying.files != NULL ? trees_open(&laying, place, err) : fail(err, ERROR_SYSTEM, "out of memory");
	done = done && manifest_each(repo, backup->label, backup->manifest_parts, entry_visit, &laying, err) &&
	       batch_lay(&laying, err) && trees_seal(&laying, err) && laid_check(laid, repo, err);
	progress_finish(&laying.progress);
	batch_clear(&laying);
	free(laying.files);
	free(laying.slices);
	tree_close(&laying.data);
	tree_close(&laying.included);
	return done;
}
