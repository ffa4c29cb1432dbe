#include "codec/header.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "codec/seal.h"

static const uint8_t magic[8] = {0x70, 0x69, 0x74, 0x72, 0x0d, 0x0a, 0x1a, 0x0a};

/* Offsets of the fixed part, where something is looked at before the whole is trusted. */
enum {
	AT_VERSION = 8,
	AT_SUITE = 10,
	AT_HEADER_SIZE = 16,
	AT_REPOSITORY_ID = 32,
	AT_HOST_KEY_ID = 128,
	FIXED_SIZE = 162,
};

void object_header_release(struct object_header *header)
{
	free(header->frames);
	header->frames = NULL;
}

uint32_t header_frame_count(uint64_t plain_size, int frame_log2)
{
	uint64_t count = (plain_size + (UINT64_C(1) << frame_log2) - 1) >> frame_log2;

	assert(count <= UINT32_MAX);
	return count == 0 ? 1 : (uint32_t) count;
}

size_t header_size_of(size_t name_length, uint32_t frame_count)
{
	return FIXED_SIZE + name_length + 4 * (size_t) frame_count + SHA256_SIZE;
}

static void fixed_encode(const struct object_header *header, size_t name_length, uint8_t *target)
{
	memcpy(target, magic, sizeof(magic));
	store_u16(target + AT_VERSION, OBJECT_VERSION);
	target[AT_SUITE] = header->encrypted ? 1 : 0;
	target[11] = (uint8_t) header->class;
	target[12] = (uint8_t) header->codec;
	target[13] = (uint8_t) header->kind;
	target[14] = (uint8_t) header->frame_log2;
	target[15] = 0;
	store_u32(target + AT_HEADER_SIZE, (uint32_t) header->header_size);
	store_u32(target + 20, header->epoch);
	store_u64(target + 24, header->system_identifier);
	memcpy(target + AT_REPOSITORY_ID, header->repository_id, REPOSITORY_ID_SIZE);
	memcpy(target + 48, header->nonce, sizeof(header->nonce));
	memcpy(target + 80, header->ephemeral, sizeof(header->ephemeral));
	memcpy(target + 112, header->content_id, GMAC_SIZE);
	memcpy(target + AT_HOST_KEY_ID, header->host_key_id, HOST_KEY_ID_SIZE);
	memcpy(target + 136, header->sealed_to, HOST_KEY_ID_SIZE);
	store_u64(target + 144, header->plain_size);
	store_u32(target + 152, header->meta_size);
	store_u32(target + 156, header->frame_count);
	store_u16(target + 160, (uint16_t) name_length);
}

bool header_encode(const struct schedule *schedule, struct object_header *header, uint8_t *target, struct error *err)
{
	size_t name_length = strlen(header->key);
	size_t untagged = header->header_size - SHA256_SIZE;
	uint8_t *table = target + FIXED_SIZE + name_length;

	assert(header->header_size == header_size_of(name_length, header->frame_count));
	fixed_encode(header, name_length, target);
	memcpy(target + FIXED_SIZE, header->key, name_length);
	for (uint32_t i = 0; i < header->frame_count; i++)
		store_u32(table + 4 * (size_t) i, header->frames[i]);
	TRY(schedule_header_tag(schedule, bytes_of(target, untagged), target + untagged, err));
	return sha256(bytes_of(target, header->header_size), header->digest, err);
}

static bool version_check(const uint8_t *data, struct error *err)
{
	uint16_t version = load_u16(data + AT_VERSION);

	if (version == OBJECT_VERSION && data[AT_SUITE] <= 1)
		return true;
	fail(err, ERROR_USAGE, "format version %u with suite %u is unknown", version, data[AT_SUITE]);
	return fail_hint(err, "It needs a newer pitr, or is damaged.");
}

/* Whether our key is the one to check the tag with. A key file is never ignored for an object that claims to be
 * unencrypted: whoever can write to the storage could otherwise replace any object. */
