/* Backups: every part of the manifest is there, every extent of every file lies in a pack, every pack can be read, and
 * what is read is what the manifest has digests of. Files are gathered until they are many, so that of each pack all
 * that is known is at hand when it is read: once. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/workers.h"
#include "repo/relation_map.h"
#include "verify.h"
#include "verify_pack.h"

/* Some 30 MB, and 8 for digests. */
#define GATHER_FILES_MAX  65536
#define GATHER_SLICES_MAX 131072
#define GATHER_PIECES_MAX 524288

struct file {
	size_t backup;
	char *path; /* owned */
	size_t piece_size, digest_count;
	uint8_t *digests; /* owned */
	uint64_t size;
};

/* A part of a file, and where it is. */
struct slice {
	struct verify_object *pack;
	uint64_t offset, size;
	uint64_t file_offset;
	size_t file;
};

/* A piece that lies in several packs, or in several parts of one. */
struct crossing {
	struct gathering *gathering;
	size_t file;
	uint64_t piece;
	size_t count;
	struct extent *extents; /* owned */
};

struct gathering {
	struct verify *verify;
	size_t backup;		    /* whose manifest is read … */
	char part[LAYOUT_KEY_SIZE]; /* … and which part */
	bool has_failed;	    /* not for what the part says */
	size_t system_size;	    /* of what stands before a reference in a pack's name */
	size_t file_count, slice_count, slice_capacity, crossing_count, crossing_capacity, piece_count;
	struct file *files;   /* owned, as the slices */
	struct slice *slices; /* of packs that are to be read */
	struct crossing *crossings;
};

void verify_backup_damaged(struct verify *verify, size_t backup, const char *why)
{
	struct verified_backup *verified = &verify->backups[backup];

	if (!verified->is_damaged)
		(void) snprintf(verified->why, sizeof(verified->why), "%s", why);
	verified->is_damaged = true;
}

/* The backup needs an object that is bad: with its problem, which there is. */
static bool backup_needs(struct verify *verify, size_t backup, const char *key, struct error *err)
{
	struct problem *problem = problem_find(&verify->problems, key);
	char why[sizeof(verify->backups->why)];

	if (problem != NULL) {
		(void) snprintf(why, sizeof(why), "%.400s: %.600s", key, problem->why);
		verify_backup_damaged(verify, backup, why);
	}
	return problem_needed(&verify->problems, key, verify->catalog.backups[backup].label, err);
}

/* ------------------------------------------------------------------------------------------------- reading packs */

struct pack_job {
	struct gathering *gathering;
	struct verify_object *pack;
	const struct slice *slices;
	size_t count;
};

static bool piece_differs(void *context, const struct pack_piece *piece, struct error *err)
{
	struct pack_job *job = context;
	const struct file *file = &job->gathering->files[piece->file];

	return fail(err, ERROR_CORRUPT, "what it holds of \"%.500s\" is not what the manifest of \"%s\" says",
		    file->path, job->gathering->verify->catalog.backups[file->backup].label);
}

/* The pieces of the file that begin and end in the slice. */
static size_t slice_pieces(const struct slice *slice, const struct file *file, struct pack_piece *pieces)
{
	uint64_t first, end = slice->file_offset + slice->size;
	size_t count = 0;

	if (file->piece_size == 0)
		return 0;
	first = (slice->file_offset + file->piece_size - 1) / file->piece_size;
	for (uint64_t i = first; i < file->digest_count; i++) {
		uint64_t begin = i * file->piece_size, size = file->piece_size;

		if (size > file->size - begin)
			size = file->size - begin;
		if (begin + size > end)
			break;
		if (pieces != NULL)
			pieces[count] = (struct pack_piece){.offset = slice->offset + (begin - slice->file_offset),
							    .size = size,
							    .digest = file->digests + i * PIECE_DIGEST_SIZE,
							    .file = slice->file};
		count++;
	}
	return count;
}

