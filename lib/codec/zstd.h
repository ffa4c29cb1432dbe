/* The door to zstd: one frame of RFC 8878 in, one out, whose size is stated elsewhere.
 *
 * Decoding is bounded by the size that the caller demands, whatever the bytes say; it takes one zstd frame without a
 * dictionary and nothing behind it.
 */
#pragma once

#include "base/buf.h"

#define ZSTD_LEVEL_DEFAULT 3
#define ZSTD_LEVEL_MAX	   19 /* those above need far more memory on both sides */

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

struct zstd_encoder {
	int level;
	struct ZSTD_CCtx_s *context;
};

bool zstd_encoder_init(struct zstd_encoder *encoder, int level, struct error *err) MUST_CHECK;
void zstd_encoder_release(struct zstd_encoder *encoder);
/* *size = 0 when the result does not fit into `target_max`. */
bool zstd_encode(struct zstd_encoder *encoder, struct bytes plain, uint8_t *target, size_t target_max, size_t *size,
		 struct error *err) MUST_CHECK;

struct zstd_decoder {
	struct ZSTD_DCtx_s *context;
};

bool zstd_decoder_init(struct zstd_decoder *decoder, struct error *err) MUST_CHECK;
void zstd_decoder_release(struct zstd_decoder *decoder);
/* Fills exactly `target_size` bytes; CORRUPT when the stored bytes hold more, fewer or none. */
bool zstd_decode(struct zstd_decoder *decoder, struct bytes stored, uint8_t *target, size_t target_size,
		 struct error *err) MUST_CHECK;