static bool host_key_check(const struct secrets *secrets, const uint8_t *data, struct error *err)
{
	char sealed_with[2 * HOST_KEY_ID_SIZE + 1], ours[2 * HOST_KEY_ID_SIZE + 1];
	const uint8_t *id = data + AT_HOST_KEY_ID;

	if (data[AT_SUITE] == 0 && secrets->encrypted) {
		fail(err, ERROR_DENIED, "not encrypted, although key file \"%s\" is set", secrets->key_file);
		return fail_hint(
			err,
			"Either this repository is used without \"key-file\", or somebody has replaced the object.");
	}
	if (data[AT_SUITE] == 0)
		return true;
	hex_format(bytes_of(id, HOST_KEY_ID_SIZE), sealed_with);
	if (!secrets->encrypted) {
		fail(err, ERROR_DENIED, "sealed with host key %s, but no key file is set", sealed_with);
		return fail_hint(err, "Set \"key-file\" to the key file of this repository.");
	}
	if (tag_is_equal(id, secrets->host_key_id, HOST_KEY_ID_SIZE))
		return true;
	hex_format(bytes_of(secrets->host_key_id, HOST_KEY_ID_SIZE), ours);
	fail(err, ERROR_DENIED, "sealed with host key %s, but key file \"%s\" holds %s", sealed_with, secrets->key_file,
	     ours);
	return fail_hint(err, "Set key-file to the key that this repository was initialised with; pitr-catalog keygen "
			      "printed its fingerprint.");
}

/* How long the header is, and that it is all there. */
static bool header_measure(struct bytes object, size_t *size, size_t *header_need, struct error *err)
{
	size_t compared = object.size < sizeof(magic) ? object.size : sizeof(magic);

	*header_need = 0;
	if (compared > 0 && memcmp(object.data, magic, compared) != 0)
		return fail(err, ERROR_CORRUPT, "not a sealed object");
	*header_need = FIXED_SIZE;
	if (object.size < FIXED_SIZE)
		return fail(err, ERROR_CORRUPT, "cut off: %zu bytes do not hold a header", object.size);
	*header_need = 0;
	TRY(version_check(object.data, err));
	*size = load_u32(object.data + AT_HEADER_SIZE);
	if (*size < header_size_of(1, 1) || *size > OBJECT_HEADER_MAX)
		return fail(err, ERROR_CORRUPT, "damaged: its header cannot have %zu bytes", *size);
	if (object.size < *size) {
		*header_need = *size;
		return fail(err, ERROR_CORRUPT, "cut off: %zu bytes of a header of %zu", object.size, *size);
	}
	return true;
}

static bool tag_check(const struct secrets *secrets, struct bytes bytes, struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	struct bytes untagged = bytes_slice(bytes, 0, bytes.size - SHA256_SIZE);
	uint8_t tag[SHA256_SIZE];

	schedule_init(&schedule, secrets, bytes.data + AT_REPOSITORY_ID);
	TRY(schedule_header_tag(&schedule, untagged, tag, err));
	if (!tag_is_equal(tag, bytes.data + untagged.size, SHA256_SIZE))
		return fail(err, ERROR_CORRUPT, "damaged: its header is not what was sealed");
	return true;
}

static void take(struct reader *reader, uint8_t *target, size_t size)
{
	struct bytes taken = reader_bytes(reader, size);

	assert(taken.size == size); /* the fixed part has been measured */
	memcpy(target, taken.data, size);
}

static void fixed_decode(struct reader *reader, struct object_header *header, uint16_t *name_length, bool *is_reserved)
{
	(void) reader_bytes(reader, AT_SUITE);
	header->encrypted = reader_u8(reader) == 1;
	header->class = reader_u8(reader);
	header->codec = reader_u8(reader);
	header->kind = reader_u8(reader);
	header->frame_log2 = reader_u8(reader);
	*is_reserved = reader_u8(reader) != 0;
	header->header_size = reader_u32(reader);
	header->epoch = reader_u32(reader);
	header->system_identifier = reader_u64(reader);
	take(reader, header->repository_id, REPOSITORY_ID_SIZE);
	take(reader, header->nonce, sizeof(header->nonce));
	take(reader, header->ephemeral, sizeof(header->ephemeral));
	take(reader, header->content_id, GMAC_SIZE);
	take(reader, header->host_key_id, HOST_KEY_ID_SIZE);
	take(reader, header->sealed_to, HOST_KEY_ID_SIZE);
	header->plain_size = reader_u64(reader);
	header->meta_size = reader_u32(reader);
	header->frame_count = reader_u32(reader);
	*name_length = reader_u16(reader);
}

static bool is_zero(const uint8_t *data, size_t size)
{
	while (size > 0 && *data == 0) {
		data++;
		size--;
	}
	return size == 0;
}

/* What is authentic and still unknown was written by somebody newer. */
static bool values_check(const struct object_header *header, bool is_reserved, struct error *err)
{
	if (!is_reserved && header->class <= CLASS_SECRET && header->codec <= CODEC_ZSTD && header->kind >= 1 &&
	    header->kind <= OBJECT_KIND_MAX)
		return true;
	fail(err, ERROR_USAGE, "class %d, codec %d or kind %d is unknown", header->class, header->codec, header->kind);
	return fail_hint(err, "It needs a newer pitr.");
}

