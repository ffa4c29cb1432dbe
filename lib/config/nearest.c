#include "config/nearest.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_SIZE 40

struct nearest nearest_init(const char *typed)
{
	return (struct nearest){.typed = typed};
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Underscores and capitals are the commonest slips: they cost nothing. */
static bool same_letter(char a, char b)
{
	a = a == '_' ? '-' : a;
	b = b == '_' ? '-' : b;
	return tolower((unsigned char) a) == tolower((unsigned char) b);
}

/* Letters to insert, delete, replace or exchange with their neighbour: "optimal string alignment", three rows of the
 * usual table. Both are shorter than NAME_MAX_SIZE. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][NAME_MAX_SIZE + 1];
	size_t length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		rows[0][j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t replaced = above[j - 1] + (same_letter(a[i - 1], b[j - 1]) ? 0 : 1);

			row[j] = smaller(replaced, smaller(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
				row[j] = smaller(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[strlen(a) % 3][length];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	size_t length = strlen(nearest->typed);

	if (length < 2 || length >= NAME_MAX_SIZE || strlen(name) >= NAME_MAX_SIZE)
		return;
	size_t distance = edit_distance(nearest->typed, name);
	/* "endpoint" for "s3-endpoint": a part of the name, however much is missing, is near. */
	if (distance > 3 && length >= 4 && strstr(name, nearest->typed) != NULL)
		distance = 3;
	if (distance > 3 || distance * 2 > length || (nearest->name != NULL && distance >= nearest->distance))
		return;
	nearest->name = name;
	nearest->distance = distance;
}
