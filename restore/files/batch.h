/* Files that are to get their content: gathered until they are many, then filled from the packs, each of which is
 * fetched once, by several threads. Where a file was there before, only what differs from the backup is fetched and
 * written. Memory is bounded, whatever a manifest says. Knows nothing of what the files are for.
 */
#pragma once

#include "base/progress.h"
#include "files/tree.h"
#include "repo/pack.h"

struct batch;

/* Bytes of files, but for what was fetched: those of the repository's objects. */
struct batch_counts {
	uint64_t kept;	  /* found as the backup has them, and left alone */
	uint64_t written; /* the others */
	uint64_t fetched; /* counted only when the batch is sparse */
};

/* `is_sparse`: of packs of which little is needed, only that is fetched. Everything is borrowed. */
bool batch_open(struct repo *repo, int jobs, bool is_sparse, struct progress *progress, struct batch **batch,
		struct error *err) MUST_CHECK;
void batch_close(struct batch *batch); /* in every case; NULL is fine */

/* The file, which has been made in the tree, or was there (`was_there`) and has the right size by now. With `kept` its
 * content goes there, into as many bytes as it measures, and not into the tree. May lay what has been gathered. */
bool batch_add(struct batch *batch, const struct manifest_entry *entry, const struct tree *tree, struct buf *kept,
	       bool was_there, struct error *err) MUST_CHECK;
/* Lays what has been gathered: to be called at the end. */
bool batch_lay(struct batch *batch, struct error *err) MUST_CHECK;

struct batch_counts batch_counts(const struct batch *batch);
