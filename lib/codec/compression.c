#include "codec/compression.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct codec_row {
	const char *name;
	enum object_codec codec;
	int level_max; /* 0: takes no level */
};

static const struct codec_row codecs[] = {
	{"none", CODEC_NONE, 0},
	{"lz4", CODEC_LZ4, LZ4_LEVEL_MAX},
	{"zstd", CODEC_ZSTD, ZSTD_LEVEL_MAX},
};

#define CODEC_COUNT (sizeof(codecs) / sizeof(codecs[0]))

/* The level behind the colon: one or two digits, 1 to level_max. */
static bool level_parse(const char *text, const struct codec_row *row, int *level, struct error *err)
{
	size_t digits = strspn(text, "0123456789");
	int value = 0;

	if (row->level_max == 0)
		return fail(err, ERROR_USAGE, "compression \"%s\" takes no level", row->name);
	if (digits <= 2 && text[digits] == '\0') {
		for (size_t i = 0; i < digits; i++)
			value = value * 10 + (text[i] - '0');
	}
	if (value < 1 || value > row->level_max) {
		fail(err, ERROR_USAGE, "invalid level \"%.16s\" for compression \"%s\"", text, row->name);
		return fail_hint(err, "Levels of %s are 1 to %d.", row->name, row->level_max);
	}
	*level = value;
	return true;
}

bool compression_parse(const char *text, struct compression *compression, struct error *err)
{
	size_t length = strcspn(text, ":");

	for (size_t i = 0; i < CODEC_COUNT; i++) {
		const struct codec_row *row = &codecs[i];
		struct compression parsed = {.codec = row->codec};

		if (strlen(row->name) != length || strncmp(row->name, text, length) != 0)
			continue;
		if (text[length] == ':')
			TRY(level_parse(text + length + 1, row, &parsed.level, err));
		*compression = parsed;
		return true;
	}
	fail(err, ERROR_USAGE, "unknown compression \"%.32s\"", text);
	return fail_hint(err,
			 "Use \"none\", \"lz4\", \"zstd\", or one of the latter two with a level, as in \"zstd:3\".");
}

void compression_format(struct compression compression, char text[COMPRESSION_TEXT_SIZE])
{
	const char *name = "unknown";

	for (size_t i = 0; i < CODEC_COUNT; i++) {
		if (codecs[i].codec == compression.codec)
			name = codecs[i].name;
	}
	if (compression.level == 0)
		snprintf(text, COMPRESSION_TEXT_SIZE, "%s", name);
	else
		snprintf(text, COMPRESSION_TEXT_SIZE, "%s:%d", name, compression.level % 100);
}

bool encoder_init(struct encoder *encoder, struct compression compression, struct error *err)
{
	*encoder = (struct encoder){.codec = compression.codec};
	if (compression.codec == CODEC_LZ4)
		return lz4_encoder_init(&encoder->lz4, compression.level, err);
	if (compression.codec == CODEC_ZSTD)
		return zstd_encoder_init(&encoder->zstd, compression.level, err);
	assert(compression.codec == CODEC_NONE);
	return true;
}

void encoder_release(struct encoder *encoder)
{
	lz4_encoder_release(&encoder->lz4);
	zstd_encoder_release(&encoder->zstd);
}

bool encoder_run(struct encoder *encoder, struct bytes plain, uint8_t *target, size_t target_max, size_t *size,
		 struct error *err)
{
	*size = 0;
	if (target_max == 0 || encoder->codec == CODEC_NONE)
		return true;
	if (encoder->codec == CODEC_LZ4) {
		*size = lz4_encode(&encoder->lz4, plain, target, target_max);
		return true;
	}
	return zstd_encode(&encoder->zstd, plain, target, target_max, size, err);
}

bool decoder_init(struct decoder *decoder, enum object_codec codec, struct error *err)
{
	*decoder = (struct decoder){.codec = codec};
	return codec == CODEC_ZSTD ? zstd_decoder_init(&decoder->zstd, err) : true;
}

void decoder_release(struct decoder *decoder)
{
	zstd_decoder_release(&decoder->zstd);
}

bool decoder_run(struct decoder *decoder, struct bytes stored, uint8_t *target, size_t target_size, struct error *err)
{
	if (decoder->codec == CODEC_LZ4)
		return lz4_decode(stored, target, target_size, err);
	assert(decoder->codec == CODEC_ZSTD);
	return zstd_decode(&decoder->zstd, stored, target, target_size, err);
}