/* Fields that must be zero where they have no meaning: one object has one encoding. */
static bool sealing_check(const struct object_header *header, struct error *err)
{
	bool is_sealed_to = header->encrypted && header->class == CLASS_SECRET;
	bool has_epoch = is_sealed_to && header->kind != OBJECT_RECIPIENT;
	bool zeroes = (is_sealed_to || (is_zero(header->ephemeral, sizeof(header->ephemeral)) &&
					is_zero(header->sealed_to, HOST_KEY_ID_SIZE))) &&
		      (header->encrypted || is_zero(header->host_key_id, HOST_KEY_ID_SIZE));

	if (!zeroes || (header->epoch != 0) != has_epoch)
		return fail(err, ERROR_CORRUPT, "malformed: epoch or keys in its header do not fit its class");
	if (header->kind == OBJECT_PACK && !is_zero(header->content_id, GMAC_SIZE))
		return fail(err, ERROR_CORRUPT, "malformed: a pack has no content identity");
	return true;
}

static bool sizes_check(const struct object_header *header, uint16_t name_length, struct error *err)
{
	if (header->frame_log2 < OBJECT_FRAME_LOG2_MIN || header->frame_log2 > OBJECT_FRAME_LOG2_MAX ||
	    header->plain_size > OBJECT_PLAIN_MAX || header->meta_size > OBJECT_META_MAX + OBJECT_TAG_SIZE ||
	    (header->meta_size != 0 && header->meta_size <= OBJECT_TAG_SIZE) || name_length == 0 ||
	    name_length > OBJECT_KEY_MAX ||
	    header->frame_count != header_frame_count(header->plain_size, header->frame_log2) ||
	    header->header_size != header_size_of(name_length, header->frame_count))
		return fail(err, ERROR_CORRUPT, "malformed: the sizes in its header contradict each other");
	return true;
}

static bool name_decode(struct reader *reader, uint16_t length, char *name, struct error *err)
{
	struct bytes bytes = reader_bytes(reader, length);

	if (reader->bad || memchr(bytes.data, '\0', bytes.size) != NULL)
		return fail(err, ERROR_CORRUPT, "malformed: the name in its header is not text");
	memcpy(name, bytes.data, bytes.size);
	name[bytes.size] = '\0';
	return true;
}

/* A frame is stored raw exactly as long as it is, or compressed and shorter. */
static bool frames_decode(struct reader *reader, struct object_header *header, struct error *err)
{
	header->frames = calloc(header->frame_count, sizeof(*header->frames));
	if (header->frames == NULL)
		return fail(err, ERROR_SYSTEM, "could not allocate a table of %u frames", header->frame_count);
	for (uint32_t i = 0; i < header->frame_count; i++) {
		uint32_t frame = reader_u32(reader);
		size_t size = frame & FRAME_SIZE_MASK, plain_size = object_frame_plain_size(header, i);
		bool is_raw = (frame & FRAME_IS_RAW) != 0;

		if (is_raw ? size != plain_size : size == 0 || size >= plain_size || header->codec == CODEC_NONE)
			return fail(err, ERROR_CORRUPT, "malformed: frame %u cannot have %zu bytes", i, size);
		header->frames[i] = frame;
	}
	return true;
}

static bool fields_decode(struct bytes bytes, struct object_header *header, struct error *err)
{
	struct reader reader = reader_init(bytes);
	uint16_t name_length = 0;
	bool is_reserved = false;

	fixed_decode(&reader, header, &name_length, &is_reserved);
	TRY(values_check(header, is_reserved, err));
	TRY(sealing_check(header, err));
	TRY(sizes_check(header, name_length, err));
	TRY(name_decode(&reader, name_length, header->key, err));
	return frames_decode(&reader, header, err);
}

bool header_decode(const struct secrets *secrets, struct bytes object, struct object_header *header,
		   size_t *header_need, struct error *err)
{
	struct bytes bytes;
	size_t size = 0;

	*header = (struct object_header){0};
	TRY(header_measure(object, &size, header_need, err));
	TRY(host_key_check(secrets, object.data, err));
	bytes = bytes_slice(object, 0, size);
	TRY(tag_check(secrets, bytes, err));
	TRY(sha256(bytes, header->digest, err));
	if (fields_decode(bytes, header, err))
		return true;
	object_header_release(header);
	return false;
}
