#include "storage/remembered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* Of longer listings, and of more, the rest is asked for again. */
#define KEYS_MAX  20000
#define SPANS_MAX 4096

#define BOUND_SIZE (STORAGE_KEY_SIZE_MAX + 2)

struct remembered_key {
	char *key; /* owned */
	uint64_t size;
};

/* Every key that sorts behind `from` and not behind `to`. */
struct span {
	char from[BOUND_SIZE], to[BOUND_SIZE];
	size_t count, capacity;
	struct remembered_key *keys;
};

struct remembered {
	size_t key_count, span_count;
	struct span *spans[SPANS_MAX]; /* owned */
};

bool remembered_new(struct remembered **remembered, struct error *err)
{
	*remembered = calloc(1, sizeof(**remembered));
	if (*remembered == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	return true;
}

void remembered_free(struct remembered *remembered)
{
	if (remembered == NULL)
		return;
	for (size_t i = 0; i < remembered->span_count; i++) {
		for (size_t k = 0; k < remembered->spans[i]->count; k++)
			free(remembered->spans[i]->keys[k].key);
		free(remembered->spans[i]->keys);
		free(remembered->spans[i]);
	}
	free(remembered);
}

/* A listing that is handed on while it is written down. */
struct listing {
	struct remembered *remembered;
	struct span *span; /* NULL: nothing more is written down */
	storage_visit visit;
	void *context;
	bool is_over; /* the visit had enough, or failed */
};

static bool key_note(struct listing *listing, const char *key, uint64_t size)
{
	struct span *span = listing->span;
	struct error ignored;

	TRY(ARRAY_RESERVE(&span->keys, span->count, &span->capacity, &ignored));
	char *copy = listing->remembered->key_count < KEYS_MAX ? strdup(key) : NULL;
	if (copy == NULL)
		return false;
	span->keys[span->count++] = (struct remembered_key){.key = copy, .size = size};
	listing->remembered->key_count++;
	(void) snprintf(span->to, sizeof(span->to), "%s", key);
	return true;
}

static bool listing_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct listing *listing = context;

	if (listing->span != NULL && !key_note(listing, key, size))
		listing->span = NULL; /* it ends with the key before */
	listing->is_over = !listing->visit(listing->context, key, size, err);
	return !listing->is_over;
}

static struct span *span_begin(struct remembered *remembered, const char *from)
{
	if (remembered->span_count == SPANS_MAX)
		return NULL;
	struct span *span = calloc(1, sizeof(*span));

	if (span == NULL)
		return NULL;
	(void) snprintf(span->from, sizeof(span->from), "%s", from);
	(void) snprintf(span->to, sizeof(span->to), "%s", from);
	remembered->spans[remembered->span_count++] = span;
	return span;
}

/* Asks for what sorts behind `from` and has the prefix, the last of which sorts before `end`. */
static bool span_read(struct listing *listing, struct storage *storage, const char *prefix, const char *from,
		      const char *end, struct error *err)
{
	listing->span = span_begin(listing->remembered, from);
	err->kind = ERROR_NONE;
	if (!storage->backend->list(storage, prefix, from, listing_visit, listing, err))
		return false;
	if (!listing->is_over && listing->span != NULL)
		(void) snprintf(listing->span->to, sizeof(listing->span->to), "%s", end);
	return true;
}

static const struct span *span_find(const struct remembered *remembered, const char *from)
{
	for (size_t i = 0; i < remembered->span_count; i++)
		if (strcmp(remembered->spans[i]->from, from) <= 0 && strcmp(remembered->spans[i]->to, from) > 0)
			return remembered->spans[i];
	return NULL;
}

static bool span_recall(const struct span *span, const char *from, const char *end, struct listing *listing,
			struct error *err)
{
	for (size_t i = 0; i < span->count && !listing->is_over; i++)
		if (strcmp(span->keys[i].key, from) > 0 && strcmp(span->keys[i].key, end) < 0)
			listing->is_over =
				!listing->visit(listing->context, span->keys[i].key, span->keys[i].size, err);
	return !listing->is_over;
}

bool remembered_list(struct remembered *remembered, struct storage *storage, const char *prefix, const char *after,
		     storage_visit visit, void *context, struct error *err)
{
	struct listing listing = {.remembered = remembered, .visit = visit, .context = context};
	char from[BOUND_SIZE], end[BOUND_SIZE];
	size_t length = strlen(prefix);

	/* What begins with "x/" sorts behind that and before "x0". */
	if (length == 0 || prefix[length - 1] != '/')
		return storage->backend->list(storage, prefix, after, visit, context, err);
	(void) snprintf(from, sizeof(from), "%s", strcmp(after, prefix) > 0 ? after : prefix);
	(void) snprintf(end, sizeof(end), "%s", prefix);
	end[length - 1] = '/' + 1;
	while (strcmp(from, end) < 0) {
		const struct span *span = span_find(remembered, from);

		if (span == NULL)
			return span_read(&listing, storage, prefix, from, end, err);
		if (!span_recall(span, from, end, &listing, err))
			return false;
		(void) snprintf(from, sizeof(from), "%s", span->to);
	}
	return true;
}
