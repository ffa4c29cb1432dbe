#include "include.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

#define DEPTH_MAX 64
#define READ_SIZE (1 * MiB)

struct including {
	struct intake *intake;
	const char *directory; /* the one that is being visited, absolute */
	int depth;
};

static bool include_entry(struct intake *intake, const char *path, int depth, struct error *err);

/* Absolute, with one '/' between parts and without "." among them. A ".." would not mean what it says behind a link. */
static bool path_make_absolute(const char *given, char path[PATH_MAX], struct error *err)
{
	char whole[2 * PATH_MAX] = "";
	size_t used = 0;

	if (*given != '/' && (getcwd(whole, PATH_MAX) == NULL))
		return fail_errno(err, "could not find out the working directory");
	size_t length = strlen(whole);
	if (snprintf(whole + length, sizeof(whole) - length, "/%s", given) >= (int) (sizeof(whole) - length))
		return fail(err, ERROR_USAGE, "the path given with --include is too long");

	path[0] = '\0';
	for (const char *part = whole; *part != '\0'; part += strcspn(part, "/")) {
		part += strspn(part, "/");
		size_t size = strcspn(part, "/");

		if (size == 0 || (size == 1 && part[0] == '.'))
			continue;
		if (size == 2 && part[0] == '.' && part[1] == '.')
			return fail(err, ERROR_USAGE, "the path \"%s\" given with --include has \"..\" in it", given);
		if (used + size + 2 > MANIFEST_PATH_MAX)
			return fail(err, ERROR_USAGE, "the path \"%s\" given with --include is too long", given);
		path[used++] = '/';
		memcpy(path + used, part, size);
		used += size;
		path[used] = '\0';
	}
	if (used == 0)
		return fail(err, ERROR_USAGE, "--include / would take the whole host");
	return true;
}

static int64_t modified_us(const struct stat *status)
{
	return (int64_t) status->st_mtim.tv_sec * 1000000 + status->st_mtim.tv_nsec / 1000;
}

static bool include_file(struct intake *intake, const char *path, const struct stat *status, struct error *err)
{
	BUF(content, READ_SIZE);

	const struct intake_file file = {MANIFEST_INCLUDED, path + 1, status->st_mode & 07777, modified_us(status),
					 (uint64_t) status->st_size};

	TRY(intake_begin_file(intake, &file, err));
	do {
		buf_clear(&content);
		TRY(fs_read_range(path, intake->entry.size, READ_SIZE, &content, NULL, err));
		TRY(intake_add(intake, buf_bytes(&content), err));
	} while (content.size == READ_SIZE);
	return intake_end_file(intake, err);
}

static bool include_link(struct intake *intake, const char *path, const struct stat *status, struct error *err)
{
	char target[MANIFEST_PATH_MAX];
	ssize_t size = readlink(path, target, sizeof(target));

	if (size < 0)
		return fail_errno(err, "could not read the link \"%s\"", path);
	if ((size_t) size == sizeof(target))
		return fail(err, ERROR_USAGE, "the target of the link \"%s\" is too long", path);
	target[size] = '\0';
	return intake_add_link(intake, MANIFEST_INCLUDED, path + 1, target, modified_us(status), err);
}

static bool include_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct including *including = context;
	char path[PATH_MAX];

	(void) is_directory;
	TRY(path_join(path, including->directory, name, err));
	return include_entry(including->intake, path, including->depth + 1, err);
}

static bool include_directory(struct intake *intake, const char *path, const struct stat *status, int depth,
			      struct error *err)
{
	struct including including = {.intake = intake, .directory = path, .depth = depth};

	if (depth == DEPTH_MAX)
		return fail(err, ERROR_USAGE, "\"%s\" is more than %d directories deep", path, DEPTH_MAX);
	TRY(intake_add_directory(intake, MANIFEST_INCLUDED, path + 1, status->st_mode & 07777, modified_us(status),
				 err));
	return fs_each(path, include_visit, &including, err);
}

static bool include_entry(struct intake *intake, const char *path, int depth, struct error *err)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		return fail_errno(err, "could not look at \"%s\"", path);
	if (S_ISREG(status.st_mode))
		return include_file(intake, path, &status, err);
	if (S_ISDIR(status.st_mode))
		return include_directory(intake, path, &status, depth, err);
	if (S_ISLNK(status.st_mode))
		return include_link(intake, path, &status, err);
	log_warning("\"%s\" is left out: it is neither a file nor a directory nor a link", path);
	return true;
}

bool include_path(struct intake *intake, const char *path, struct error *err)
{
	char absolute[PATH_MAX];

	TRY(path_make_absolute(path, absolute, err));
	if (include_entry(intake, absolute, 0, err))
		return true;
	return fail_in(err, "--include");
}
