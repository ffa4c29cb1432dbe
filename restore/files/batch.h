/* Files that are to get their content: gathered until they are many, then filled from the packs, of which each part is
 * fetched once, by several threads. Where a file is there already, only what differs from the backup is fetched and
 * written. Memory is bounded, whatever a manifest says. Knows nothing of what the files are for.
 */
#pragma once

#include "base/progress.h"
#include "config/options.h"
#include "files/tree.h"
#include "repo/manifest.h"

struct batch;

/* Bytes of files, but for what was fetched: those of the repository's objects. */
struct batch_counts {
	uint64_t kept;	  /* found as the backup has them, and left alone */
	uint64_t written; /* the others */
	uint64_t fetched;
};

/* What it is to do with a file of the tree. */
enum batch_how {
	BATCH_MAKE,    /* it is not there */
	BATCH_REPLACE, /* it may be there: it is emptied */
	BATCH_KEEP,    /* it may be there, and what it has of the backup stays */
};

/* Everything is borrowed. */
bool batch_open(struct repo *repo, const struct options *options, struct progress *progress, struct batch **batch,
		struct error *err) MUST_CHECK;
void batch_close(struct batch *batch); /* in every case; NULL is fine */

/* The file is to have its content, in the tree. May lay what has been gathered. */
bool batch_add(struct batch *batch, const struct manifest_entry *entry, struct tree *tree, enum batch_how how,
	       struct error *err) MUST_CHECK;
/* Its content goes into `kept` instead, into as many bytes as it measures. */
bool batch_add_kept(struct batch *batch, const struct manifest_entry *entry, struct buf *kept,
		    struct error *err) MUST_CHECK;
/* Lays what has been gathered: to be called at the end. */
bool batch_lay(struct batch *batch, struct error *err) MUST_CHECK;

struct batch_counts batch_counts(const struct batch *batch);
