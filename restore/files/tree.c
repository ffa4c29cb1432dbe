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

#include "base/array.h"
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

void tree_walk_init(struct tree_walk *walk)
{
	*walk = (struct tree_walk){.fd = -1};
}

void tree_walk_release(struct tree_walk *walk)
{
	fd_close(&walk->fd);
	walk->tree = NULL;
}

/* From the directory the walk has reached into the next one, which is made when it is missing and `make`. */
static bool walk_step(struct tree_walk *walk, int at, const char *component, bool make, struct error *err)
{
	const char *path = walk->directory;

	if (make && mkdirat(at, component, 0700) != 0 && errno != EEXIST)
		return fail_at(walk->tree, "create a directory on the way to", path, err);
	int next = openat(at, component, DIRECTORY_FLAGS);
	if (next < 0)
		return fail_at(walk->tree, "open a directory on the way to", path, err);
	fd_close(&walk->fd);
	walk->fd = next;
	return true;
}

/* The first `length` bytes of the path are the directory; 0: the root. */
static bool walk_begin_at(struct tree_walk *walk, const struct tree *tree, const char *path, size_t length)
{
	if (length >= sizeof(walk->directory))
		return false;
	tree_walk_release(walk);
	walk->tree = tree;
	walk->length = length;
	memcpy(walk->directory, path, length);
	walk->directory[length] = '\0';
	return true;
}

