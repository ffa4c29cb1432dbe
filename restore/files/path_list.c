#include "files/path_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define TEXT_SIZE_MAX (4 * GiB)

void path_list_init(struct path_list *list)
{
	*list = (struct path_list){.text.size_max = TEXT_SIZE_MAX};
}

void path_list_release(struct path_list *list)
{
	buf_release(&list->text);
	free(list->offsets);
	list->offsets = NULL;
	list->count = list->capacity = 0;
}

bool path_list_add(struct path_list *list, const char *path, bool is_directory, struct error *err)
{
	size_t offset = list->text.size;

	TRY(ARRAY_RESERVE(&list->offsets, list->count, &list->capacity, err));
	TRY(buf_append_text(&list->text, path, err));
	TRY(buf_append_text(&list->text, is_directory ? "/" : "", err));
	TRY(buf_append(&list->text, bytes_of("", 1), err));
	list->offsets[list->count++] = offset;
	return true;
}

static const char *path_at(const struct path_list *list, size_t index)
{
	return (const char *) list->text.data + list->offsets[index];
}

static int offset_order(const void *left, const void *right, void *text)
{
	return strcmp((const char *) text + *(const size_t *) left, (const char *) text + *(const size_t *) right);
}

bool path_list_sort(struct path_list *list, struct error *err)
{
	if (list->count > 0)
		qsort_r(list->offsets, list->count, sizeof(*list->offsets), offset_order, list->text.data);
	for (size_t i = 1; i < list->count; i++)
		if (strcmp(path_at(list, i - 1), path_at(list, i)) == 0)
			return fail(err, ERROR_CORRUPT, "the backup has \"%s\" twice", path_at(list, i));
	return true;
}

/* The first `size` bytes of a path with those of `path`, which then may end or not. */
static bool path_list_find(const struct path_list *list, const char *path, size_t size)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strncmp(path_at(list, middle), path, size);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool path_list_has_file(const struct path_list *list, const char *path)
{
	return path_list_find(list, path, strlen(path) + 1);
}

bool path_list_has_directory(const struct path_list *list, const char *path)
{
	char with_slash[4096 + 2];
	size_t length = strlen(path);

	if (length + 2 > sizeof(with_slash))
		return false;
	memcpy(with_slash, path, length);
	memcpy(with_slash + length, "/", 2);
	return path_list_find(list, with_slash, length + 1);
}
