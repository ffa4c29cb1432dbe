/* Packs, as they are read: objects that hold many small files, and pieces of large ones, one behind the other.
 *
 * A reader takes ranges of frames, each opened alone: a pack may hold OBJECT_PLAIN_MAX bytes of plaintext, so that
 * nobody takes a whole one. pack_writer.h makes them. Knows nothing of files or backups.
 */
#pragma once

#include "repo/manifest.h"

/* A pack of which frames are wanted. */
struct pack_reader {
	struct repo *repo;
	struct object_header header;
	uint64_t fetched_size; /* bytes that were asked for so far, by pack_reader_open() and pack_reader_get() */
};

/* Reads its header, in one request of OBJECT_PEEK_SIZE. CORRUPT when the pack is missing: a manifest that refers to it
 * says that it must be there. */
bool pack_reader_open(struct repo *repo, const char *reference, struct pack_reader *reader,
		      struct error *err) MUST_CHECK;
void pack_reader_close(struct pack_reader *reader);
#define PACK_READER_CLEANUP __attribute__((cleanup(pack_reader_close)))
/* Which frames hold the piece that `extent` names; CORRUPT when it does not lie within. The first byte of frame `n` is
 * at n << header.frame_log2 of the pack. */
bool pack_reader_frames(const struct pack_reader *reader, const struct extent *extent, uint32_t *first, uint32_t *last,
			struct error *err) MUST_CHECK;
/* Appends the plaintext of these frames, fetched in one request of object_frames_size() bytes. Who opens them on
 * several threads calls repo_fetch_frames() once and repo_open_frames() on each, with reader->header. */
bool pack_reader_get(struct pack_reader *reader, uint32_t first, uint32_t last, struct buf *content,
		     struct error *err) MUST_CHECK;
