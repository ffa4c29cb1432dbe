/* Files below a directory, reached component by component and never through a symbolic link, whatever a manifest says.
 * The links of pg_tblspc are the one exception: they are followed to the directories that were approved for them.
 * Only tree_write() and tree_open_file() may be used from several threads.
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

bool tree_open(const char *root, int links_max, struct tree *tree, struct error *err) MUST_CHECK;
void tree_close(struct tree *tree);
#define TREE_CLEANUP __attribute__((cleanup(tree_close)))
/* What lies below "pg_tblspc/<oid>/" is in `target`. At most links_max. */
bool tree_add_link(struct tree *tree, uint32_t oid, const char *target, struct error *err) MUST_CHECK;

/* What is made can be written and, always, read by its owner; a mode that says otherwise is set by tree_seal(). */

/* Makes the directory, and those above it that are missing, and sets its mode; it may be there already. */
bool tree_make_directory(struct tree *tree, const char *path, mode_t mode, struct error *err) MUST_CHECK;
/* Makes a file of `size` bytes, all zero. One that is there is CORRUPT, or with `replace` emptied first. */
bool tree_make_file(struct tree *tree, const char *path, mode_t mode, uint64_t size, bool replace,
		    struct error *err) MUST_CHECK;
/* Gives the file that is there this size and mode, with what is in it up to there, or makes it as tree_make_file(). */
bool tree_keep_file(struct tree *tree, const char *path, mode_t mode, uint64_t size, bool *was_there,
		    struct error *err) MUST_CHECK;
/* For reading. */
bool tree_open_file(const struct tree *tree, const char *path, int *fd, struct error *err) MUST_CHECK;
/* One that is there is CORRUPT, unless `replace` and it is the same. */
bool tree_make_symlink(const struct tree *tree, const char *path, const char *link, bool replace,
		       struct error *err) MUST_CHECK;
bool tree_write(const struct tree *tree, const char *path, uint64_t offset, struct bytes content,
		struct error *err) MUST_CHECK;
/* Everything is written: takes the owner's write permission from what must not have it; that is synced. */
bool tree_seal(const struct tree *tree, struct error *err) MUST_CHECK;
