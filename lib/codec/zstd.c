#include "codec/zstd.h"

#include <assert.h>
#include <zstd.h>
#include <zstd_errors.h>

bool zstd_encoder_init(struct zstd_encoder *encoder, int level, struct error *err)
{
	*encoder = (struct zstd_encoder){.level = level == 0 ? ZSTD_LEVEL_DEFAULT : level};
	assert(encoder->level > 0 && encoder->level <= ZSTD_LEVEL_MAX);
	encoder->context = ZSTD_createCCtx();
	if (encoder->context == NULL)
		return fail(err, ERROR_SYSTEM, "could not allocate memory for zstd");
	return true;
}

void zstd_encoder_release(struct zstd_encoder *encoder)
{
	ZSTD_freeCCtx(encoder->context);
	encoder->context = NULL;
}

bool zstd_encode(struct zstd_encoder *encoder, struct bytes plain, uint8_t *target, size_t target_max, size_t *size,
		 struct error *err)
{
	size_t written =
		ZSTD_compressCCtx(encoder->context, target, target_max, plain.data, plain.size, encoder->level);

	*size = 0;
	if (ZSTD_isError(written)) {
		if (ZSTD_getErrorCode(written) == ZSTD_error_dstSize_tooSmall)
			return true;
		return fail(err, ERROR_SYSTEM, "could not compress with zstd: %s", ZSTD_getErrorName(written));
	}
	*size = written;
	return true;
}

bool zstd_decoder_init(struct zstd_decoder *decoder, struct error *err)
{
	decoder->context = ZSTD_createDCtx();
	if (decoder->context == NULL)
		return fail(err, ERROR_SYSTEM, "could not allocate memory for zstd");
	return true;
}

void zstd_decoder_release(struct zstd_decoder *decoder)
{
	ZSTD_freeDCtx(decoder->context);
	decoder->context = NULL;
}

bool zstd_decode(struct zstd_decoder *decoder, struct bytes stored, uint8_t *target, size_t target_size,
		 struct error *err)
{
	/* ZSTD_decompressDCtx() takes several frames in a row, skippable ones too; the format allows one. */
	size_t first = ZSTD_findFrameCompressedSize(stored.data, stored.size);
	size_t written;

	if (ZSTD_isError(first) || first != stored.size)
		return fail(err, ERROR_CORRUPT, "zstd data is not one frame of %zu bytes", stored.size);
	written = ZSTD_decompressDCtx(decoder->context, target, target_size, stored.data, stored.size);
	if (ZSTD_isError(written) || written != target_size)
		return fail(err, ERROR_CORRUPT, "zstd data does not decompress to %zu bytes", target_size);
	return true;
}
