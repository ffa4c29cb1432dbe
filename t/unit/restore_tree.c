/* Files below a directory, whatever a manifest says: nothing is ever written outside of it. restore/tree.c belongs to a
 * program and not to the library, so it is included whole. */
#include "tap.h"

#include <stdlib.h>

#include "../../restore/files/tree.c"

static char base[64], root[PATH_MAX], outside[PATH_MAX], space[PATH_MAX];

static void path_in(char path[PATH_MAX], const char *directory, const char *name)
{
	struct error err;

	if (!path_join(path, directory, name, &err))
		abort();
}

static bool is_there(const char *directory, const char *name)
{
	char path[PATH_MAX];
	struct stat status;

	path_in(path, directory, name);
	return lstat(path, &status) == 0;
}

static struct tree_walk walk;

/* Of three bytes, the first of which is not written. */
static bool make_file(struct tree *tree, const char *path, bool replace)
{
	const struct tree_file file = {.tree = tree, .path = path, .mode = 0640, .size = 3, .replace = replace};
	struct error err = {0};
	int fd FD_CLEANUP = -1;

	return tree_make_file(&walk, &file, &fd, &err) && fd_resize(fd, 3, path, &err) &&
	       fd_write_all_at(fd, bytes_of("xy", 2), 1, path, &err);
}

static bool open_file(struct tree *tree, const char *path)
{
	const struct tree_file file = {.tree = tree, .path = path, .mode = 0640, .size = 3};
	struct error err = {0};
	int fd FD_CLEANUP = -1;

	return tree_open_file(&walk, &file, &fd, &err);
}

static bool make_directory(struct tree *tree, const char *path)
{
	struct error err = {0};

	return tree_make_directory(tree, path, 0750, &err);
}

static void link_to(const char *target, const char *directory, const char *name)
{
	char path[PATH_MAX];

	path_in(path, directory, name);
	if (symlink(target, path) != 0)
		abort();
}

static void test_ordinary(struct tree *tree)
{
	char path[PATH_MAX];
	struct stat status;
	struct error err;
	BUF(content, 100);

	ok(make_file(tree, "base/1/1234", false), "a file below directories that are missing");
	path_in(path, root, "base/1/1234");
	ok(stat(path, &status) == 0 && (status.st_mode & 0777) == 0640 && status.st_size == 3, "its mode and size");
	ok(fs_read_file(path, &content, &err) && content.size == 3 && memcmp(content.data, "\0xy", 3) == 0,
	   "its content");
	ok(!make_file(tree, "base/1/1234", false), "the same name again is refused");
	ok(make_file(tree, "base/1/1234", true), "… unless a restore is resumed");
	ok(make_directory(tree, "base/2") && make_directory(tree, "base/2"), "a directory, which may be there");
	path_in(path, root, "base/2");
	ok(stat(path, &status) == 0 && (status.st_mode & 0777) == 0750, "its mode");
	ok(!make_directory(tree, "base/1/1234"), "a file is no directory");
	ok(!make_file(tree, "base/1/1234/x", false), "nor is one on the way");
	ok(!make_file(tree, "base/2", true), "a directory is no file");
}

static bool keep_file(struct tree *tree, const char *path, uint64_t size, bool *was_there)
{
	const struct tree_file file = {.tree = tree, .path = path, .mode = 0644, .size = size};
	struct error err = {0};
	int fd FD_CLEANUP = -1;
	bool done = tree_keep_file(&walk, &file, &fd, &err);

	*was_there = fd >= 0;
	return done;
}

static void test_kept(struct tree *tree)
{
	char path[PATH_MAX];
	struct stat status;
	struct error err;
	bool was_there = false;
	BUF(content, 100);

	ok(keep_file(tree, "base/1/1234", 5, &was_there) && was_there, "a file that is there is kept");
	path_in(path, root, "base/1/1234");
	ok(stat(path, &status) == 0 && (status.st_mode & 0777) == 0644, "… gets its mode");
	ok(fs_read_file(path, &content, &err) && content.size == 5 && memcmp(content.data, "\0xy\0\0", 5) == 0,
	   "… and its size");
	ok(keep_file(tree, "base/1/1234", 3, &was_there) && was_there, "… also a smaller one");
	ok(chmod(path, 0400) == 0 && keep_file(tree, "base/1/1234", 3, &was_there) && was_there,
	   "… also one that its owner cannot write");
	ok(open_file(tree, "base/1/1234"), "it can be written");
	ok(keep_file(tree, "base/3/1", 3, &was_there) && !was_there && !is_there(root, "base/3/1"),
	   "one that is not there is not made");
	ok(!keep_file(tree, "base/2", 3, &was_there), "a directory is no file");
}

static void test_links(struct tree *tree)
{
	struct error err = {0};
	char path[PATH_MAX];

	link_to(outside, root, "away");
	path_in(path, outside, "target");
	link_to(path, root, "file_away");
	ok(!make_file(tree, "away/x", false) && !is_there(outside, "x"), "a link on the way is not followed");
	ok(!make_file(tree, "away/x", true) && !is_there(outside, "x"), "… nor when resumed");
	ok(!make_directory(tree, "away/d") && !is_there(outside, "d"), "… nor for a directory");
	ok(!make_directory(tree, "away"), "… nor at the end");
	ok(!make_file(tree, "file_away", false) && !make_file(tree, "file_away", true) && !is_there(outside, "target"),
	   "a link at the end is not followed");
	bool was_there;
	ok(!keep_file(tree, "file_away", 0, &was_there) && !keep_file(tree, "away/x", 0, &was_there) &&
		   !is_there(outside, "target"),
	   "… nor to keep what is there");
	ok(!open_file(tree, "away/x") && !open_file(tree, "file_away") && !is_there(outside, "target"),
	   "… nor to write");
	ok(!tree_make_symlink(tree, "away/l", "/etc", false, &err) && !is_there(outside, "l"), "… nor to make links");
	ok(tree_make_symlink(tree, "own/l", "/etc", false, &err) && !make_file(tree, "own/l/x", false),
	   "a link that was asked for is not followed either");
}

