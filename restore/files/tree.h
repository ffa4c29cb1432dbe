/* Files below a directory, reached component by component and never through a symbolic link, whatever a manifest says.
 * The links of pg_tblspc are the one exception: they are followed to the directories that were approved for them.
 * What takes a walk may be used by several threads at once, each with a walk of its own.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

struct tree_link {
	char prefix[32]; /* "pg_tblspc/16384/" */
	int fd;
};

struct tree_mode {
	char *path; /* owned */
	mode_t mode;
};

struct tree {
	char root[4096]; /* for messages */
	int fd;
	int link_count;
	struct tree_link *links; /* owned */
	size_t mode_count, mode_capacity;
	struct tree_mode *modes; /* what tree_seal() sets; owned */
};

/* The directory that was reached last, in which the next file may be as well. */
struct tree_walk {
	const struct tree *tree;
	size_t length;
	char directory[4096];
	int fd;
};

/* What is to be there; borrowed. */
struct tree_file {
	const struct tree *tree;
	const char *path;
	mode_t mode;
	uint64_t size;
	bool replace; /* one that is there is emptied, and not CORRUPT */
};

bool tree_open(const char *root, int links_max, struct tree *tree, struct error *err) MUST_CHECK;
void tree_close(struct tree *tree);
#define TREE_CLEANUP __attribute__((cleanup(tree_close)))
/* What lies below "pg_tblspc/<oid>/" is in `target`. At most links_max. */
bool tree_add_link(struct tree *tree, uint32_t oid, const char *target, struct error *err) MUST_CHECK;

void tree_walk_init(struct tree_walk *walk);
void tree_walk_release(struct tree_walk *walk);
#define TREE_WALK_CLEANUP __attribute__((cleanup(tree_walk_release)))

/* What is made can be written and, always, read by its owner; a mode that says otherwise is set by tree_seal(). */

/* Makes the directory, and those above it that are missing, and sets its mode; it may be there already. */
bool tree_make_directory(struct tree *tree, const char *path, mode_t mode, struct error *err) MUST_CHECK;
/* Makes an empty file, open for writing. tree_plan_mode() is to be told of it, before or after. */
bool tree_make_file(struct tree_walk *walk, const struct tree_file *file, int *fd, struct error *err) MUST_CHECK;
/* Opens the file that is there for reading and writing and gives it its size and mode; *fd is -1 when there is none. */
bool tree_keep_file(struct tree_walk *walk, const struct tree_file *file, int *fd, struct error *err) MUST_CHECK;
/* For writing; it is there. */
bool tree_open_file(struct tree_walk *walk, const struct tree_file *file, int *fd, struct error *err) MUST_CHECK;
/* A file that tree_make_file() or tree_keep_file() has to do with is to have this mode at the end. */
bool tree_plan_mode(struct tree *tree, const char *path, mode_t mode, struct error *err) MUST_CHECK;
/* One that is there is CORRUPT, unless `replace` and it is the same. */
bool tree_make_symlink(const struct tree *tree, const char *path, const char *link, bool replace,
		       struct error *err) MUST_CHECK;
/* Everything is written: takes the owner's write permission from what must not have it; that is synced. */
bool tree_seal(const struct tree *tree, struct error *err) MUST_CHECK;
