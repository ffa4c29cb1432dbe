/* A file that gets its content piece by piece, from any thread and in any order: made when the first piece comes, with
 * holes where the backup has nothing but zeros, and past the page cache where much is written at once.
 */
#pragma once

#include <pthread.h>

#include "files/compare.h"
#include "files/tree.h"
#include "repo/manifest.h"

struct file {
	char *path;		      /* owned */
	struct tree_file to;	      /* its path is `path` */
	struct buf *kept;	      /* where the content goes instead; NULL: into the file */
	bool may_be_there;	      /* file_take() is to find out */
	bool is_made;		      /* it is there, and as long as it is to be */
	bool was_there;		      /* … and what is in it is not ours */
	struct comparison comparison; /* of one that may be there; owned */
};

/* With `kept` the content goes there, into as many bytes as it measures, and not into the tree. */
bool file_init(struct file *file, const struct manifest_entry *entry, const struct tree *tree, struct buf *kept,
	       struct error *err) MUST_CHECK;
void file_release(struct file *file);

/* Takes the file that is there, if any, for what need not be written, and finds out what differs; or makes an empty one
 * if nothing will come. Once, before any content. */
bool file_take(struct file *file, struct tree_walk *walk, struct piece_digester *digester,
	       struct error *err) MUST_CHECK;
/* Makes a file that is to stay empty. */
bool file_make_empty(struct file *file, struct tree_walk *walk, struct error *err) MUST_CHECK;

/* The content from `offset` on. `lock` guards is_made of all files that several threads write. */
bool file_write(struct file *file, struct tree_walk *walk, pthread_mutex_t *lock, uint64_t offset, struct bytes content,
		struct error *err) MUST_CHECK;
