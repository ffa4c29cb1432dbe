#include "repo/wal_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"

/* Texts that are kept, since a stretch of WAL is often looked at twice. One block has 17 MB at most, usually 0.5. */
#define CACHE_SIZE_MAX (32 * MiB)
/* Objects of one block. There is one, or a second when segments came later than it or one was damaged. */
#define BLOCK_OBJECTS_MAX 16
/* Objects of one timeline: of a thousand segments a day in 700 years. */
#define OBJECTS_MAX (1u << 20)

struct index_object {
	char *key; /* owned */
	uint64_t block;
	bool is_damaged;
	struct wal_index_text *text; /* owned; NULL: not read */
	uint64_t used;		     /* when, in questions asked */
};

/* The objects of one timeline in one branch. */
struct index_list {
	uint32_t timeline;
	const char *branch;
	size_t count, capacity;
	struct index_object *objects;
};

struct wal_index {
	struct repo *repo;
	const struct wal_path *path;
	uint32_t segment_size;
	uint64_t from;
	size_t list_count, list_capacity;
	struct index_list **lists; /* owned, as all below */
	size_t cached_size;
	uint64_t questions;
};

bool wal_index_open(struct repo *repo, const struct wal_path *path, uint32_t segment_size, uint64_t from,
		    struct wal_index **index, struct error *err)
{
	struct wal_index *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	made->repo = repo;
	made->path = path;
	made->segment_size = segment_size;
	made->from = from;
	*index = made;
	return true;
}

static void object_forget(struct wal_index *index, struct index_object *object)
{
	if (object->text == NULL)
		return;
	index->cached_size -= object->text->text.size;
	wal_index_text_release(object->text);
	free(object->text);
	object->text = NULL;
}

static void list_free(struct wal_index *index, struct index_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		object_forget(index, &list->objects[i]);
		free(list->objects[i].key);
	}
	free(list->objects);
	free(list);
}

void wal_index_close(struct wal_index *index)
{
	if (index == NULL)
		return;
	for (size_t i = 0; i < index->list_count; i++)
		list_free(index, index->lists[i]);
	free((void *) index->lists);
	free(index);
}

/* ------------------------------------------------------------------------------------------------- which there are */

struct listing {
	struct wal_index *index;
	struct index_list *list;
};

