/* Reads a pack: every frame of it is authenticated and opened, in bounded memory, and the pieces of files that lie in
 * it are held against the digests that manifests have of them. */
#pragma once

#include "codec/piece.h"
#include "repo/pack.h"

/* Bytes of a pack that have a digest. */
struct pack_piece {
	uint64_t offset, size; /* in the pack */
	const uint8_t *digest; /* borrowed */
	size_t file;	       /* of which; to whoever asks */
};

struct pack_reading {
	struct repo *repo;
	const char *reference;	   /* of the pack, as manifests name it */
	struct pack_piece *pieces; /* borrowed; sorted by verify_pack_read() */
	size_t piece_count;
	bool is_whole; /* every frame; else only those of the pieces */
	bool (*differs)(void *context, const struct pack_piece *piece, struct error *err);
	void *context;
	struct progress *progress;
	uint64_t read_size; /* answered: bytes that were read */
};

/* What the buffers of one measure, of frames and pieces of the size that writers give them. */
#define VERIFY_PACK_MEMORY (8 * MiB)

/* False: it cannot be read, CORRUPT when it is damaged. */
bool verify_pack_read(struct pack_reading *reading, struct error *err) MUST_CHECK;

/* Is that the digest of what lies in these extents, one behind the other? For a piece that lies in several packs. */
bool verify_piece_read(struct repo *repo, const struct extent *extents, size_t count, const uint8_t *digest, bool *same,
		       struct error *err) MUST_CHECK;
