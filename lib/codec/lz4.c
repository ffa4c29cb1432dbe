#include "codec/lz4.h"

#include <assert.h>
#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

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
