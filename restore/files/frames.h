/* Which frames of a pack are needed for slices of it, run by run: pure. Slices are in the order of the pack, and may
 * overlap.
 */
#pragma once

#include "files/slice.h"
#include "repo/pack.h"

struct frames {
	const struct object_header *header;
	const struct slice *slices;
	size_t count;
	size_t slice;	     /* those before it have been taken whole */
	uint32_t frame, end; /* the next one to be taken, and the one behind the last */
};

/* Frames that follow one another, and slices of which they hold some part or none. */
struct frames_run {
	uint32_t first, last;
	const struct slice *slices;
	size_t slice_count;
};

/* A run has one frame at least, and more as long as it does not exceed `size`. */
struct frames_limit {
	bool is_stored; /* `size` counts stored bytes, not those of the plaintext */
	uint64_t size;
	uint32_t gap; /* so many frames that nobody needs may be in between */
};

/* `slices` and `count` are set; now the pack is open, and stays so. CORRUPT when a slice lies outside of it. */
bool frames_begin(struct frames *frames, const struct pack_reader *reader, struct error *err) MUST_CHECK;
/* Those of a run, to be divided further. */
struct frames frames_within(const struct object_header *header, const struct frames_run *run);
/* The next run; false when none is left. */
bool frames_next(struct frames *frames, const struct frames_limit *limit, struct frames_run *run);

/* Where in the pack a frame begins. */
uint64_t frame_offset(const struct object_header *header, uint32_t frame);
