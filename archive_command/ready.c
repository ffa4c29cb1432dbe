#include "ready.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"

#define STATUS_DIRECTORY "archive_status"
#define WAL_DIRECTORY	 "pg_wal"
#define READY_SUFFIX	 ".ready"

struct listing {
	const struct wal_name *asked;
	struct ready *ready;
	bool has_asked;
};

/* "<segment>.ready"? */
static bool ready_parse(const char *text, struct wal_name *name)
{
	char segment[WAL_NAME_MAX + 1];
	struct error ignored = {0};
	size_t length = strlen(text), suffix = strlen(READY_SUFFIX);

	if (length <= suffix || length - suffix > WAL_NAME_MAX || strcmp(text + length - suffix, READY_SUFFIX) != 0)
		return false;
	(void) snprintf(segment, sizeof(segment), "%.*s", (int) (length - suffix), text);
	return wal_name_parse(segment, name, &ignored) && name->kind == WAL_SEGMENT;
}

/* Names come in byte order, which is also the server's. */
static bool ready_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	struct listing *listing = context;
	struct ready *ready = listing->ready;
	struct wal_name name;

	(void) err;
	if (is_directory || !ready_parse(text, &name))
		return true;
	ready->waiting++;
	int order = strcmp(name.text, listing->asked->text);
	if (order == 0)
		listing->has_asked = true;
	if (order > 0 && name.timeline == listing->asked->timeline && ready->count < READY_MAX)
		ready->names[ready->count++] = name;
	return true;
}

static bool is_in_wal_directory(const char *path, int *length)
{
	size_t tail = strlen("/" WAL_DIRECTORY);
	const char *slash = strrchr(path, '/');

	*length = slash == NULL ? 0 : (int) (slash - path);
	if ((size_t) *length == tail - 1)
		return strncmp(path, WAL_DIRECTORY, tail - 1) == 0;
	return (size_t) *length >= tail && strncmp(slash - tail, "/" WAL_DIRECTORY, tail) == 0;
}

bool ready_list(const char *path, const struct wal_name *asked, struct ready *ready, struct error *err)
{
	struct listing listing = {.asked = asked, .ready = ready};
	char directory[PATH_MAX];
	int length;

	ready->waiting = ready->count = 0;
	if (!is_in_wal_directory(path, &length))
		return true;
	int written = snprintf(directory, sizeof(directory), "%.*s/" STATUS_DIRECTORY, length, path);
	if (written < 0 || written >= PATH_MAX)
		return true;
	if (!fs_each(directory, ready_visit, &listing, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	if (!listing.has_asked)
		ready->waiting = ready->count = 0;
	return true;
}
