#include "storage/faulty.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/backend.h"

struct faulty {
	struct storage storage;
	struct storage *inner;
	pthread_mutex_t mutex;
	struct faulty_order order; /* under mutex, as all below */
	bool has_order;
	unsigned matched;
	unsigned counts[FAULTY_ANY + 1];
};

static struct faulty *faulty_of(struct storage *storage)
{
	return (struct faulty *) storage;
}

/* Counts a call; true when it is one that shall fail, with the order in *order. */
static bool faulty_strikes(struct faulty *faulty, enum faulty_call call, const char *key, struct faulty_order *order)
{
	bool strikes = false;

	(void) pthread_mutex_lock(&faulty->mutex);
	faulty->counts[call]++;
	faulty->counts[FAULTY_ANY]++;
	*order = faulty->order;
	if (faulty->has_order && (order->call == call || order->call == FAULTY_ANY) &&
	    (order->key_part == NULL || strstr(key, order->key_part) != NULL)) {
		strikes = faulty->matched >= order->skip && faulty->matched - order->skip < order->times;
		faulty->matched++;
	}
	(void) pthread_mutex_unlock(&faulty->mutex);
	return strikes;
}

static bool faulty_fail(const struct faulty_order *order, const char *key, struct error *err)
{
	return fail(err, order->kind, "\"%s\" failed as ordered", key);
}

static void faulty_close(struct storage *storage)
{
	struct faulty *faulty = faulty_of(storage);

	(void) pthread_mutex_destroy(&faulty->mutex);
	free(faulty);
}

/* After a real call that the order leaves undisturbed, succeeds or fails as it did; BEFORE has been handled. */
#define FAULTY_PASS(faulty, call, key, inner_call)                      \
	struct faulty_order order;                                      \
	bool strikes = faulty_strikes((faulty), (call), (key), &order); \
	if (strikes && order.harm != FAULTY_AFTER)                      \
		return faulty_fail(&order, (key), err);                 \
	TRY(inner_call);                                                \
	return strikes ? faulty_fail(&order, (key), err) : true

static bool faulty_create(struct storage *storage, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);

	FAULTY_PASS(faulty, FAULTY_CREATE, "", storage_create(faulty->inner, err));
}

static bool faulty_put(struct storage *storage, const char *key, struct bytes content, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);

	FAULTY_PASS(faulty, FAULTY_PUT, key, storage_put(faulty->inner, key, content, err));
}

static bool faulty_sync(struct storage *storage, const char *key, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);

	FAULTY_PASS(faulty, FAULTY_SYNC, key, storage_sync(faulty->inner, key, err));
}

static bool faulty_remove(struct storage *storage, const char *key, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);

	FAULTY_PASS(faulty, FAULTY_REMOVE, key, storage_remove(faulty->inner, key, err));
}

/* Spoils what was appended to `content` behind `start`, or fails. */
static bool faulty_spoil(const struct faulty_order *order, const char *key, struct buf *content, size_t start,
			 struct error *err)
{
	size_t size = content->size - start;

	if (order->harm == FAULTY_AFTER)
		return faulty_fail(order, key, err);
	if (size > 0 && order->harm == FAULTY_CUT)
		content->size--;
	if (size > 0 && order->harm == FAULTY_FLIP)
		content->data[start + size / 2] ^= 0x10;
	return true;
}

static bool faulty_harms_content(const struct faulty_order *order)
{
	return order->harm == FAULTY_AFTER || order->harm == FAULTY_CUT || order->harm == FAULTY_FLIP;
}

static bool faulty_get(struct storage *storage, const char *key, struct buf *content, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);
	struct faulty_order order;
	bool strikes = faulty_strikes(faulty, FAULTY_GET, key, &order);
	size_t start = content->size;

	if (strikes && !faulty_harms_content(&order))
		return faulty_fail(&order, key, err);
	TRY(storage_get(faulty->inner, key, content, err));
	return strikes ? faulty_spoil(&order, key, content, start, err) : true;
}

static bool faulty_get_range(struct storage *storage, const char *key, uint64_t offset, size_t size,
			     struct buf *content, uint64_t *object_size, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);
	struct faulty_order order;
	bool strikes = faulty_strikes(faulty, FAULTY_GET, key, &order);
	size_t start = content->size;

	if (strikes && !faulty_harms_content(&order))
		return faulty_fail(&order, key, err);
	TRY(storage_get_range(faulty->inner, key, offset, size, content, object_size, err));
	return strikes ? faulty_spoil(&order, key, content, start, err) : true;
}

struct faulty_listing {
	storage_visit visit;
	void *context;
	bool hides;
	bool seen_enough;
	unsigned count;
};

static bool faulty_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct faulty_listing *listing = context;

	if (listing->hides && listing->count++ % 2 == 0)
		return true;
	if (listing->visit(listing->context, key, size, err))
		return true;
	listing->seen_enough = true;
	return false;
}

static bool faulty_list(struct storage *storage, const char *prefix, const char *after, storage_visit visit,
			void *context, struct error *err)
{
	struct faulty *faulty = faulty_of(storage);
	struct faulty_order order;
	bool strikes = faulty_strikes(faulty, FAULTY_LIST, prefix, &order);
	struct faulty_listing listing = {visit, context, strikes && order.harm == FAULTY_HIDE, false, 0};

	if (strikes && order.harm != FAULTY_AFTER && order.harm != FAULTY_HIDE)
		return faulty_fail(&order, prefix, err);
	TRY(storage_list(faulty->inner, prefix, after, faulty_visit, &listing, err));
	if (listing.seen_enough)
		return false; /* with ERROR_NONE, as the visit left it */
	return strikes && order.harm == FAULTY_AFTER ? faulty_fail(&order, prefix, err) : true;
}

static const struct storage_backend faulty_backend = {
	.close = faulty_close,
	.create = faulty_create,
	.put = faulty_put,
	.sync = faulty_sync,
	.get = faulty_get,
	.get_range = faulty_get_range,
	.list = faulty_list,
	.remove = faulty_remove,
};

bool storage_open_faulty(struct storage *inner, struct storage **storage, struct error *err)
{
	struct faulty *faulty = calloc(1, sizeof(*faulty));

	*storage = NULL;
	if (faulty == NULL || pthread_mutex_init(&faulty->mutex, NULL) != 0) {
		free(faulty);
		return fail(err, ERROR_SYSTEM, "could not open a faulty storage: out of memory");
	}
	faulty->inner = inner;
	faulty->storage = (struct storage){.backend = &faulty_backend, .url = storage_url(inner)};
	*storage = &faulty->storage;
	return true;
}

void faulty_order(struct storage *storage, const struct faulty_order *order)
{
	struct faulty *faulty = faulty_of(storage);

	(void) pthread_mutex_lock(&faulty->mutex);
	faulty->has_order = order != NULL;
	if (order != NULL)
		faulty->order = *order;
	faulty->matched = 0;
	memset(faulty->counts, 0, sizeof(faulty->counts));
	(void) pthread_mutex_unlock(&faulty->mutex);
}

unsigned faulty_count(struct storage *storage, enum faulty_call call)
{
	struct faulty *faulty = faulty_of(storage);

	(void) pthread_mutex_lock(&faulty->mutex);
	unsigned count = faulty->counts[call];
	(void) pthread_mutex_unlock(&faulty->mutex);
	return count;
}
