#include "files/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FILE_FLAGS	(O_NOFOLLOW | O_CLOEXEC)
#define MODES_MAX	(1 << 20)

bool tree_open(const char *root, int links_max, struct tree *tree, struct error *err)
{
	*tree = (struct tree){.fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (tree->fd < 0)
		return fail_errno(err, "could not open the directory \"%s\"", root);
	(void) snprintf(tree->root, sizeof(tree->root), "%s", root);
	tree->links = calloc((size_t) links_max + 1, sizeof(*tree->links));
	if (tree->links != NULL)
		return true;
	fd_close(&tree->fd);
	return fail(err, ERROR_SYSTEM, "out of memory");
}

void tree_close(struct tree *tree)
{
	for (int i = 0; i < tree->link_count; i++)
		fd_close(&tree->links[i].fd);
	free(tree->links);
	tree->links = NULL;
	tree->link_count = 0;
	fd_close(&tree->fd);
	for (size_t i = 0; i < tree->mode_count; i++)
		free(tree->modes[i].path);
	free(tree->modes);
	tree->modes = NULL;
	tree->mode_count = 0;
}

bool tree_add_link(struct tree *tree, uint32_t oid, const char *target, struct error *err)
{
	struct tree_link *link = &tree->links[tree->link_count];

	(void) snprintf(link->prefix, sizeof(link->prefix), "pg_tblspc/%" PRIu32 "/", oid);
	link->fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (link->fd < 0)
		return fail_errno(err, "could not open the directory \"%s\"", target);
	tree->link_count++;
	return true;
}

static bool fail_at(const struct tree *tree, const char *what, const char *path, struct error *err)
{
	return fail_errno(err, "could not %s \"%s/%s\"", what, tree->root, path);
}

/* Where the walk to `path` begins; *rest is what is to be walked. */
static int walk_begin(const struct tree *tree, const char *path, const char **rest)
{
	for (int i = 0; i < tree->link_count; i++) {
		size_t length = strlen(tree->links[i].prefix);

		if (strncmp(path, tree->links[i].prefix, length) != 0)
			continue;
		*rest = path + length;
		return tree->links[i].fd;
	}
	*rest = path;
	return tree->fd;
}

/* Opens the directory that holds `path`; *name is the last component. Missing directories are made when `make`. */
static bool parent_open(const struct tree *tree, const char *path, bool make, int *fd, const char **name,
			struct error *err)
{
	char component[NAME_MAX + 1];
	const char *rest;
	int at = walk_begin(tree, path, &rest);

	*fd = -1;
	for (const char *slash; (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
		size_t length = (size_t) (slash - rest);

		if (length > NAME_MAX)
			return fail(err, ERROR_CORRUPT, "a part of the path \"%s\" is too long", path);
		memcpy(component, rest, length);
		component[length] = '\0';
		if (make && mkdirat(at, component, 0700) != 0 && errno != EEXIST)
			return fail_at(tree, "create a directory above", path, err);
		int next = openat(at, component, DIRECTORY_FLAGS);
		if (next < 0)
			return fail_at(tree, "open a directory above", path, err);
		fd_close(fd);
		*fd = next;
		at = next;
	}
	*name = rest;
	if (*fd >= 0)
		return true;
	*fd = fcntl(at, F_DUPFD_CLOEXEC, 0);
	return *fd >= 0 ? true : fail_at(tree, "open the directory above", path, err);
}

static bool modes_reserve(struct tree *tree, struct error *err)
{
	size_t capacity = tree->mode_capacity == 0 ? 64 : tree->mode_capacity * 2;

	if (tree->mode_count < tree->mode_capacity)
		return true;
	if (capacity > MODES_MAX)
		return fail(err, ERROR_SYSTEM, "there are more than %d files that their owner cannot write", MODES_MAX);
	struct tree_mode *modes = realloc(tree->modes, capacity * sizeof(*modes));
	if (modes == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	tree->modes = modes;
	tree->mode_capacity = capacity;
	return true;
}

/* What is yet to be written gets `wide` now, and `mode` by tree_seal(). */
static bool mode_set(struct tree *tree, int fd, const char *path, mode_t mode, mode_t wide, struct error *err)
{
	if (fchmod(fd, wide) != 0)
		return fail_at(tree, "set the mode of", path, err);
	if (mode == wide)
		return true;
	TRY(modes_reserve(tree, err));
	char *copy = strdup(path);
	if (copy == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	tree->modes[tree->mode_count++] = (struct tree_mode){.path = copy, .mode = mode};
	return true;
}

static bool mode_seal(const struct tree *tree, const struct tree_mode *entry, struct error *err)
{
	int parent FD_CLEANUP = -1, fd FD_CLEANUP = -1;
	const char *name;

	TRY(parent_open(tree, entry->path, false, &parent, &name, err));
	fd = openat(parent, name, O_RDONLY | FILE_FLAGS);
	if (fd < 0)
		return fail_at(tree, "open", entry->path, err);
	if (fchmod(fd, entry->mode) != 0)
		return fail_at(tree, "set the mode of", entry->path, err);
	return fd_sync_close(&fd, entry->path, err);
}

bool tree_seal(const struct tree *tree, struct error *err)
{
	/* What was made last comes first: a directory after what is in it. */
	for (size_t i = tree->mode_count; i > 0; i--)
		TRY(mode_seal(tree, &tree->modes[i - 1], err));
	return true;
}

bool tree_make_directory(struct tree *tree, const char *path, mode_t mode, struct error *err)
{
	int parent FD_CLEANUP = -1, fd FD_CLEANUP = -1;
	const char *name;

	for (int i = 0; i < tree->link_count; i++) {
		size_t length = strlen(path);

		/* The directory of a tablespace is made, and linked, by whoever approved it. */
		if (strncmp(tree->links[i].prefix, path, length) == 0 &&
		    strcmp(tree->links[i].prefix + length, "/") == 0)
			return true;
	}
	TRY(parent_open(tree, path, true, &parent, &name, err));
	if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
		return fail_at(tree, "create the directory", path, err);
	fd = openat(parent, name, DIRECTORY_FLAGS);
	if (fd < 0)
		return fail_at(tree, "open the directory", path, err);
	mode |= S_IRUSR | S_IXUSR;
	return mode_set(tree, fd, path, mode, mode | S_IRWXU, err);
}

/* With `replace` also one that an interrupted restore has sealed already. */
static int file_create(int parent, const char *name, bool replace)
{
	int flags = O_WRONLY | O_CREAT | FILE_FLAGS | (replace ? O_TRUNC : O_EXCL);
	int fd = openat(parent, name, flags, 0600);

	if (fd >= 0 || errno != EACCES || !replace)
		return fd;
	int sealed FD_CLEANUP = openat(parent, name, O_RDONLY | O_NONBLOCK | FILE_FLAGS);
	if (sealed < 0 || fchmod(sealed, 0600) != 0)
		return -1;
	return openat(parent, name, flags, 0600);
}

static bool file_set(struct tree *tree, int fd, const char *path, mode_t mode, uint64_t size, struct error *err)
{
	if (size > INT64_MAX || ftruncate(fd, (off_t) size) != 0)
		return fail_at(tree, "set the size of", path, err);
	mode |= S_IRUSR;
	return mode_set(tree, fd, path, mode, mode | S_IWUSR, err);
}

bool tree_make_file(struct tree *tree, const char *path, mode_t mode, uint64_t size, bool replace, struct error *err)
{
	int parent FD_CLEANUP = -1, fd FD_CLEANUP = -1;
	const char *name;

	TRY(parent_open(tree, path, true, &parent, &name, err));
	fd = file_create(parent, name, replace);
	if (fd < 0 && errno == EEXIST)
		return fail(err, ERROR_CORRUPT, "\"%s/%s\" is there already", tree->root, path);
	if (fd < 0)
		return fail_at(tree, "create", path, err);
	return file_set(tree, fd, path, mode, size, err);
}

bool tree_keep_file(struct tree *tree, const char *path, mode_t mode, uint64_t size, bool *was_there, struct error *err)
{
	int parent FD_CLEANUP = -1, fd FD_CLEANUP = -1;
	const char *name;
	struct stat status;

	TRY(parent_open(tree, path, true, &parent, &name, err));
	fd = openat(parent, name, O_WRONLY | O_NONBLOCK | FILE_FLAGS);
	*was_there = fd >= 0;
	if (!*was_there && errno == ENOENT)
		return tree_make_file(tree, path, mode, size, false, err);
	if (!*was_there || fstat(fd, &status) != 0)
		return fail_at(tree, "open", path, err);
	if (!S_ISREG(status.st_mode))
		return fail(err, ERROR_SYSTEM, "\"%s/%s\" is not a regular file", tree->root, path);
	return file_set(tree, fd, path, mode, size, err);
}

bool tree_open_file(const struct tree *tree, const char *path, int *fd, struct error *err)
{
	int parent FD_CLEANUP = -1;
	const char *name;

	TRY(parent_open(tree, path, false, &parent, &name, err));
	*fd = openat(parent, name, O_RDONLY | FILE_FLAGS);
	return *fd >= 0 ? true : fail_at(tree, "open", path, err);
}

static bool link_is(int parent, const char *name, const char *link)
{
	char found[PATH_MAX];
	ssize_t length = readlinkat(parent, name, found, sizeof(found));

	return length >= 0 && (size_t) length == strlen(link) && memcmp(found, link, (size_t) length) == 0;
}

bool tree_make_symlink(const struct tree *tree, const char *path, const char *link, bool replace, struct error *err)
{
	int parent FD_CLEANUP = -1;
	const char *name;

	TRY(parent_open(tree, path, true, &parent, &name, err));
	if (symlinkat(link, parent, name) == 0)
		return true;
	if (errno != EEXIST)
		return fail_at(tree, "create the link", path, err);
	return replace && link_is(parent, name, link)
		       ? true
		       : fail(err, ERROR_CORRUPT, "\"%s/%s\" is there already", tree->root, path);
}

bool tree_write(const struct tree *tree, const char *path, uint64_t offset, struct bytes content, struct error *err)
{
	int parent FD_CLEANUP = -1, fd FD_CLEANUP = -1;
	const char *name;

	TRY(parent_open(tree, path, false, &parent, &name, err));
	fd = openat(parent, name, O_WRONLY | FILE_FLAGS);
	if (fd < 0)
		return fail_at(tree, "open", path, err);
	return fd_write_all_at(fd, content, offset, path, err);
}
