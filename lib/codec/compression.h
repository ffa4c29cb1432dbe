/* Which compression is asked for, as text and as a value, and one way to call the codecs there are.
 *
 * Every call handles one frame, a few bytes to OBJECT_FRAME_LOG2_MAX of them, into memory the caller provides. An
 * encoder or decoder may be used for any number of frames, by one thread at a time.
 * Knows nothing of headers and secrets.
 */
#pragma once

#include "base/buf.h"
#include "codec/lz4.h"
#include "codec/zstd.h"

/* Part of the format. */
enum object_codec { CODEC_NONE = 0, CODEC_LZ4 = 1, CODEC_ZSTD = 2 };

struct compression {
	enum object_codec codec;
	int level; /* 0: the codec's default */
};

#define COMPRESSION_TEXT_SIZE 16

/* "none", "lz4", "lz4:LEVEL", "zstd", "zstd:LEVEL"; USAGE for anything else. */
bool compression_parse(const char *text, struct compression *compression, struct error *err) MUST_CHECK;
void compression_format(struct compression compression, char text[COMPRESSION_TEXT_SIZE]);

struct encoder {
	enum object_codec codec;
	struct lz4_encoder lz4;
	struct zstd_encoder zstd;
};

bool encoder_init(struct encoder *encoder, struct compression compression, struct error *err) MUST_CHECK;
void encoder_release(struct encoder *encoder);
#define ENCODER_CLEANUP __attribute__((cleanup(encoder_release)))
/* Compresses into at most `target_max` bytes; *size = 0 when the result does not fit (or the codec is "none"). */
bool encoder_run(struct encoder *encoder, struct bytes plain, uint8_t *target, size_t target_max, size_t *size,
		 struct error *err) MUST_CHECK;

struct decoder {
	enum object_codec codec;
	struct zstd_decoder zstd;
};

bool decoder_init(struct decoder *decoder, enum object_codec codec, struct error *err) MUST_CHECK;
void decoder_release(struct decoder *decoder);
#define DECODER_CLEANUP __attribute__((cleanup(decoder_release)))
/* Fills exactly `target_size` bytes; CORRUPT when the stored bytes hold more, fewer or none. */
bool decoder_run(struct decoder *decoder, struct bytes stored, uint8_t *target, size_t target_size,
		 struct error *err) MUST_CHECK;
