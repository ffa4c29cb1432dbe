/* Slices of packs become content of files: fetched by ranges of frames, opened and laid by several threads at once.
 * While some open frames the others wait for the repository or the disk, so that neither waits for the other. No pack
 * is ever held whole, and memory is bounded whatever a pack says. Knows nothing of how a file is written.
 */
#pragma once

#include "files/slice.h"
#include "files/tree.h"
#include "repo/pack.h"

/* How much is under way, so that all buffers together stay under a bound. */
struct fill_sizing {
	int jobs;	   /* threads that open frames at the same time */
	int threads;	   /* those, and others that wait meanwhile */
	size_t range_size; /* stored bytes of a request, about */
	size_t chunk_size; /* plaintext that is laid at a time */
};

/* Pure. Requests as large as `memory` allows; else fewer threads. */
struct fill_sizing fill_sizing_plan(int64_t memory, int64_t jobs);
/* What the buffers measure, of frames of the default size. */
int64_t fill_sizing_memory(struct fill_sizing sizing);

/* `content` goes to `offset` of the file; from any thread, in any order. */
typedef bool (*fill_lay)(void *context, struct tree_walk *walk, size_t file, uint64_t offset, struct bytes content,
			 struct error *err);

struct fill_order {
	struct repo *repo;
	struct fill_sizing sizing;
	struct slice *slices; /* borrowed, and sorted */
	size_t count;
	fill_lay lay;
	void *context;
};

/* Every slice has been laid, when true. *fetched: bytes of objects that were asked for. */
bool fill_run(const struct fill_order *order, uint64_t *fetched, struct error *err) MUST_CHECK;
