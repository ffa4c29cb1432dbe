/* Packs: many small files, or pieces of large ones, in one bounded object.
 *
 * The writer collects bytes in the order in which they come, cuts them into packs, and seals and stores full packs on
 * threads of its own while the next one fills. What it answers at once is where the bytes will be (extents); whether
 * they are there is known only when pack_writer_finish() has returned true. Memory is bounded by what `struct
 * pack_sizing` says, whatever comes. Reading is whole packs and slices of them. Knows nothing of files or backups.
 */
#pragma once

#include "repo/manifest.h"

#define PACK_SIZE_DEFAULT (32 * MiB) /* plaintext of one pack */
#define PACK_SIZE_MIN	  (1 * MiB)
#define PACK_SIZE_MAX	  (64 * MiB) /* what a reader must be ready for */
#define PACK_EXTENTS_MAX  (1 << 20)  /* of one file, as in manifests */

/* How large packs are and how many threads store them, so that all buffers together stay under a bound. */
struct pack_sizing {
	size_t pack_size;
	int jobs;
};

/* Pure. Packs of PACK_SIZE_DEFAULT on `jobs` threads where `memory` allows it; else smaller packs; else fewer threads.
 */
struct pack_sizing pack_sizing_plan(int64_t memory, int64_t jobs);

/* The extents of one file, in order, as they grow. Init with {0}. */
struct extents {
	int count;
	int capacity;
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
/* Stores what is left and waits for every pack. How many there are and what they measure in the repository. */
bool pack_writer_finish(struct pack_writer *writer, uint32_t *packs, uint64_t *stored_size,
			struct error *err) MUST_CHECK;
void pack_writer_close(struct pack_writer *writer); /* in every case, also without finish; NULL is fine */
#define PACK_WRITER_CLEANUP __attribute__((cleanup(pack_writer_cleanup)))
void pack_writer_cleanup(struct pack_writer **writer);

/* Appends the whole opened pack that `reference` names (an extent's `pack`) to `content`, whose size_max should be
 * PACK_SIZE_MAX. CORRUPT when the pack is missing too: a manifest that refers to it says that it must be there. */
bool pack_get(struct repo *repo, const char *reference, struct buf *content, struct error *err) MUST_CHECK;
/* The piece of an opened pack that `extent` names, borrowed from `pack`; CORRUPT when it does not lie within. */
bool pack_slice(struct bytes pack, const struct extent *extent, struct bytes *slice, struct error *err) MUST_CHECK;

/* A pack of which only a part is wanted. */
struct pack_reader {
	struct repo *repo;
	struct object_header header;
	uint64_t fetched_size; /* bytes that were asked for so far */
};

/* Reads its header. CORRUPT when the pack is missing. */
bool pack_reader_open(struct repo *repo, const char *reference, struct pack_reader *reader,
		      struct error *err) MUST_CHECK;
void pack_reader_close(struct pack_reader *reader);
#define PACK_READER_CLEANUP __attribute__((cleanup(pack_reader_close)))
/* Which frames hold the piece that `extent` names; CORRUPT when it does not lie within. */
bool pack_reader_frames(const struct pack_reader *reader, const struct extent *extent, uint32_t *first, uint32_t *last,
			struct error *err) MUST_CHECK;
/* Appends these frames. The first byte is at `first` << header.frame_log2 of the pack. */
bool pack_reader_get(struct pack_reader *reader, uint32_t first, uint32_t last, struct buf *content,
		     struct error *err) MUST_CHECK;
