/* Objects without encryption, their checksums put right, so that what stands behind the checksums is reached: header
 * fields, frame table, decompression. Whatever comes in: an error or at most OBJECT_PLAIN_MAX bytes, and no crash. */
#include "codec/codec.h"

#include <stdlib.h>
#include <string.h>

#define FIXED_SIZE 162
#define PLAIN_ROOM MiB

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The tag of the header as it says that it ends. */
static void header_repair(uint8_t *object, size_t size)
{
	struct error err = {0};
	size_t header_size = load_u32(object + 16);

	if (header_size < FIXED_SIZE + SHA256_SIZE || header_size > size)
		return;
	if (!sha256(bytes_of(object, header_size - SHA256_SIZE), object + header_size - SHA256_SIZE, &err))
		abort();
}

static void frames_open(const struct secrets *secrets, const struct object_header *header, struct bytes object)
{
	struct frame_opener opener FRAME_OPENER_CLEANUP = {.header = NULL};
	struct error err = {0};

	if (!frame_opener_init(&opener, secrets, header, &err))
		return;
	for (uint32_t i = 0; i < header->frame_count; i++) {
		uint64_t offset;
		size_t size, plain_size = object_frame_plain_size(header, i);
		uint8_t *plain;

		object_frame_range(header, i, &offset, &size);
		if (offset + size > object.size || plain_size > PLAIN_ROOM)
			return;
		plain = malloc(plain_size + 1);
		if (plain == NULL)
			abort();
		(void) !frame_opener_run(&opener, i, bytes_slice(object, (size_t) offset, size), plain, &err);
		free(plain);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	struct object_identity identity = {.key = "n", .kind = OBJECT_WAL};
	struct secrets *secrets = NULL;
	struct error err = {0};
	uint64_t whole_size = 0;
	size_t header_need = 0;
	uint8_t *object = malloc(size + 1);

	if (object == NULL || !secrets_open(NULL, &secrets, &err))
		abort();
	memcpy(object, data, size);
	if (size > FIXED_SIZE)
		header_repair(object, size);
	if (object_open_header(secrets, &identity, bytes_of(object, size), &header, &whole_size, &header_need, &err))
		frames_open(secrets, &header, bytes_of(object, size));
	free(object);
	secrets_close(secrets);
	return 0;
}
