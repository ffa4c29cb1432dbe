/* Objects that are built frame by frame: they open like others, wherever they lie, and no bound is passed. */

#include "codec/builder.h"

#include <stdlib.h>

#include "tap.h"

#define FRAME_LOG2 12
#define FRAME	   ((size_t) 1 << FRAME_LOG2)
#define FRAMES_MAX 40
#define ROOM	   (4 * MiB)

static const struct object_identity pack = {
	.key = "main/7000000000000000001/main/pack/00000001-0000000000000028-01234567/00000000",
	.kind = OBJECT_PACK,
	.system_identifier = UINT64_C(7000000000000000001),
	.repository_id = {1, 2, 3},
};

/* Every other frame is noise that no codec makes smaller. */
static void content_fill(uint8_t *content, size_t size)
{
	uint32_t state = 4711;

	for (size_t i = 0; i < size; i++) {
		state = state * 1664525 + 1013904223;
		content[i] = (i >> FRAME_LOG2) % 2 == 0 ? (uint8_t) (i >> 6) : (uint8_t) (state >> 24);
	}
}

/* As pack_writer.c does it: compressed somewhere else, copied there. */
static bool frames_add(struct object_builder *builder, enum object_codec codec, struct bytes plain, struct error *err)
{
	struct encoder encoder ENCODER_CLEANUP = {0};
	uint8_t elsewhere[FRAME];

	TRY(encoder_init(&encoder, (struct compression){.codec = codec}, err));
	while (plain.size > 0) {
		struct bytes frame = bytes_slice(plain, 0, plain.size < FRAME ? plain.size : FRAME);
		uint32_t entry;
		uint8_t *room;

		TRY(frame_compress(&encoder, frame, elsewhere, &entry, err));
		TRY(object_builder_room(builder, entry & FRAME_SIZE_MASK, &room, err));
		memcpy(room, elsewhere, entry & FRAME_SIZE_MASK);
		TRY(object_builder_add(builder, entry, frame.size, err));
		plain = bytes_slice(plain, frame.size, plain.size - frame.size);
	}
	return true;
}

static bool object_build(const struct secrets *secrets, enum object_codec codec, struct bytes plain, struct buf *object,
			 struct bytes *sealed, struct error *err)
{
	struct object_builder builder OBJECT_BUILDER_CLEANUP = {.object = NULL};
	struct object_form form = {
		.class = CLASS_SECRET, .codec = codec, .frame_log2 = FRAME_LOG2, .frames_max = FRAMES_MAX};

	return object_builder_init(&builder, secrets, &pack, &form, object, err) &&
	       frames_add(&builder, codec, plain, err) && object_builder_seal(&builder, sealed, err);
}

static void test_sizes(const struct secrets *secrets, enum object_codec codec)
{
	static const size_t sizes[] = {0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 77, FRAMES_MAX * FRAME};
	uint8_t *content = malloc(FRAMES_MAX * FRAME);
	BUF(object, ROOM);

	content_fill(content, FRAMES_MAX * FRAME);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct error err = {0};
		struct bytes sealed = {0};
		BUF(got, ROOM);

		/* Behind what is there already. */
		bool done = buf_append_text(&object, "before", &err) &&
			    object_build(secrets, codec, bytes_of(content, sizes[i]), &object, &sealed, &err) &&
			    object_open(secrets, &pack, sealed, &got, &err);
		ok(done && bytes_equal(buf_bytes(&got), bytes_of(content, sizes[i])) &&
			   sealed.size <= object_size_max(sizes[i], 0, FRAME_LOG2),
		   "%zu bytes with codec %d are built and open again: %s", sizes[i], codec, err.text);
		buf_clear(&object);
	}
	free(content);
}

static void test_bounds(const struct secrets *secrets)
{
	size_t size = FRAMES_MAX * FRAME + 1;
	uint8_t *content = calloc(1, size);
	struct error err = {0};
	struct bytes sealed;
	BUF(object, ROOM);
	struct buf small = {.size_max = 3 * FRAME};

	ok(!object_build(secrets, CODEC_LZ4, bytes_of(content, size), &object, &sealed, &err) &&
		   err.kind == ERROR_USAGE,
	   "one frame more than was wanted is refused: %s", err.text);
	content_fill(content, size);
	ok(!object_build(secrets, CODEC_NONE, bytes_of(content, 4 * FRAME), &small, &sealed, &err) &&
		   small.size <= small.size_max && small.capacity <= small.size_max,
	   "the bound of the buffer is not passed: %s", err.text);
	buf_release(&small);
	free(content);
}

/* A pack has no content identity: one that claims to have one is none of ours. */
static void test_identity(const struct secrets *secrets)
{
	struct object_builder builder OBJECT_BUILDER_CLEANUP = {.object = NULL};
	struct object_form form = {.class = CLASS_SECRET, .frame_log2 = FRAME_LOG2, .frames_max = 1};
	struct error err = {0};
	struct bytes sealed;
	BUF(object, ROOM);
	BUF(got, ROOM);

	bool done = object_builder_init(&builder, secrets, &pack, &form, &object, &err);
	builder.header.content_id[15] = 1;
	done = done && object_builder_seal(&builder, &sealed, &err);
	ok(done && !object_open(secrets, &pack, sealed, &got, &err) && err.kind == ERROR_CORRUPT,
	   "a pack with a content identity is malformed: %s", err.text);
}

int main(void)
{
	struct secrets *secrets = NULL;
	struct error err = {0};

	if (!ok(secrets_open(NULL, &secrets, &err), "no key"))
		return done_testing();
	test_sizes(secrets, CODEC_NONE);
	test_sizes(secrets, CODEC_LZ4);
	test_sizes(secrets, CODEC_ZSTD);
	test_bounds(secrets);
	test_identity(secrets);
	secrets_close(secrets);
	return done_testing();
}
