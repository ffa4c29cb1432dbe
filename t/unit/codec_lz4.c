/* A stream that somebody else compressed with lz4: the same bytes in pieces of any size, and damage is damage. */

#include "codec/lz4.h"

#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define LARGE_SIZE (9 * MiB)
#define SMALL_SIZE ((size_t) 3000)

static const LZ4F_preferences_t as_postgresql = {.frameInfo.blockSizeID = LZ4F_max256KB, .compressionLevel = 1};
static const LZ4F_preferences_t in_blocks_of_4_mb = {.frameInfo = {.blockSizeID = LZ4F_max4MB}, .compressionLevel = 1};
static const LZ4F_preferences_t with_checksums = {
	.frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled,
		      .blockChecksumFlag = LZ4F_blockChecksumEnabled},
};

/* Half of it compresses well, half of it not at all. */
static uint8_t *content_make(size_t size)
{
	uint8_t *content = malloc(size);
	uint32_t state = 1;

	assert(content != NULL);
	for (size_t i = 0; i < size; i++) {
		state = state * 1664525 + 1013904223;
		content[i] = (uint8_t) (i / 1000 % 2 == 0 ? i / 700 : state >> 24);
	}
	return content;
}

static struct bytes compress(const uint8_t *content, size_t size, const LZ4F_preferences_t *preferences)
{
	size_t bound = LZ4F_compressFrameBound(size, preferences);
	uint8_t *stored = malloc(bound);

	assert(stored != NULL);
	size_t written = LZ4F_compressFrame(stored, bound, content, size, preferences);
	assert(!LZ4F_isError(written));
	return bytes_of(stored, written);
}

/* Decodes it handed over `step` bytes at a time, finish included; what came goes to *plain. */
static bool decode(struct bytes stored, size_t step, struct buf *plain, struct error *err)
{
	struct lz4_stream stream;
	bool done = lz4_stream_init(&stream, err);

	for (size_t at = 0; done && at < stored.size; at += step) {
		struct bytes given = bytes_slice(stored, at, step < stored.size - at ? step : stored.size - at);
		struct bytes piece;

		do {
			done = lz4_stream_decode(&stream, &given, &piece, err) && buf_append(plain, piece, err);
		} while (done && (given.size > 0 || piece.size > 0));
	}
	done = done && lz4_stream_finish(&stream, err);
	lz4_stream_release(&stream);
	return done;
}

static bool decodes_to(struct bytes stored, size_t step, const uint8_t *content, size_t size)
{
	struct error err = {0};
	BUF(plain, 64 * MiB);

	return decode(stored, step, &plain, &err) && bytes_equal(buf_bytes(&plain), bytes_of(content, size));
}

static bool is_corrupt(struct bytes stored, size_t step)
{
	struct error err = {0};
	BUF(plain, 64 * MiB);

	return !decode(stored, step, &plain, &err) && err.kind == ERROR_CORRUPT;
}

/* ------------------------------------------------------------------------------------------------- as it was */

static void test_content(const char *name, const LZ4F_preferences_t *preferences)
{
	static const size_t steps[] = {1000, 32 * KiB, 1 * MiB, SIZE_MAX / 2};
	uint8_t *content = content_make(LARGE_SIZE);
	struct bytes stored = compress(content, LARGE_SIZE, preferences);
	bool same = true;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		same = same && decodes_to(stored, steps[i], content, LARGE_SIZE);
	ok(same, "%s: the same bytes, in pieces of any size", name);
	free((void *) (uintptr_t) stored.data);
	stored = compress(content, SMALL_SIZE, preferences);
	ok(decodes_to(stored, 1, content, SMALL_SIZE), "%s: … and byte for byte", name);
	free((void *) (uintptr_t) stored.data);
	stored = compress(content, 0, preferences);
	ok(decodes_to(stored, 1, content, 0), "%s: … and nothing at all", name);
	free((void *) (uintptr_t) stored.data);
	free(content);
}

/* --------------------------------------------------------------------------------------------------- damage */

static void test_cuts(const LZ4F_preferences_t *preferences, const char *name)
{
	uint8_t *content = content_make(SMALL_SIZE);
	struct bytes stored = compress(content, SMALL_SIZE, preferences);
	size_t taken = 0;

	for (size_t size = 0; size < stored.size; size++)
		taken += !is_corrupt(bytes_slice(stored, 0, size), 100);
	ok(taken == 0, "%s: a stream that ends before its end is corrupt, wherever that is (%zu of %zu were not)", name,
	   taken, stored.size);
	free((void *) (uintptr_t) stored.data);
	free(content);
}

/* Without checksums nothing in the stream could tell, and this is no promise. */
static void test_flips(void)
{
	uint8_t *content = content_make(SMALL_SIZE);
	struct bytes stored = compress(content, SMALL_SIZE, &with_checksums);
	uint8_t *damaged = (uint8_t *) (uintptr_t) stored.data;
	size_t taken = 0;

	for (size_t bit = 0; bit < 8 * stored.size; bit++) {
		damaged[bit / 8] ^= (uint8_t) (1 << bit % 8);
		taken += !is_corrupt(stored, 100);
		damaged[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	ok(taken == 0, "with checksums: a flipped bit is corrupt (%zu of %zu were not)", taken, 8 * stored.size);
	free(damaged);
	free(content);
}

static void test_trailing(void)
{
	uint8_t *content = content_make(SMALL_SIZE);
	struct bytes stored = compress(content, SMALL_SIZE, &as_postgresql);
	uint8_t *twice = malloc(2 * stored.size);

	assert(twice != NULL);
	memcpy(twice, stored.data, stored.size);
	memcpy(twice + stored.size, stored.data, stored.size);
	ok(decodes_to(bytes_of(twice, stored.size), 7, content, SMALL_SIZE), "up to its end a stream is whole");
	ok(is_corrupt(bytes_of(twice, stored.size + 1), 7), "… with a byte behind it, it is corrupt");
	ok(is_corrupt(bytes_of(twice, stored.size + 1), SIZE_MAX / 2), "… also when that comes with it");
	ok(is_corrupt(bytes_of(twice, 2 * stored.size), SIZE_MAX / 2), "… and with a second stream");
	ok(is_corrupt(bytes_of(content, SMALL_SIZE), 100), "what is no lz4 is corrupt");
	free(twice);
	free((void *) (uintptr_t) stored.data);
	free(content);
}

int main(void)
{
	test_content("as PostgreSQL sends it", &as_postgresql);
	test_content("blocks larger than a piece", &in_blocks_of_4_mb);
	test_content("with checksums", &with_checksums);
	test_cuts(&as_postgresql, "as PostgreSQL sends it");
	test_cuts(&with_checksums, "with checksums");
	test_flips();
	test_trailing();
	return done_testing();
}
