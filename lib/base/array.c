#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 16

bool array_reserve(void *items, size_t item_size, size_t count, size_t *capacity, struct error *err)
{
	size_t grown = *capacity == 0 ? CAPACITY_FIRST : 2 * *capacity;
	bool is_possible = *capacity <= SIZE_MAX / 2 && grown <= SIZE_MAX / item_size;
	void *array, *moved;

	if (count < *capacity)
		return true;
	/* Copied, because it is not declared as a void *: to access it as one would break the aliasing rules. That all
	 * pointers to objects look alike is what POSIX systems have in common. */
	memcpy((void *) &array, items, sizeof(array));
	moved = is_possible ? realloc(array, grown * item_size) : NULL;
	if (moved == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	memcpy(items, (void *) &moved, sizeof(moved));
	*capacity = grown;
	return true;
}
