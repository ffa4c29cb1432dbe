/* Arrays that grow by one item at a time, doubling.
 *
 * The array, the number of its items and its capacity are the caller's, in a struct of its own; an array that is NULL
 * with a capacity of 0 is an empty one, and free() releases it. A bound on the number is the caller's as well: it knows
 * what it says of too many.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Room for one more than `count` items: ARRAY_RESERVE(&list->items, list->count, &list->capacity, err). The array may
 * move. False: out of memory, and nothing has changed. */
#define ARRAY_RESERVE(items, count, capacity, err) \
	array_reserve((void *) (items), sizeof(**(items)), (size_t) (count), capacity, err)

/* `items` is where the pointer to the array is. */
bool array_reserve(void *items, size_t item_size, size_t count, size_t *capacity, struct error *err) MUST_CHECK;