static bool listing_add(void *context, const char *key, uint64_t size, struct error *err)
{
	struct listing *listing = context;
	struct index_list *list = listing->list;
	struct wal_name first;

	(void) size;
	if (!layout_parse_wal_index(&listing->index->path->layout, list->branch, key, &first))
		return true;
	uint64_t number = wal_segment_number(&first, listing->index->segment_size);
	if (number % WAL_INDEX_BLOCK != 0)
		return true;
	if (list->count == OBJECTS_MAX) {
		err->kind = ERROR_NONE;
		return false;
	}
	TRY(ARRAY_RESERVE(&list->objects, list->count, &list->capacity, err));
	char *copy = strdup(key);
	if (copy == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	list->objects[list->count++] = (struct index_object){.key = copy, .block = number / WAL_INDEX_BLOCK};
	return true;
}

static bool list_read(struct wal_index *index, struct index_list *list, struct error *err)
{
	struct listing listing = {.index = index, .list = list};
	char prefix[LAYOUT_KEY_SIZE], after[LAYOUT_KEY_SIZE];
	struct wal_name first;

	wal_name_of_segment(list->timeline, index->from - index->from % WAL_INDEX_BLOCK, index->segment_size, &first);
	layout_wal_index_prefix(&index->path->layout, list->branch, list->timeline, prefix);
	layout_wal_index_from(&index->path->layout, list->branch, &first, after);
	return storage_list(index->repo->storage, prefix, after, listing_add, &listing, err);
}

/* Each is listed once. */
static bool list_find(struct wal_index *index, const char *branch, uint32_t timeline, struct index_list **found,
		      struct error *err)
{
	for (size_t i = 0; i < index->list_count; i++) {
		*found = index->lists[i];
		if ((*found)->timeline == timeline && strcmp((*found)->branch, branch) == 0)
			return true;
	}
	TRY(ARRAY_RESERVE(&index->lists, index->list_count, &index->list_capacity, err));
	*found = calloc(1, sizeof(**found));
	if (*found == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	index->lists[index->list_count++] = *found;
	(*found)->branch = branch;
	(*found)->timeline = timeline;
	return list_read(index, *found, err);
}

/* The objects [*first, *first + *count) of one block: keys sort by block. */
static void block_find(const struct index_list *list, uint64_t block, size_t *first, size_t *count)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->objects[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	*first = low;
	for (*count = 0; low + *count < list->count && list->objects[low + *count].block == block; (*count)++)
		if (*count == BLOCK_OBJECTS_MAX)
			return;
}

/* ------------------------------------------------------------------------------------------------- what they say */

/* Without an index the same is read from the segments, so only what leaves in doubt what is there is a failure. */
static bool is_of_one_object(enum error_kind kind)
{
	return kind == ERROR_CORRUPT || kind == ERROR_NOT_FOUND || kind == ERROR_DENIED || kind == ERROR_USAGE;
}

static bool object_open_text(struct wal_index *index, struct index_object *object, struct error *err)
{
	BUF(text, WAL_INDEX_TEXT_MAX);
	struct wal_index_text *opened;

	TRY(repo_get(index->repo, object->key, OBJECT_WAL_INDEX, &text, err));
	opened = calloc(1, sizeof(*opened));
	if (opened == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (wal_index_text_open(opened, &text, object->block, index->segment_size, err)) {
		object->text = opened;
		index->cached_size += opened->text.size;
		return true;
	}
	wal_index_text_release(opened);
	free(opened);
	return fail_in(err, "the object \"%s\"", object->key);
}

static bool object_read(struct wal_index *index, struct index_object *object, struct error *err)
{
	object->used = ++index->questions;
	if (object->text != NULL || object->is_damaged || object_open_text(index, object, err))
		return true;
	if (!is_of_one_object(err->kind))
		return false;
	object->is_damaged = true;
	log_warning("an index over WAL cannot be read, so the segments' own summaries are: %s", err->text);
	log_hint("\"pitr-catalog rebuild\" makes another one.");
	return true;
}

/* Those that were not used for longest go first, but never the one that is in use. */
static void cache_trim(struct wal_index *index)
{
	while (index->cached_size > CACHE_SIZE_MAX) {
		struct index_object *oldest = NULL;
		int count = 0;

		for (size_t i = 0; i < index->list_count; i++)
			for (size_t k = 0; k < index->lists[i]->count; k++) {
				struct index_object *object = &index->lists[i]->objects[k];

				count += object->text != NULL ? 1 : 0;
				if (object->text != NULL && (oldest == NULL || object->used < oldest->used))
					oldest = object;
			}
		if (count < 2)
			return;
		object_forget(index, oldest);
	}
}

/* Reads those of a block, and finds the youngest that knows the segment. */
static bool block_ask(struct wal_index *index, struct index_list *list, uint64_t number, const struct wal_name *name,
		      uint32_t stored_size, json_t **meta, struct error *err)
{
	size_t first, count;
	int64_t made_us = -1;

	block_find(list, number / WAL_INDEX_BLOCK, &first, &count);
	for (size_t i = first; i < first + count; i++) {
		struct index_object *object = &list->objects[i];
		json_t *found = NULL;

		TRY(object_read(index, object, err));
		if (object->text == NULL || object->text->made_us <= made_us)
			continue;
		if (!wal_index_text_find(object->text, number, name, stored_size, &found, err)) {
			log_debug("the object \"%s\": %s", object->key, err->text);
			continue;
		}
		if (found == NULL)
			continue;
		made_us = object->text->made_us;
		json_decref(*meta);
		*meta = found;
	}
	cache_trim(index);
	return true;
}

bool wal_index_meta(struct wal_index *index, uint64_t number, uint32_t stored_size, json_t **meta, struct error *err)
{
	struct index_list *list = NULL;
	struct wal_name name;

	*meta = NULL;
	if (number < index->from)
		return true;
	wal_path_name(index->path, number, index->segment_size, &name);
	TRY(list_find(index, layout_owner(&index->path->layout, &name)->name, name.timeline, &list, err));
	return block_ask(index, list, number, &name, stored_size, meta, err);
}

bool wal_index_find(struct wal_index *index, uint64_t number, uint32_t stored_size, struct wal_entry *entry,
		    bool *found, struct error *err)
{
	json_t *meta JSON_CLEANUP = NULL;
	struct wal_name name;

	*found = false;
	TRY(wal_index_meta(index, number, stored_size, &meta, err));
	if (meta == NULL)
		return true;
	wal_path_name(index->path, number, index->segment_size, &name);
	*found = wal_entry_decode(meta, &name, entry, err);
	if (!*found)
		log_debug("an index over WAL: %s", err->text);
	return true;
}

bool wal_index_last_block(struct wal_index *index, uint32_t timeline, bool *has_block, uint64_t *block,
			  struct error *err)
{
	struct index_list *list = NULL;

	TRY(list_find(index, layout_branch(&index->path->layout), timeline, &list, err));
	*has_block = list->count > 0;
	if (*has_block)
		*block = list->objects[list->count - 1].block;
	return true;
}

bool wal_index_read_block(struct wal_index *index, uint32_t timeline, uint64_t block, struct wal_index_objects *objects,
			  struct error *err)
{
	struct index_list *list = NULL;
	size_t first, count;

	*objects = (struct wal_index_objects){0};
	TRY(list_find(index, layout_branch(&index->path->layout), timeline, &list, err));
	block_find(list, block, &first, &count);
	for (size_t i = first; i < first + count; i++) {
		struct index_object *object = &list->objects[i];

		TRY(object_read(index, object, err));
		objects->count++;
		objects->damaged += object->is_damaged ? 1 : 0;
		if (object->text != NULL && object->text->made_us > objects->made_us)
			objects->made_us = object->text->made_us;
	}
	return true;
}
