#include "codec/lz4.h"

#include <assert.h>
#include <limits.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <stdlib.h>

/* Room for some blocks of PostgreSQL's, so that most are decompressed to where they are read from. */
#define PIECE_SIZE_MAX (512 * KiB)

static bool level_is_high(int level)
{
	return level >= LZ4HC_CLEVEL_MIN;
}

bool lz4_encoder_init(struct lz4_encoder *encoder, int level, struct error *err)
{
	int size;

	*encoder = (struct lz4_encoder){.level = level == 0 ? LZ4_LEVEL_DEFAULT : level};
	assert(encoder->level > 0 && encoder->level <= LZ4_LEVEL_MAX);
	size = level_is_high(encoder->level) ? LZ4_sizeofStateHC() : LZ4_sizeofState();
	encoder->memory = malloc((size_t) size);
	if (encoder->memory == NULL)
		return fail(err, ERROR_SYSTEM, "could not allocate %d bytes for lz4", size);
	return true;
}

void lz4_encoder_release(struct lz4_encoder *encoder)
{
	free(encoder->memory);
	encoder->memory = NULL;
}

size_t lz4_encode(struct lz4_encoder *encoder, struct bytes plain, uint8_t *target, size_t target_max)
{
	const char *source = (const char *) plain.data;
	int size, capacity, written;

	assert(plain.size <= LZ4_MAX_INPUT_SIZE && target_max <= INT_MAX);
	size = (int) plain.size;
	capacity = (int) target_max;
	if (level_is_high(encoder->level))
		written = LZ4_compress_HC_extStateHC(encoder->memory, source, (char *) target, size, capacity,
						     encoder->level);
	else
		written = LZ4_compress_fast_extState(encoder->memory, source, (char *) target, size, capacity, 1);
	return written > 0 ? (size_t) written : 0;
}

bool lz4_decode(struct bytes stored, uint8_t *target, size_t target_size, struct error *err)
{
	int written = -1;

	if (stored.size <= INT_MAX && target_size <= INT_MAX)
		written = LZ4_decompress_safe((const char *) stored.data, (char *) target, (int) stored.size,
					      (int) target_size);
	if (written < 0 || (size_t) written != target_size)
		return fail(err, ERROR_CORRUPT, "lz4 data does not decompress to %zu bytes", target_size);
	return true;
}

bool lz4_stream_init(struct lz4_stream *stream, struct error *err)
{
	LZ4F_dctx *memory = NULL;

	*stream = (struct lz4_stream){.piece = malloc(PIECE_SIZE_MAX)};
	if (stream->piece == NULL || LZ4F_isError(LZ4F_createDecompressionContext(&memory, LZ4F_VERSION)))
		return fail(err, ERROR_SYSTEM, "could not allocate memory for lz4");
	stream->memory = memory;
	return true;
}

void lz4_stream_release(struct lz4_stream *stream)
{
	(void) LZ4F_freeDecompressionContext(stream->memory);
	free(stream->piece);
	*stream = (struct lz4_stream){0};
}

bool lz4_stream_decode(struct lz4_stream *stream, struct bytes *stored, struct bytes *plain, struct error *err)
{
	size_t taken = stored->size;
	size_t given = PIECE_SIZE_MAX;

	*plain = bytes_of(NULL, 0);
	if (stream->is_ended)
		return stored->size == 0 ? true : fail(err, ERROR_CORRUPT, "something follows the end of the lz4 data");
	/* Also without anything new: a block may be larger than the piece that was given last. */
	size_t left = LZ4F_decompress(stream->memory, stream->piece, &given, stored->data, &taken, NULL);
	if (LZ4F_isError(left))
		return fail(err, ERROR_CORRUPT, "lz4 data does not decompress: %s", LZ4F_getErrorName(left));
	stream->is_ended = left == 0;
	*stored = bytes_slice(*stored, taken, stored->size - taken);
	*plain = bytes_of(stream->piece, given);
	return true;
}

bool lz4_stream_finish(const struct lz4_stream *stream, struct error *err)
{
	return stream->is_ended ? true : fail(err, ERROR_CORRUPT, "lz4 data ends in the middle");
}
