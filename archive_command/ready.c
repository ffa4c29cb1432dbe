#include "ready.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "pg/data_directory.h"

#define STATUS_DIRECTORY "archive_status"
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

bool ready_list(const char *path, const struct wal_name *asked, struct ready *ready, struct error *err)
{
	struct listing listing = {.asked = asked, .ready = ready};
	char directory[PATH_MAX];

	ready->waiting = ready->count = 0;
	if (!data_directory_is_told(path))
		return true;
	int written = snprintf(directory, sizeof(directory), "%.*s/" STATUS_DIRECTORY,
			       (int) (strrchr(path, '/') - path), path);
	if (written < 0 || written >= PATH_MAX)
		return true;
	if (!fs_each(directory, ready_visit, &listing, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	if (!listing.has_asked)
		ready->waiting = ready->count = 0;
	return true;
}
