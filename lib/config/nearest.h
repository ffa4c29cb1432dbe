/* "Did you mean …?": which of the known names is nearest to the one that was typed.
 * Knows names only, nothing of what they stand for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct nearest {
	const char *typed;
	const char *name; /* the best so far; NULL: none is near enough */
	size_t distance;
};

struct nearest nearest_init(const char *typed);
void nearest_try(struct nearest *nearest, const char *name);
