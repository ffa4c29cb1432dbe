#include "verify_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

#define TEXT_SIZE (1 * MiB)

struct listing {
	struct repo *repo;
	struct verify_table *table;
	uint32_t part, parts;
};

/* A copy of the name, in blocks: millions of them. */
static bool text_add(struct verify_table *table, const char *key, const char **copy, struct error *err)
{
	size_t size = strlen(key) + 1;

	if (table->text_count == 0 || TEXT_SIZE - table->text_used < size) {
		TRY(ARRAY_RESERVE(&table->texts, table->text_count, &table->text_capacity, err));
		char *text = malloc(TEXT_SIZE);
		if (text == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
		table->texts[table->text_count++] = text;
		table->text_used = 0;
	}
	char *place = table->texts[table->text_count - 1] + table->text_used;
	memcpy(place, key, size);
	table->text_used += size;
	*copy = place;
	return true;
}

static bool part_of(const char *key, uint32_t parts, uint32_t *part, struct error *err)
{
	uint8_t digest[SHA256_SIZE];

	*part = 1;
	if (parts == 1)
		return true;
	TRY(sha256(bytes_of(key, strlen(key)), digest, err));
	*part = (uint32_t) (load_u64(digest) % parts) + 1;
	return true;
}

static bool table_extend(struct verify_table *table, struct error *err)
{
	if (table->count == VERIFY_OBJECTS_MAX)
		return fail(err, ERROR_USAGE, "the repository has more than %d objects", VERIFY_OBJECTS_MAX);
	return ARRAY_RESERVE(&table->objects, table->count, &table->capacity, err);
}

static bool listing_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct listing *listing = context;
	struct verify_table *table = listing->table;
	struct object_name name;
	uint32_t part;

	if (!object_name_parse(&listing->repo->layout, key, &name))
		return true;
	TRY(table_extend(table, err));
	struct verify_object *object = &table->objects[table->count];
	*object = (struct verify_object){.size = size, .kind = name.kind};
	TRY(text_add(table, key, &object->key, err));
	TRY(part_of(key, listing->parts, &part, err));
	object->is_in_part = part == listing->part;
	table->count++;
	return true;
}

static int object_order(const void *left, const void *right)
{
	const struct verify_object *a = left, *b = right;

	return strcmp(a->key, b->key);
}

bool verify_table_read(struct repo *repo, uint32_t part, uint32_t parts, struct verify_table *table, struct error *err)
{
	struct listing listing = {.repo = repo, .table = table, .part = part, .parts = parts};
	char prefix[LAYOUT_KEY_SIZE];

	/* All below the cluster: other systems are passed over by their names. */
	layout_cluster_prefix(&repo->layout, prefix);
	TRY(storage_list(repo->storage, prefix, "", listing_visit, &listing, err));
	if (table->count > 0)
		qsort(table->objects, table->count, sizeof(*table->objects), object_order);
	return true;
}

void verify_table_release(struct verify_table *table)
{
	for (size_t i = 0; i < table->text_count; i++)
		free(table->texts[i]);
	free((void *) table->texts);
	free(table->objects);
	*table = (struct verify_table){0};
}

struct verify_object *verify_table_find(const struct verify_table *table, const char *key)
{
	const struct verify_object wanted = {.key = key};

	if (table->count == 0)
		return NULL;
	return bsearch(&wanted, table->objects, table->count, sizeof(*table->objects), object_order);
}

bool verify_object_is_bad(const struct verify_object *object)
{
	return object != NULL && object->state >= VERIFY_DAMAGED;
}