static bool pack_read(struct pack_job *job, struct error *err)
{
	struct gathering *gathering = job->gathering;
	struct pack_reading reading = {.repo = gathering->verify->repo,
				       .reference = job->pack->key + gathering->system_size,
				       .is_whole = !job->pack->is_read,
				       .differs = piece_differs,
				       .context = job,
				       .progress = &gathering->verify->progress};

	for (size_t i = 0; i < job->count; i++)
		reading.piece_count += slice_pieces(&job->slices[i], &gathering->files[job->slices[i].file], NULL);
	reading.pieces = calloc(reading.piece_count + 1, sizeof(*reading.pieces));
	if (reading.pieces == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	size_t count = 0;
	for (size_t i = 0; i < job->count; i++)
		count += slice_pieces(&job->slices[i], &gathering->files[job->slices[i].file], &reading.pieces[count]);
	bool done = verify_pack_read(&reading, err);
	free(reading.pieces);
	(void) pthread_mutex_lock(&gathering->verify->lock);
	gathering->verify->objects_read += reading.is_whole;
	gathering->verify->bytes_read += reading.read_size;
	(void) pthread_mutex_unlock(&gathering->verify->lock);
	return done;
}

static bool pack_run(void *context, bool cancelled, struct error *err)
{
	struct pack_job *job = context;
	struct verify *verify = job->gathering->verify;
	bool done = true;

	if (!cancelled && !verify_object_is_bad(job->pack))
		done = pack_read(job, err) || verify_take_failure(verify, job->pack, err);
	job->pack->is_read = true;
	verify_memory_give(verify, VERIFY_PACK_MEMORY);
	return done;
}

/* What is wrong with one of the packs has been said by then. */
static bool crossing_read(const struct crossing *crossing, struct error *err)
{
	struct verify *verify = crossing->gathering->verify;
	const struct file *file = &crossing->gathering->files[crossing->file];
	char key[LAYOUT_KEY_SIZE], why[1024];
	bool same;

	for (size_t i = 0; i < crossing->count; i++) {
		TRY(layout_pack_of_reference(&verify->repo->layout, crossing->extents[i].pack, key, err));
		if (verify_object_is_bad(verify_table_find(&verify->table, key)))
			return true;
	}
	if (!verify_piece_read(verify->repo, crossing->extents, crossing->count,
			       file->digests + crossing->piece * PIECE_DIGEST_SIZE, &same, err))
		return err->kind != ERROR_UNREACHABLE && err->kind != ERROR_SYSTEM;
	if (same)
		return true;
	(void) snprintf(why, sizeof(why),
			"what it and others hold of \"%.500s\" is not what the manifest of \"%s\" says", file->path,
			verify->catalog.backups[file->backup].label);
	TRY(layout_pack_of_reference(&verify->repo->layout, crossing->extents[0].pack, key, err));
	return problem_add(&verify->problems, key, OBJECT_PACK, VERIFY_DAMAGED, why, err) &&
	       backup_needs(verify, file->backup, key, err);
}

/* One after the other: there are a few for each pack. */
static bool crossings_read(struct gathering *gathering, struct error *err)
{
	for (size_t i = 0; i < gathering->crossing_count; i++)
		TRY(crossing_read(&gathering->crossings[i], err));
	return true;
}

static int slice_order(const void *left, const void *right)
{
	const struct slice *a = left, *b = right;

	if (a->pack != b->pack)
		return a->pack < b->pack ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Each run of slices of one pack. */
static size_t packs_divide(struct gathering *gathering, struct pack_job *jobs)
{
	size_t count = 0;

	qsort(gathering->slices, gathering->slice_count, sizeof(*gathering->slices), slice_order);
	for (size_t i = 0; i < gathering->slice_count; i++) {
		const struct slice *slice = &gathering->slices[i];

		if (count == 0 || jobs[count - 1].pack != slice->pack)
			jobs[count++] = (struct pack_job){.gathering = gathering, .pack = slice->pack, .slices = slice};
		jobs[count - 1].count++;
	}
	return count;
}

static bool packs_run(struct verify *verify, struct pack_job *jobs, size_t count, struct error *err)
{
	int threads = verify_threads(verify);
	struct workers *workers = NULL;
	struct error ignored;
	bool done = true;

	TRY(workers_open(threads, threads, &workers, err));
	for (size_t i = 0; i < count && done; i++) {
		verify_memory_take(verify, VERIFY_PACK_MEMORY);
		done = workers_submit(workers, pack_run, &jobs[i], err);
	}
	return workers_finish(workers, done ? err : &ignored) && done;
}

/* Whose backups need what turned out to be bad. */
static bool packs_judge(struct gathering *gathering, const struct pack_job *jobs, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		size_t told = SIZE_MAX;

		if (!verify_object_is_bad(jobs[i].pack))
			continue;
		for (size_t k = 0; k < jobs[i].count; k++) {
			size_t backup = gathering->files[jobs[i].slices[k].file].backup;

			if (backup != told)
				TRY(backup_needs(gathering->verify, backup, jobs[i].pack->key, err));
			told = backup;
		}
	}
	return true;
}

static void gathering_clear(struct gathering *gathering)
{
	for (size_t i = 0; i < gathering->file_count; i++) {
		free(gathering->files[i].path);
		free(gathering->files[i].digests);
	}
	for (size_t i = 0; i < gathering->crossing_count; i++)
		free(gathering->crossings[i].extents);
	gathering->file_count = gathering->slice_count = gathering->crossing_count = gathering->piece_count = 0;
}

static bool gathering_flush(struct gathering *gathering, struct error *err)
{
	if (gathering->slice_count == 0) {
		gathering_clear(gathering);
		return true;
	}
	struct pack_job *jobs = calloc(gathering->slice_count, sizeof(*jobs));
	if (jobs == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	size_t count = packs_divide(gathering, jobs);
	bool done = packs_run(gathering->verify, jobs, count, err) && packs_judge(gathering, jobs, count, err) &&
		    crossings_read(gathering, err);
	free(jobs);
	gathering_clear(gathering);
	return done;
}

/* ------------------------------------------------------------------------------------------------- manifests */

static bool file_add(struct gathering *gathering, const struct manifest_entry *entry, struct error *err)
{
	struct file *file = &gathering->files[gathering->file_count];
	size_t size = entry->digest_count * PIECE_DIGEST_SIZE;

	*file = (struct file){.backup = gathering->backup,
			      .path = strdup(entry->path),
			      .piece_size = entry->piece_size,
			      .digest_count = entry->digest_count,
			      .digests = malloc(size + 1),
			      .size = entry->size};
	gathering->file_count++;
	if (file->path == NULL || file->digests == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (size > 0)
		memcpy(file->digests, entry->digests, size);
	gathering->piece_count += entry->digest_count;
	return true;
}

static bool slice_add(struct gathering *gathering, const struct slice *slice, struct error *err)
{
	TRY(ARRAY_RESERVE(&gathering->slices, gathering->slice_count, &gathering->slice_capacity, err));
	gathering->slices[gathering->slice_count++] = *slice;
	return true;
}

/* The piece that begins `into` the extent `first`, and does not end in it: its part of each extent. */
static bool crossing_add(struct gathering *gathering, const struct manifest_entry *entry, int first, uint64_t into,
			 uint64_t piece, struct error *err)
{
	uint64_t left = entry->size - piece * entry->piece_size;
	int last = first;

	left = left < entry->piece_size ? left : entry->piece_size;
	for (uint64_t reach = entry->extents[first].size - into; reach < left; reach += entry->extents[last].size)
		last++;
	TRY(ARRAY_RESERVE(&gathering->crossings, gathering->crossing_count, &gathering->crossing_capacity, err));
	struct crossing *crossing = &gathering->crossings[gathering->crossing_count++];
	*crossing = (struct crossing){.gathering = gathering,
				      .file = gathering->file_count - 1,
				      .piece = piece,
				      .count = (size_t) (last - first) + 1,
				      .extents = calloc((size_t) (last - first) + 1, sizeof(struct extent))};
	if (crossing->extents == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = first; i <= last; i++) {
		struct extent *part = &crossing->extents[i - first];

		*part = entry->extents[i];
		part->offset += into;
		part->size = part->size - into < left ? part->size - into : left;
		left -= part->size;
		into = 0;
	}
	return true;
}

/* Of the pieces that begin in an extent only the last can go on behind it. The file has been added. */
static bool crossings_add(struct gathering *gathering, const struct manifest_entry *entry, int index, uint64_t offset,
			  struct error *err)
{
	uint64_t end = offset + entry->extents[index].size;

	if (entry->piece_size == 0)
		return true;
	uint64_t piece = (end - 1) / entry->piece_size, begin = piece * entry->piece_size;
	uint64_t piece_end = begin + entry->piece_size < entry->size ? begin + entry->piece_size : entry->size;
	if (piece >= entry->digest_count || begin < offset || piece_end <= end)
		return true;
	return crossing_add(gathering, entry, index, begin - offset, piece, err);
}

static bool missing_add(struct verify *verify, size_t backup, const char *key, enum object_kind kind, struct error *err)
{
	return problem_add(&verify->problems, key, kind, VERIFY_MISSING, "it is missing", err) &&
	       backup_needs(verify, backup, key, err);
}

/* The pack that an extent names, or NULL: then what is wrong has been said. */
static bool pack_find(struct gathering *gathering, const struct extent *extent, struct verify_object **pack,
		      struct error *err)
{
	struct verify *verify = gathering->verify;
	char key[LAYOUT_KEY_SIZE], text[256];

	if (!layout_pack_of_reference(&verify->repo->layout, extent->pack, key, err))
		return false;
	*pack = verify_table_find(&verify->table, key);
	if (*pack == NULL) {
		gathering->has_failed = !missing_add(verify, gathering->backup, key, OBJECT_PACK, err);
		return !gathering->has_failed;
	}
	(*pack)->is_wanted = true;
	if ((*pack)->state == VERIFY_UNSEEN && !verify_header(verify, *pack, err)) {
		gathering->has_failed = true;
		return false;
	}
	if (verify_object_is_bad(*pack)) {
		gathering->has_failed = !backup_needs(verify, gathering->backup, key, err);
		*pack = NULL;
		return !gathering->has_failed;
	}
	if (extent->offset <= (*pack)->plain_size && extent->size <= (*pack)->plain_size - extent->offset)
		return true;
	(void) snprintf(text, sizeof(text),
			"bytes %" PRIu64 " to %" PRIu64 " lie outside of the pack \"%s\" of %" PRIu64 " bytes",
			extent->offset, extent->offset + extent->size, extent->pack, (*pack)->plain_size);
	return fail(err, ERROR_CORRUPT, "%s", text);
}

static bool entry_gather(struct gathering *gathering, const struct manifest_entry *entry, struct error *err)
{
	uint64_t offset = 0;
	size_t file = gathering->file_count;
	bool is_added = false;

	for (int i = 0; i < entry->extent_count; i++) {
		struct verify_object *pack;
		struct slice slice = {.offset = entry->extents[i].offset,
				      .size = entry->extents[i].size,
				      .file_offset = offset,
				      .file = file};

		offset += slice.size;
		TRY(pack_find(gathering, &entry->extents[i], &pack, err));
		if (pack == NULL || !verify_reads(gathering->verify, pack))
			continue;
		gathering->has_failed = !is_added && !file_add(gathering, entry, err);
		is_added = true;
		slice.pack = pack;
		gathering->has_failed = gathering->has_failed || !slice_add(gathering, &slice, err) ||
					!crossings_add(gathering, entry, i, slice.file_offset, err);
		TRY(!gathering->has_failed);
	}
	return true;
}

static bool entry_visit(void *context, const struct manifest_entry *entry, struct error *err)
{
	struct gathering *gathering = context;

	if (entry->type != MANIFEST_FILE)
		return true;
	TRY(entry_gather(gathering, entry, err));
	if (gathering->file_count < GATHER_FILES_MAX && gathering->slice_count < GATHER_SLICES_MAX &&
	    gathering->piece_count < GATHER_PIECES_MAX)
		return true;
	gathering->has_failed = !gathering_flush(gathering, err);
	return !gathering->has_failed;
}

static bool part_verify(struct gathering *gathering, uint32_t number, struct error *err)
{
	struct verify *verify = gathering->verify;
	const struct backup *backup = &verify->catalog.backups[gathering->backup];

	layout_manifest(&verify->repo->layout, backup->branch, backup->label, number, gathering->part);
	struct verify_object *object = verify_table_find(&verify->table, gathering->part);
	if (object == NULL)
		return missing_add(verify, gathering->backup, gathering->part, OBJECT_MANIFEST, err);
	object->is_read = true;
	verify_count(verify, true, object->size);
	object->state = VERIFY_GOOD;
	if (manifest_each_of_part(verify->repo, backup, number, entry_visit, gathering, err))
		return true;
	if (gathering->has_failed)
		return false;
	return verify_take_failure(verify, object, err) &&
	       backup_needs(verify, gathering->backup, gathering->part, err);
}

/* Only names of relations depend on it. */
static bool relation_map_verify(struct verify *verify, const struct backup *backup, struct error *err)
{
	const struct relation_map_visitor visitor = {.context = NULL};
	char key[LAYOUT_KEY_SIZE];
	bool is_whole = true;

	for (uint32_t number = 0; number < backup->relation_map.parts; number++) {
		layout_relation_map(&verify->repo->layout, backup->branch, backup->label, number, key);
		const struct verify_object *object = verify_table_find(&verify->table, key);

		if (object == NULL)
			TRY(problem_add(&verify->problems, key, OBJECT_RELATION_MAP, VERIFY_MISSING, "it is missing",
					err));
		is_whole = is_whole && object != NULL && !verify_object_is_bad(object);
	}
	if (!is_whole || backup->relation_map.parts == 0 || relation_map_each(verify->repo, backup, &visitor, err))
		return true;
	layout_relation_map(&verify->repo->layout, backup->branch, backup->label, 0, key);
	struct verify_object *object = verify_table_find(&verify->table, key);
	return object != NULL && verify_take_failure(verify, object, err);
}

/* Packs of no backup: of one that is being taken or was interrupted, or whose fact is damaged. */
static bool others_read(struct gathering *gathering, struct error *err)
{
	struct verify *verify = gathering->verify;

	for (size_t i = 0; i < verify->table.count; i++) {
		struct verify_object *object = &verify->table.objects[i];
		struct pack_job job = {.gathering = gathering, .pack = object};

		if (object->kind != OBJECT_PACK || !object->is_wanted || object->is_read ||
		    verify_object_is_bad(object) || !verify_reads(verify, object))
			continue;
		verify_memory_take(verify, VERIFY_PACK_MEMORY);
		TRY(pack_run(&job, false, err));
	}
	return true;
}

/* A damaged fact is the end of its backup too, which is not in the catalog then. */
static bool facts_judge(struct verify *verify, struct error *err)
{
	for (size_t i = 0; i < verify->problems.count; i++) {
		const struct problem *problem = verify->problems.items[i];
		struct object_name name;

		if (problem->kind == OBJECT_FACT && object_name_parse(&verify->repo->layout, problem->key, &name) &&
		    name.label[0] != '\0')
			TRY(problem_needed(&verify->problems, problem->key, name.label, err));
	}
	return true;
}

static bool backups_verify(struct gathering *gathering, struct error *err)
{
	struct verify *verify = gathering->verify;

	for (int i = 0; i < verify->catalog.count; i++) {
		const struct backup *backup = &verify->catalog.backups[i];

		if (!verify->backups[i].is_looked_at)
			continue;
		gathering->backup = (size_t) i;
		for (uint32_t number = 0; number < backup->manifest_parts; number++)
			TRY(part_verify(gathering, number, err));
		TRY(relation_map_verify(verify, backup, err));
	}
	return gathering_flush(gathering, err) && others_read(gathering, err);
}

bool verify_backups(struct verify *verify, struct error *err)
{
	struct gathering *gathering = calloc(1, sizeof(*gathering));
	char prefix[LAYOUT_KEY_SIZE];

	if (gathering != NULL)
		gathering->files = calloc(GATHER_FILES_MAX, sizeof(*gathering->files));
	if (gathering == NULL || gathering->files == NULL) {
		free(gathering);
		return fail(err, ERROR_SYSTEM, "out of memory");
	}
	gathering->verify = verify;
	layout_system_prefix(&verify->repo->layout, prefix);
	gathering->system_size = strlen(prefix);
	bool done = (verify->scope == VERIFY_WAL || backups_verify(gathering, err)) && facts_judge(verify, err);
	gathering_clear(gathering);
	free(gathering->files);
	free(gathering->slices);
	free(gathering->crossings);
	free(gathering);
	return done;
}