static bool walk_go(struct tree_walk *walk, const char *path, bool make, struct error *err)
{
	char component[NAME_MAX + 1];
	const char *rest;
	int at = walk_begin(walk->tree, path, &rest);

	for (const char *slash; (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
		size_t length = (size_t) (slash - rest);

		if (length > NAME_MAX)
			return fail(err, ERROR_CORRUPT, "a part of the path \"%s\" is too long", path);
		memcpy(component, rest, length);
		component[length] = '\0';
		TRY(walk_step(walk, at, component, make, err));
		at = walk->fd;
	}
	if (walk->fd >= 0)
		return true;
	walk->fd = fcntl(at, F_DUPFD_CLOEXEC, 0);
	return walk->fd >= 0 ? true : fail_at(walk->tree, "open the directory above", path, err);
}

/* Takes the walk to the directory that holds `path`; *name is the last component. Missing ones are made when `make`. */
static bool walk_to(struct tree_walk *walk, const struct tree *tree, const char *path, bool make, const char **name,
		    struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : (size_t) (slash - path);

	*name = slash == NULL ? path : slash + 1;
	if (walk->fd >= 0 && walk->tree == tree && walk->length == length && memcmp(walk->directory, path, length) == 0)
		return true;
	if (!walk_begin_at(walk, tree, path, length))
		return fail(err, ERROR_CORRUPT, "the path \"%.200s…\" is too long", path);
	if (walk_go(walk, path, make, err))
		return true;
	tree_walk_release(walk);
	return false;
}

static bool modes_reserve(struct tree *tree, struct error *err)
{
	if (tree->mode_count == MODES_MAX)
		return fail(err, ERROR_SYSTEM, "there are more than %d files that their owner cannot write", MODES_MAX);
	return ARRAY_RESERVE(&tree->modes, tree->mode_count, &tree->mode_capacity, err);
}

bool tree_plan_mode(struct tree *tree, const char *path, mode_t mode, struct error *err)
{
	if ((mode & S_IWUSR) != 0)
		return true;
	TRY(modes_reserve(tree, err));
	char *copy = strdup(path);
	if (copy == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	tree->modes[tree->mode_count++] = (struct tree_mode){.path = copy, .mode = mode | S_IRUSR};
	return true;
}

static bool mode_seal(const struct tree *tree, const struct tree_mode *entry, struct error *err)
{
	struct tree_walk walk TREE_WALK_CLEANUP;
	int fd FD_CLEANUP = -1;
	const char *name;

	tree_walk_init(&walk);
	TRY(walk_to(&walk, tree, entry->path, false, &name, err));
	fd = openat(walk.fd, name, O_RDONLY | FILE_FLAGS);
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

static bool is_link_entry(const struct tree *tree, const char *path)
{
	size_t length = strlen(path);

	for (int i = 0; i < tree->link_count; i++)
		if (strncmp(tree->links[i].prefix, path, length) == 0 &&
		    strcmp(tree->links[i].prefix + length, "/") == 0)
			return true;
	return false;
}

bool tree_make_directory(struct tree *tree, const char *path, mode_t mode, struct error *err)
{
	struct tree_walk walk TREE_WALK_CLEANUP;
	int fd FD_CLEANUP = -1;
	const char *name;

	tree_walk_init(&walk);
	if (is_link_entry(tree, path)) /* it is made, and linked, by whoever approved it */
		return true;
	TRY(walk_to(&walk, tree, path, true, &name, err));
	if (mkdirat(walk.fd, name, 0700) != 0 && errno != EEXIST)
		return fail_at(tree, "create the directory", path, err);
	fd = openat(walk.fd, name, DIRECTORY_FLAGS);
	if (fd < 0)
		return fail_at(tree, "open the directory", path, err);
	mode |= S_IRUSR | S_IXUSR;
	if (fchmod(fd, mode | S_IRWXU) != 0)
		return fail_at(tree, "set the mode of", path, err);
	return tree_plan_mode(tree, path, mode, err);
}

/* Opens what an interrupted restore has sealed already, or a server's owner has. */
static int file_unlock(int directory, const char *name, int flags)
{
	int sealed FD_CLEANUP = openat(directory, name, O_RDONLY | O_NONBLOCK | FILE_FLAGS);

	if (sealed < 0 || fchmod(sealed, 0600) != 0)
		return -1;
	return openat(directory, name, flags, 0600);
}

static mode_t mode_wide(mode_t mode)
{
	return mode | S_IRUSR | S_IWUSR;
}

bool tree_make_file(struct tree_walk *walk, const struct tree_file *file, int *fd, struct error *err)
{
	int flags = O_WRONLY | O_CREAT | FILE_FLAGS | (file->replace ? O_TRUNC : O_EXCL);
	mode_t mode = mode_wide(file->mode);
	const char *name;

	*fd = -1;
	TRY(walk_to(walk, file->tree, file->path, true, &name, err));
	*fd = openat(walk->fd, name, flags, 0600);
	if (*fd < 0 && errno == EACCES && file->replace)
		*fd = file_unlock(walk->fd, name, flags);
	if (*fd < 0 && errno == EEXIST)
		return fail(err, ERROR_CORRUPT, "\"%s/%s\" is there already", file->tree->root, file->path);
	if (*fd < 0)
		return fail_at(file->tree, "create", file->path, err);
	if ((mode == 0600 && !file->replace) || fchmod(*fd, mode) == 0)
		return true;
	(void) fail_at(file->tree, "set the mode of", file->path, err);
	fd_close(fd);
	return false;
}

/* What the file has already, it is not given. */
static bool file_fit(const struct tree_file *file, int fd, struct error *err)
{
	mode_t mode = mode_wide(file->mode);
	struct stat status;

	if (fstat(fd, &status) != 0)
		return fail_at(file->tree, "stat", file->path, err);
	if (!S_ISREG(status.st_mode))
		return fail(err, ERROR_SYSTEM, "\"%s/%s\" is not a regular file", file->tree->root, file->path);
	if ((uint64_t) status.st_size != file->size &&
	    (file->size > INT64_MAX || ftruncate(fd, (off_t) file->size) != 0))
		return fail_at(file->tree, "set the size of", file->path, err);
	if ((status.st_mode & 07777) != mode && fchmod(fd, mode) != 0)
		return fail_at(file->tree, "set the mode of", file->path, err);
	return true;
}

bool tree_keep_file(struct tree_walk *walk, const struct tree_file *file, int *fd, struct error *err)
{
	const int flags = O_RDWR | O_NONBLOCK | FILE_FLAGS;
	const char *name;

	*fd = -1;
	TRY(walk_to(walk, file->tree, file->path, true, &name, err));
	*fd = openat(walk->fd, name, flags);
	if (*fd < 0 && errno == EACCES)
		*fd = file_unlock(walk->fd, name, flags);
	if (*fd < 0)
		return errno == ENOENT ? true : fail_at(file->tree, "open", file->path, err);
	if (file_fit(file, *fd, err))
		return true;
	fd_close(fd);
	return false;
}

bool tree_open_file(struct tree_walk *walk, const struct tree_file *file, int *fd, struct error *err)
{
	const char *name;

	*fd = -1;
	TRY(walk_to(walk, file->tree, file->path, false, &name, err));
	*fd = openat(walk->fd, name, O_WRONLY | FILE_FLAGS);
	return *fd >= 0 ? true : fail_at(file->tree, "open", file->path, err);
}

static bool link_is(int parent, const char *name, const char *link)
{
	char found[PATH_MAX];
	ssize_t length = readlinkat(parent, name, found, sizeof(found));

	return length >= 0 && (size_t) length == strlen(link) && memcmp(found, link, (size_t) length) == 0;
}

bool tree_make_symlink(const struct tree *tree, const char *path, const char *link, bool replace, struct error *err)
{
	struct tree_walk walk TREE_WALK_CLEANUP;
	const char *name;

	tree_walk_init(&walk);
	TRY(walk_to(&walk, tree, path, true, &name, err));
	if (symlinkat(link, walk.fd, name) == 0)
		return true;
	if (errno != EEXIST)
		return fail_at(tree, "create the link", path, err);
	return replace && link_is(walk.fd, name, link)
		       ? true
		       : fail(err, ERROR_CORRUPT, "\"%s/%s\" is there already", tree->root, path);
}