static void test_tablespaces(struct tree *tree)
{
	ok(make_file(tree, "pg_tblspc/16384/PG_15/5/1", false) && is_there(space, "PG_15/5/1"),
	   "an approved tablespace's files go to its directory");
	ok(make_directory(tree, "pg_tblspc/16384"), "its own entry changes nothing");
	ok(make_directory(tree, "pg_tblspc"), "the directory of links is an ordinary one");
	link_to(outside, root, "pg_tblspc/16385");
	ok(!make_file(tree, "pg_tblspc/16385/x", false) && !is_there(outside, "x"), "another's link is not followed");
	ok(!make_file(tree, "pg_tblspc/163840/x", false) || !is_there(space, "x"),
	   "a longer number is another tablespace");
}

static bool mode_is(const char *directory, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	struct stat status;

	path_in(path, directory, name);
	return stat(path, &status) == 0 && (status.st_mode & 07777) == mode;
}

/* A file that its owner must not write in the end. */
static bool make_key(struct tree *tree, const char *path, mode_t mode, bool replace)
{
	const struct tree_file file = {.tree = tree, .path = path, .mode = mode, .size = 2, .replace = replace};
	struct error err = {0};
	int fd FD_CLEANUP = -1;

	return tree_plan_mode(tree, path, mode, &err) && tree_make_file(&walk, &file, &fd, &err) &&
	       fd_write_all(fd, bytes_of("xy", 2), path, &err);
}

static bool make_locked(struct tree *tree, bool replace)
{
	struct error err;

	return tree_make_directory(tree, "locked", 0500, &err) && tree_make_directory(tree, "locked/in", 0550, &err) &&
	       make_key(tree, "locked/in/key", 0400, replace) && make_key(tree, "locked/key", 0040, replace);
}

static void test_modes(struct tree *tree)
{
	struct error err = {0};

	ok(make_locked(tree, false) && mode_is(root, "locked/in/key", 0600),
	   "what its owner must not write is written first");
	ok(tree_seal(tree, &err) && mode_is(root, "locked", 0500) && mode_is(root, "locked/in", 0550) &&
		   mode_is(root, "locked/in/key", 0400),
	   "… and then sealed");
	ok(mode_is(root, "locked/key", 0440), "its owner can always read it");
	ok(!make_locked(tree, false), "sealed, it is there already");
	ok(make_locked(tree, true) && tree_seal(tree, &err) && mode_is(root, "locked", 0500) &&
		   mode_is(root, "locked/in/key", 0400),
	   "… unless a restore is resumed");
	ok(tree_make_symlink(tree, "own/again", "/etc", false, &err) &&
		   !tree_make_symlink(tree, "own/again", "/etc", false, &err),
	   "a link that is there is refused");
	ok(tree_make_symlink(tree, "own/again", "/etc", true, &err) &&
		   !tree_make_symlink(tree, "own/again", "/usr", true, &err),
	   "… unless a restore is resumed and it is the same");
}

/* What is remembered of the last directory is never taken for another one. */
static void test_walk(struct tree *tree)
{
	struct tree other TREE_CLEANUP = {.fd = -1};
	struct error err = {0};

	ok(make_file(tree, "base/7/1", false) && make_file(tree, "base/7/2", false) &&
		   make_file(tree, "base/77", false) && make_file(tree, "base/71/1", false) &&
		   make_file(tree, "top", false) && make_file(tree, "top2", false),
	   "files in one directory after the other");
	ok(is_there(root, "base/7/1") && is_there(root, "base/7/2") && is_there(root, "base/77") &&
		   is_there(root, "base/71/1") && is_there(root, "top") && is_there(root, "top2"),
	   "… are where they belong");
	ok(tree_open(outside, 0, &other, &err) && make_file(tree, "base/8/1", false) &&
		   make_file(&other, "base/8/2", false),
	   "files of another tree, in a directory of the same name");
	ok(is_there(outside, "base/8/2") && !is_there(root, "base/8/2"), "… are in that one");
	ok(!make_file(tree, "base/7/1/x", false) && make_file(tree, "base/7/3", false) && is_there(root, "base/7/3"),
	   "a walk that failed does not lead astray");
}

int main(void)
{
	struct tree tree TREE_CLEANUP = {.fd = -1};
	struct error err = {0};
	char command[256];

	(void) snprintf(base, sizeof(base), "/tmp/pitr-tree-XXXXXX");
	if (mkdtemp(base) == NULL)
		abort();
	path_in(root, base, "root");
	path_in(outside, base, "outside");
	path_in(space, base, "space");
	if (mkdir(root, 0700) != 0 || mkdir(outside, 0700) != 0 || mkdir(space, 0700) != 0)
		abort();
	tree_walk_init(&walk);
	ok(tree_open(root, 1, &tree, &err) && tree_add_link(&tree, 16384, space, &err), "a tree is opened");
	test_ordinary(&tree);
	test_kept(&tree);
	test_links(&tree);
	test_tablespaces(&tree);
	test_modes(&tree);
	test_walk(&tree);
	tree_walk_release(&walk);
	(void) snprintf(command, sizeof(command), "chmod -R u+w %s && rm -r %s", base, base);
	ok(system(command) == 0, "the directory is removed");
	return done_testing();
}
