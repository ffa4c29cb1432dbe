/* The door to lz4: one frame in its block format, whose size is stated elsewhere.
 *
 * Levels as the lz4 tool has them: 1 and 2 are the fast compressor, from 3 on it is LZ4 HC. Decoding is bounded by
 * the size that the caller demands, whatever the bytes say.
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
