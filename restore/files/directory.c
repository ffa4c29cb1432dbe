#include "files/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

/* Absolute, and without slashes at the end. */
static bool path_make_absolute(const char *path, char absolute[PATH_MAX], struct error *err)
{
	char here[PATH_MAX];

	if (*path == '/') {
		TRY(path_join(absolute, "/", path + strspn(path, "/"), err));
	} else {
		if (getcwd(here, sizeof(here)) == NULL)
			return fail_errno(err, "could not tell the working directory");
		TRY(path_join(absolute, here, path, err));
	}
	for (size_t length = strlen(absolute); length > 1 && absolute[length - 1] == '/'; length--)
		absolute[length - 1] = '\0';
	return true;
}

/* Appends a part of a path that is not there yet. */
static bool path_append(char path[PATH_MAX], const char *rest, struct error *err)
{
	char component[NAME_MAX + 1], joined[PATH_MAX];

	for (size_t size; *(rest += strspn(rest, "/")) != '\0'; rest += size) {
		size = strcspn(rest, "/");
		if (size > NAME_MAX)
			return fail(err, ERROR_USAGE, "a part of the path \"%.300s\" is too long", rest);
		memcpy(component, rest, size);
		component[size] = '\0';
		if (strcmp(component, ".") == 0)
			continue;
		if (strcmp(component, "..") == 0)
			return fail(err, ERROR_USAGE, "a directory above \"..\" in the path does not exist: \"%.300s\"",
				    path);
		TRY(path_join(joined, path, component, err));
		memcpy(path, joined, strlen(joined) + 1);
	}
	return true;
}

bool directory_resolve(const char *path, char resolved[PATH_MAX], size_t *existing_length, struct error *err)
{
	char absolute[PATH_MAX], above[PATH_MAX];
	struct stat status;

	TRY(path_make_absolute(path, absolute, err));
	size_t length = strlen(absolute);
	memcpy(above, absolute, length + 1);
	while (realpath(above, resolved) == NULL) {
		if (errno != ENOENT || length <= 1)
			return fail_errno(err, "could not resolve \"%s\"", path);
		if (lstat(above, &status) == 0)
			return fail(err, ERROR_USAGE, "the link \"%s\" leads to what is not there", above);
		while (length > 1 && above[length - 1] != '/')
			length--;
		while (length > 1 && above[length - 1] == '/')
			length--;
		above[length] = '\0';
	}
	*existing_length = strlen(resolved);
	return path_append(resolved, absolute + length, err);
}

bool directory_look(const char *path, bool *exists, bool *is_empty, struct error *err)
{
	struct stat status;

	*is_empty = true;
	*exists = stat(path, &status) == 0;
	if (!*exists)
		return errno == ENOENT ? true : fail_errno(err, "could not stat \"%s\"", path);
	if (!S_ISDIR(status.st_mode))
		return fail(err, ERROR_USAGE, "\"%s\" is not a directory", path);
	return fs_directory_is_empty(path, is_empty, err);
}

bool directory_contains(const char *directory, const char *path)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

bool directory_make(const char *path, struct error *err)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? true : fs_make_directories("/", path + 1, err);
}

void directory_abandon(const char *directory, size_t existing_length)
{
	char path[PATH_MAX];
	size_t length = strlen(directory);

	memcpy(path, directory, length + 1);
	while (length > existing_length && length > 1 && rmdir(path) == 0) {
		length = (size_t) (strrchr(path, '/') - path);
		path[length] = '\0';
	}
}
