/* Packs, as they are made: many small files, or pieces of large ones, in objects of bounded size.
 *
 * The writer collects bytes in the order in which they come and cuts them into frames, which threads of its own
 * compress while the next one fills. A pack ends when what it has become, compressed, is large enough: requests are
 * counted by what is stored. Other threads seal and store it. What the writer answers at once is where the bytes will
 * be (extents); whether they are there is known only when pack_writer_finish() has returned true. Memory is bounded by
 * what `struct pack_sizing` says, whatever comes. Knows nothing of files or backups.
 */
#pragma once

#include "repo/manifest.h"

#define PACK_STORED_DEFAULT (24 * MiB)
#define PACK_FRAME_SIZE	    ((size_t) 1 << OBJECT_FRAME_LOG2_DEFAULT)
#define PACK_FRAMES_MAX	    (OBJECT_PLAIN_MAX / PACK_FRAME_SIZE)
#define PACK_ALIGNMENT	    (4 * KiB) /* a frame is a multiple of it */
#define PACK_EXTENTS_MAX    (1 << 20) /* of one file, as in manifests */

/* How large packs are and how many threads work on them, so that all buffers together stay under a bound. */
struct pack_sizing {
	size_t stored_size; /* a pack ends when it is expected to measure that */
	int jobs;	    /* threads that compress */
	int uploads;	    /* threads that seal and store */
};

/* Pure. Packs of PACK_STORED_DEFAULT with `jobs` threads of each kind where `memory` allows it; else fewer that store,
 * else smaller packs; fewer that compress when their frames alone would take too much. */
struct pack_sizing pack_sizing_plan(int64_t memory, int64_t jobs);
/* What the buffers of a writer measure at most. */
int64_t pack_sizing_memory(struct pack_sizing sizing);

/* The extents of one file, in order, as they grow. Init with {0}. */
struct extents {
	int count;
	size_t capacity;
	struct extent *items; /* owned */
};

void extents_release(struct extents *extents);
void extents_clear(struct extents *extents); /* count = 0, keeps the memory */
#define EXTENTS_CLEANUP __attribute__((cleanup(extents_release)))

struct pack_writer;

bool pack_writer_open(struct repo *repo, const char *label, struct pack_sizing sizing, struct pack_writer **writer,
		      struct error *err) MUST_CHECK;
/* Adds bytes and says where they will be: `extents` grows, or its last one does. Waits while every thread is busy.
 * False also for the failure of an earlier pack. */
bool pack_writer_append(struct pack_writer *writer, struct bytes content, struct extents *extents,
			struct error *err) MUST_CHECK;
/* The next byte begins at a multiple of PACK_ALIGNMENT in its pack; zeroes that no extent names see to that. For files
 * that are not small: a page of theirs is to be a page in memory when its frame is opened, so that a restore can write
 * it without a copy. */
void pack_writer_align(struct pack_writer *writer);
/* Stores what is left and waits for every pack. How many there are and what they measure in the repository. */
bool pack_writer_finish(struct pack_writer *writer, uint32_t *packs, uint64_t *stored_size,
			struct error *err) MUST_CHECK;
void pack_writer_close(struct pack_writer *writer); /* in every case, also without finish; NULL is fine */
#define PACK_WRITER_CLEANUP __attribute__((cleanup(pack_writer_cleanup)))
void pack_writer_cleanup(struct pack_writer **writer);
