#include "storage/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "storage/backend.h"

#define OBJECTS_MAX ((size_t) 1 << 20)

struct memory_object {
	char *key;
	struct buf content;
};

struct memory {
	struct storage storage;
	pthread_mutex_t mutex;
	struct memory_object *objects; /* in byte order of the keys; under mutex, as count and capacity */
	size_t count;
	size_t capacity;
};

static struct memory *memory_of(struct storage *storage)
{
	return (struct memory *) storage;
}

/* The first position whose key is not less than `key`. */
static size_t memory_position(const struct memory *memory, const char *key)
{
	size_t low = 0;
	size_t high = memory->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(memory->objects[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct memory_object *memory_find(struct memory *memory, const char *key, struct error *err)
{
	size_t position = memory_position(memory, key);

	if (position < memory->count && strcmp(memory->objects[position].key, key) == 0)
		return &memory->objects[position];
	(void) fail(err, ERROR_NOT_FOUND, "there is no object \"%s\" in memory", key);
	return NULL;
}

static void memory_close(struct storage *storage)
{
	struct memory *memory = memory_of(storage);

	for (size_t i = 0; i < memory->count; i++) {
		free(memory->objects[i].key);
		buf_release(&memory->objects[i].content);
	}
	free(memory->objects);
	(void) pthread_mutex_destroy(&memory->mutex);
	free(memory);
}

static bool memory_create(struct storage *storage, struct error *err)
{
	(void) storage;
	(void) err;
	return true;
}

static bool memory_insert(struct memory *memory, const char *key, struct bytes content, struct error *err)
{
	size_t position = memory_position(memory, key);
	struct memory_object object = {.content = {.size_max = content.size}};

	if (position < memory->count && strcmp(memory->objects[position].key, key) == 0)
		return fail(err, ERROR_EXISTS, "there is an object \"%s\" in memory already", key);
	if (memory->count == OBJECTS_MAX)
		return fail(err, ERROR_SYSTEM, "could not store an object: there are %zu in memory", memory->count);
	if (!ARRAY_RESERVE(&memory->objects, memory->count, &memory->capacity, err))
		return fail_in(err, "could not store an object");
	TRY(buf_append(&object.content, content, err));
	object.key = strdup(key);
	if (object.key == NULL) {
		buf_release(&object.content);
		return fail(err, ERROR_SYSTEM, "could not store an object: out of memory");
	}
	memmove(memory->objects + position + 1, memory->objects + position,
		(memory->count - position) * sizeof(*memory->objects));
	memory->objects[position] = object;
	memory->count++;
	return true;
}

static bool memory_put(struct storage *storage, const char *key, struct bytes content, struct error *err)
{
	struct memory *memory = memory_of(storage);

	(void) pthread_mutex_lock(&memory->mutex);
	bool done = memory_insert(memory, key, content, err);
	(void) pthread_mutex_unlock(&memory->mutex);
	return done;
}

static bool memory_sync(struct storage *storage, const char *key, struct error *err)
{
	struct memory *memory = memory_of(storage);

	(void) pthread_mutex_lock(&memory->mutex);
	bool is_there = memory_find(memory, key, err) != NULL;
	(void) pthread_mutex_unlock(&memory->mutex);
	return is_there;
}

static bool memory_copy(struct memory *memory, const char *key, uint64_t offset, size_t size, struct buf *content,
			uint64_t *object_size, struct error *err)
{
	const struct memory_object *object = memory_find(memory, key, err);

	if (object == NULL)
		return false;
	*object_size = object->content.size;
	if (offset >= object->content.size)
		return true;
	if (size > object->content.size - offset)
		size = (size_t) (object->content.size - offset);
	return buf_append(content, bytes_slice(buf_bytes(&object->content), (size_t) offset, size), err);
}

static bool memory_get_range(struct storage *storage, const char *key, uint64_t offset, size_t size,
			     struct buf *content, uint64_t *object_size, struct error *err)
{
	struct memory *memory = memory_of(storage);

	(void) pthread_mutex_lock(&memory->mutex);
	bool done = memory_copy(memory, key, offset, size, content, object_size, err);
	(void) pthread_mutex_unlock(&memory->mutex);
	return done;
}

static bool memory_get(struct storage *storage, const char *key, struct buf *content, struct error *err)
{
	uint64_t object_size;

	return memory_get_range(storage, key, 0, SIZE_MAX, content, &object_size, err);
}

/* Copies the next key behind *after that is >= prefix; false at the end. */
static bool memory_next(struct memory *memory, const char *prefix, char after[STORAGE_KEY_SIZE_MAX + 1], uint64_t *size)
{
	bool found = false;

	(void) pthread_mutex_lock(&memory->mutex);
	size_t position = memory_position(memory, strcmp(prefix, after) > 0 ? prefix : after);
	if (position < memory->count && strcmp(memory->objects[position].key, after) == 0)
		position++;
	if (position < memory->count) {
		const struct memory_object *object = &memory->objects[position];

		found = strncmp(object->key, prefix, strlen(prefix)) == 0;
		memcpy(after, object->key, strlen(object->key) + 1);
		*size = object->content.size;
	}
	(void) pthread_mutex_unlock(&memory->mutex);
	return found;
}

static bool memory_list(struct storage *storage, const char *prefix, const char *after, storage_visit visit,
			void *context, struct error *err)
{
	char key[STORAGE_KEY_SIZE_MAX + 1];
	uint64_t size;

	memcpy(key, after, strlen(after) + 1);
	while (memory_next(memory_of(storage), prefix, key, &size)) /* unlocked during the visit, which may call us */
		TRY(visit(context, key, size, err));
	return true;
}

static bool memory_remove(struct storage *storage, const char *key, struct error *err)
{
	struct memory *memory = memory_of(storage);

	(void) pthread_mutex_lock(&memory->mutex);
	struct memory_object *object = memory_find(memory, key, err);
	if (object != NULL) {
		size_t position = (size_t) (object - memory->objects);

		free(object->key);
		buf_release(&object->content);
		memory->count--;
		memmove(object, object + 1, (memory->count - position) * sizeof(*object));
	}
	(void) pthread_mutex_unlock(&memory->mutex);
	return true;
}

static const struct storage_backend memory_backend = {
	.close = memory_close,
	.create = memory_create,
	.put = memory_put,
	.sync = memory_sync,
	.get = memory_get,
	.get_range = memory_get_range,
	.list = memory_list,
	.remove = memory_remove,
};

bool storage_open_memory(struct storage **storage, struct error *err)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	*storage = NULL;
	if (memory == NULL || pthread_mutex_init(&memory->mutex, NULL) != 0) {
		free(memory);
		return fail(err, ERROR_SYSTEM, "could not open a storage in memory: out of memory");
	}
	memory->storage = (struct storage){.backend = &memory_backend, .url = "memory:"};
	*storage = &memory->storage;
	return true;
}
