/* The files and directories of a backup, to be asked what belongs into a directory and what does not. Exact, and some
 * forty bytes for each path.
 */
#pragma once

#include "base/buf.h"

struct path_list {
	struct buf text; /* the paths, each with a zero behind it; a directory's with a slash at its end */
	size_t *offsets; /* of each in `text`; owned */
	size_t count, capacity;
};

void path_list_init(struct path_list *list);
void path_list_release(struct path_list *list);
#define PATH_LIST_CLEANUP __attribute__((cleanup(path_list_release)))

bool path_list_add(struct path_list *list, const char *path, bool is_directory, struct error *err) MUST_CHECK;
/* When all have been added, and before it is asked. CORRUPT when one is there twice. */
bool path_list_sort(struct path_list *list, struct error *err) MUST_CHECK;

bool path_list_has_file(const struct path_list *list, const char *path);
/* Also one that is only on the way to another. */
bool path_list_has_directory(const struct path_list *list, const char *path);
