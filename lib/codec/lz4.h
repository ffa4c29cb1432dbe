/* The door to lz4: one frame of ours in its block format, whose size is stated elsewhere; and what others have
 * compressed in its frame format, read as a stream.
 *
 * Levels as the lz4 tool has them: 1 and 2 are the fast compressor, from 3 on it is LZ4 HC. Decoding a frame is bounded
 * by the size that the caller demands, whatever the bytes say; decoding a stream by the size of one piece, and by what
 * the format allows a block to be (4 MB).
 */
#pragma once

#include "base/buf.h"

#define LZ4_LEVEL_DEFAULT 1
#define LZ4_LEVEL_MAX	  12

struct lz4_encoder {
	int level;
	void *memory; /* the compressor's state, allocated once */
};

bool lz4_encoder_init(struct lz4_encoder *encoder, int level, struct error *err) MUST_CHECK;
void lz4_encoder_release(struct lz4_encoder *encoder);
/* Bytes written to `target`; 0 when the result does not fit into `target_max`. */
size_t lz4_encode(struct lz4_encoder *encoder, struct bytes plain, uint8_t *target, size_t target_max);
/* Fills exactly `target_size` bytes; CORRUPT when the stored bytes hold more, fewer or none. */
bool lz4_decode(struct bytes stored, uint8_t *target, size_t target_size, struct error *err) MUST_CHECK;

/* One frame in lz4's frame format, as `lz4` and PostgreSQL's BASE_BACKUP write it. It may carry checksums, and then
 * they are verified; PostgreSQL's carries none (basebackup_lz4.c, 15 to 18), so that damage to content may only be seen
 * by whoever knows what it should be. */
struct lz4_stream {
	void *memory; /* the decompressor's state */
	uint8_t *piece;
	bool is_ended; /* the frame's last byte was seen */
};

bool lz4_stream_init(struct lz4_stream *stream, struct error *err) MUST_CHECK;
void lz4_stream_release(struct lz4_stream *stream); /* {0} is fine */
/* Takes some of `*stored` away and gives what it decompresses to, valid until the next call; empty when all of it is
 * used up. CORRUPT for what lz4 does not understand, and for anything behind the end of the frame. */
bool lz4_stream_decode(struct lz4_stream *stream, struct bytes *stored, struct bytes *plain,
		       struct error *err) MUST_CHECK;
/* No more comes: CORRUPT when the frame is not at its end. */
bool lz4_stream_finish(const struct lz4_stream *stream, struct error *err) MUST_CHECK;
