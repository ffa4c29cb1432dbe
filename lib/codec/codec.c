#include "codec/codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "codec/builder.h"
#include "codec/digester.h"
#include "codec/header.h"
#include "codec/schedule.h"

size_t object_size_max(size_t plain_size, size_t meta_size, int frame_log2)
{
	uint32_t count = header_frame_count(plain_size, frame_log2);

	return header_size_of(OBJECT_KEY_MAX, count) + meta_size + OBJECT_TAG_SIZE + plain_size +
	       (size_t) count * OBJECT_TAG_SIZE;
}

bool frame_compress(struct encoder *encoder, struct bytes plain, uint8_t *target, uint32_t *entry, struct error *err)
{
	size_t size = 0;

	TRY(encoder_run(encoder, plain, target, plain.size > 0 ? plain.size - 1 : 0, &size, err));
	*entry = (uint32_t) size;
	if (size > 0)
		return true;
	if (plain.size > 0)
		memcpy(target, plain.data, plain.size);
	*entry = (uint32_t) plain.size | FRAME_IS_RAW;
	return true;
}

/* The name of a pack is drawn for it, so that nobody has anything to compare with it; its content has no identity. */
static bool kind_has_content_id(enum object_kind kind)
{
	return kind != OBJECT_PACK;
}

static bool content_digester_init(struct digester *digester, const struct schedule *schedule,
				  const uint8_t *repository_id, const char *name, struct error *err)
{
	uint8_t hash_key[SECRET_SIZE], digest_key[SECRET_SIZE];
	bool done = schedule_content_keys(schedule, repository_id, name, hash_key, digest_key, err) &&
		    digester_init(digester, hash_key, digest_key, err) && digester_begin(digester, err);

	secret_wipe(hash_key, sizeof(hash_key));
	secret_wipe(digest_key, sizeof(digest_key));
	return done;
}

/* Digests and compresses each frame to its place, while it is in the cache. */
static bool frames_add(struct object_builder *builder, struct compression compression, struct digester *digester,
		       struct bytes plain, struct error *err)
{
	struct encoder encoder ENCODER_CLEANUP = {0};

	TRY(encoder_init(&encoder, compression, err));
	while (plain.size > 0) {
		size_t frame_max = (size_t) 1 << builder->header.frame_log2;
		struct bytes frame = bytes_slice(plain, 0, plain.size < frame_max ? plain.size : frame_max);
		uint32_t entry;
		uint8_t *room;

		if (digester != NULL)
			TRY(digester_add(digester, frame, err));
		TRY(object_builder_room(builder, frame.size, &room, err));
		TRY(frame_compress(&encoder, frame, room, &entry, err));
		TRY(object_builder_add(builder, entry, frame.size, err));
		plain = bytes_slice(plain, frame.size, plain.size - frame.size);
	}
	return true;
}

static bool content_seal(struct object_builder *builder, struct compression compression, struct bytes plain,
			 struct error *err)
{
	struct object_header *header = &builder->header;
	struct digester digester DIGESTER_CLEANUP = {.gmac = {0}};
	struct bytes sealed;

	if (kind_has_content_id(header->kind)) {
		TRY(content_digester_init(&digester, &builder->schedule, header->repository_id, header->key, err));
		TRY(frames_add(builder, compression, &digester, plain, err));
		TRY(digester_end(&digester, header->content_id, err));
	} else {
		TRY(frames_add(builder, compression, NULL, plain, err));
	}
	return object_builder_seal(builder, &sealed, err);
}

static bool object_seal_form(const struct secrets *secrets, const struct object_identity *identity,
			     const struct object_form *form, struct compression compression, struct bytes plain,
			     struct buf *object, struct error *err)
{
	struct object_builder builder OBJECT_BUILDER_CLEANUP = {.object = NULL};
	size_t size = object->size;

	if (plain.size > OBJECT_PLAIN_MAX)
		return fail(err, ERROR_USAGE, "could not seal \"%s\": %zu bytes are too large for an object",
			    identity->key, plain.size);
	if (buf_allocate(object, size + object_size_max(plain.size, form->meta.size, form->frame_log2), err) &&
	    object_builder_init(&builder, secrets, identity, form, object, err) &&
	    content_seal(&builder, compression, plain, err))
		return true;
	object->size = size;
	return fail_in(err, "could not seal \"%s\"", identity->key);
}

bool object_seal(const struct secrets *secrets, const struct object_identity *identity, enum object_class class,
		 struct compression compression, int frame_log2, struct bytes meta, struct bytes plain,
		 struct buf *object, struct error *err)
{
	struct object_form form = {
		.class = class,
		.codec = compression.codec,
		.frame_log2 = frame_log2,
		.frames_max = header_frame_count(plain.size, frame_log2),
		.meta = meta,
	};

	return object_seal_form(secrets, identity, &form, compression, plain, object, err);
}

bool object_seal_to(const struct secrets *secrets, const uint8_t recipient_public[SECRET_SIZE],
		    const struct object_identity *identity, struct bytes meta, struct bytes plain, struct buf *object,
		    struct error *err)
{
	struct object_form form = {
		.class = CLASS_SECRET,
		.codec = CODEC_NONE,
		.meta = meta,
		.frame_log2 = OBJECT_FRAME_LOG2_MIN,
		.frames_max = header_frame_count(plain.size, OBJECT_FRAME_LOG2_MIN),
		.recipient = recipient_public,
	};

	assert(identity->kind == OBJECT_RECIPIENT && secrets->encrypted);
	return object_seal_form(secrets, identity, &form, (struct compression){.codec = CODEC_NONE}, plain, object,
				err);
}

bool object_content_id(const struct secrets *secrets, const struct object_identity *identity, struct bytes plain,
		       uint8_t content_id[GMAC_SIZE], struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	struct digester digester DIGESTER_CLEANUP = {.gmac = {0}};

	assert(kind_has_content_id(identity->kind));
	schedule_init(&schedule, secrets, identity->repository_id);
	return content_digester_init(&digester, &schedule, identity->repository_id, identity->key, err) &&
	       digester_add(&digester, plain, err) && digester_end(&digester, content_id, err);
}

static bool repository_check(const uint8_t *demanded, const uint8_t *found, struct error *err)
{
	static const uint8_t any[REPOSITORY_ID_SIZE];
	char demanded_text[2 * REPOSITORY_ID_SIZE + 1], found_text[2 * REPOSITORY_ID_SIZE + 1];

	if (memcmp(demanded, any, REPOSITORY_ID_SIZE) == 0 || memcmp(demanded, found, REPOSITORY_ID_SIZE) == 0)
		return true;
	hex_format(bytes_of(demanded, REPOSITORY_ID_SIZE), demanded_text);
	hex_format(bytes_of(found, REPOSITORY_ID_SIZE), found_text);
	return fail(err, ERROR_CORRUPT, "belongs to repository %s, not to %s", found_text, demanded_text);
}

/* An authentic header of another object is what a swapped or copied object looks like. */
static bool identity_check(const struct object_identity *identity, const struct object_header *header,
			   struct error *err)
{
	TRY(repository_check(identity->repository_id, header->repository_id, err));
	if (strcmp(identity->key, header->key) != 0)
		return fail(err, ERROR_CORRUPT, "was sealed as \"%s\"", header->key);
	if (identity->system_identifier != header->system_identifier)
		return fail(err, ERROR_CORRUPT, "belongs to system identifier %llu, not to %llu",
			    (unsigned long long) header->system_identifier,
			    (unsigned long long) identity->system_identifier);
	if (identity->kind != header->kind)
		return fail(err, ERROR_CORRUPT, "is of kind %d, not %d", header->kind, identity->kind);
	return true;
}

static uint64_t whole_size_of(const struct object_header *header)
{
	uint64_t size = header->header_size + header->meta_size;

	for (uint32_t i = 0; i < header->frame_count; i++)
		size += (header->frames[i] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
	return size;
}

bool object_open_header(const struct secrets *secrets, const struct object_identity *identity, struct bytes object,
			struct object_header *header, uint64_t *whole_size, size_t *header_need, struct error *err)
{
	if (!header_decode(secrets, object, header, header_need, err))
		return fail_in(err, "object \"%s\"", identity->key);
	if (!identity_check(identity, header, err)) {
		object_header_release(header);
		return fail_in(err, "object \"%s\"", identity->key);
	}
	*whole_size = whole_size_of(header);
	return true;
}

static bool meta_open(const struct secrets *secrets, const struct object_header *header, struct bytes stored,
		      uint8_t *scratch, struct bytes *opened, struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	struct seal seal SEAL_CLEANUP = {0};
	uint8_t key[SECRET_SIZE];
	bool done;

	schedule_init(&schedule, secrets, header->repository_id);
	TRY(schedule_meta_key(&schedule, header->digest, key, err));
	done = seal_init(&seal, SEAL_META, SEAL_DECODE, header->encrypted ? key : NULL, header->digest, err) &&
	       seal_decode(&seal, 0, true, stored, scratch, opened, err);
	secret_wipe(key, sizeof(key));
	return done;
}

bool object_open_meta(const struct secrets *secrets, const struct object_header *header, struct bytes object,
		      struct buf *meta, struct error *err)
{
	struct bytes stored, opened;
	BUF(scratch, OBJECT_META_MAX);

	if (header->meta_size == 0)
		return true;
	if (object.size < header->header_size + header->meta_size)
		return fail(err, ERROR_CORRUPT, "object \"%s\": cut off in its summary", header->key);
	stored = bytes_slice(object, header->header_size, header->meta_size);
	TRY(buf_allocate(&scratch, stored.size, err));
	if (!meta_open(secrets, header, stored, scratch.data, &opened, err))
		return fail_in(err, "object \"%s\": summary", header->key);
	return buf_append(meta, opened, err);
}

void object_frame_range(const struct object_header *header, uint32_t index, uint64_t *offset, size_t *size)
{
	assert(index < header->frame_count);
	*offset = header->header_size + header->meta_size;
	for (uint32_t i = 0; i < index; i++)
		*offset += (header->frames[i] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
	*size = (header->frames[index] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
}

uint64_t object_frames_size(const struct object_header *header, uint32_t first, uint32_t last)
{
	uint64_t size = 0;

	assert(first <= last && last < header->frame_count);
	for (uint32_t i = first; i <= last; i++)
		size += (header->frames[i] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
	return size;
}

size_t object_frame_plain_size(const struct object_header *header, uint32_t index)
{
	uint64_t begin = (uint64_t) index << header->frame_log2;
	uint64_t rest = header->plain_size - begin;
	uint64_t frame = UINT64_C(1) << header->frame_log2;

	assert(index < header->frame_count);
	return (size_t) (rest < frame ? rest : frame);
}

static bool secret_missing(const struct secrets *secrets, const struct object_header *header, struct error *err)
{
	if (header->kind == OBJECT_RECIPIENT || !secrets->has_recipient_secret) {
		fail(err, ERROR_DENIED, "key file \"%s\" does not hold the secret that opens it", secrets->key_file);
		return fail_hint(err, "Use the secret key file, not the one for database hosts (FILE.host).");
	}
	return fail(err, ERROR_DENIED, "the repository key of epoch %u is not available with key file \"%s\"",
		    header->epoch, secrets->key_file);
}

/* The pair that class secret was sealed to, when we have it. */
static bool pair_find(const struct secrets *secrets, const struct object_header *header, const uint8_t **secret,
		      const uint8_t **public, struct error *err)
{
	char sealed_to[2 * HOST_KEY_ID_SIZE + 1], ours[2 * HOST_KEY_ID_SIZE + 1];
	uint8_t id[HOST_KEY_ID_SIZE];

	if (header->kind == OBJECT_RECIPIENT) {
		*secret = secrets->has_recipient_secret ? secrets->recipient_secret : NULL;
		*public = secrets->recipient_public;
	} else {
		*secret = secrets_epoch(secrets, header->epoch);
		*public = secrets_epoch_public(secrets, header->epoch);
	}
	if (*secret == NULL)
		return secret_missing(secrets, header, err);
	TRY(public_key_id(*public, id, err));
	if (memcmp(id, header->sealed_to, sizeof(id)) == 0)
		return true;
	hex_format(bytes_of(header->sealed_to, sizeof(id)), sealed_to);
	hex_format(bytes_of(id, sizeof(id)), ours);
	return fail(err, ERROR_DENIED, "sealed to public key %s, but ours is %s", sealed_to, ours);
}

static bool secret_frame_key(const struct secrets *secrets, const struct object_header *header,
			     const struct schedule *schedule, uint8_t key[SECRET_SIZE], struct error *err)
{
	const uint8_t *secret = NULL, *public = NULL;
	uint8_t shared[SECRET_SIZE];
	bool done;

	TRY(pair_find(secrets, header, &secret, &public, err));
	TRY(x25519_shared(secret, header->ephemeral, shared, err));
	done = schedule_secret_frame_key(schedule, header->digest, shared, public, key, err);
	secret_wipe(shared, sizeof(shared));
	return done;
}

static bool frame_key_find(const struct secrets *secrets, const struct object_header *header, uint8_t key[SECRET_SIZE],
			   struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};

	schedule_init(&schedule, secrets, header->repository_id);
	if (header->class == CLASS_SECRET && header->encrypted)
		return secret_frame_key(secrets, header, &schedule, key, err);
	return schedule_host_frame_key(&schedule, header->digest, key, err);
}

static bool opener_init(struct frame_opener *opener, const struct secrets *secrets, const struct object_header *header,
			struct error *err)
{
	uint8_t key[SECRET_SIZE];

	TRY(frame_key_find(secrets, header, key, err));
	bool done =
		seal_init(&opener->seal, SEAL_DATA, SEAL_DECODE, header->encrypted ? key : NULL, header->digest, err);
	secret_wipe(key, sizeof(key));
	TRY(done && decoder_init(&opener->decoder, header->codec, err));
	opener->header = header;
	opener->scratch_size = object_frame_plain_size(header, 0);
	if (!header->encrypted || header->codec == CODEC_NONE || opener->scratch_size == 0)
		return true;
	opener->scratch = malloc(opener->scratch_size);
	return opener->scratch != NULL ? true
				       : fail(err, ERROR_SYSTEM, "could not allocate %zu bytes", opener->scratch_size);
}

bool frame_opener_init(struct frame_opener *opener, const struct secrets *secrets, const struct object_header *header,
		       struct error *err)
{
	*opener = (struct frame_opener){.header = NULL};
	if (opener_init(opener, secrets, header, err))
		return true;
	frame_opener_release(opener);
	return fail_in(err, "object \"%s\"", header->key);
}

void frame_opener_release(struct frame_opener *opener)
{
	seal_release(&opener->seal);
	decoder_release(&opener->decoder);
	if (opener->scratch != NULL)
		secret_wipe(opener->scratch, opener->scratch_used);
	free(opener->scratch);
	opener->scratch = NULL;
}

static bool opener_run(struct frame_opener *opener, uint32_t index, struct bytes stored, uint8_t *target,
		       struct error *err)
{
	const struct object_header *header = opener->header;
	bool is_raw = (header->frames[index] & FRAME_IS_RAW) != 0;
	bool is_last = index == header->frame_count - 1;
	struct bytes opened;

	if (stored.size != (header->frames[index] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE)
		return fail(err, ERROR_CORRUPT, "cut off");
	if (!is_raw && stored.size - OBJECT_TAG_SIZE > opener->scratch_used)
		opener->scratch_used = stored.size - OBJECT_TAG_SIZE;
	TRY(seal_decode(&opener->seal, index, is_last, stored, is_raw ? target : opener->scratch, &opened, err));
	if (!is_raw)
		return decoder_run(&opener->decoder, opened, target, object_frame_plain_size(header, index), err);
	if (opened.data != target && opened.size > 0)
		memcpy(target, opened.data, opened.size);
	return true;
}

bool frame_opener_run(struct frame_opener *opener, uint32_t index, struct bytes stored, uint8_t *target,
		      struct error *err)
{
	uint8_t nowhere;

	assert(index < opener->header->frame_count);
	if (opener_run(opener, index, stored, target == NULL ? &nowhere : target, err))
		return true;
	return fail_in(err, "object \"%s\": frame %u", opener->header->key, index);
}

/* Each frame is digested while it is in the cache. */
static bool frames_open(struct frame_opener *opener, struct digester *digester, struct bytes object, uint8_t *target,
			struct error *err)
{
	const struct object_header *header = opener->header;
	size_t offset = header->header_size + header->meta_size;

	for (uint32_t i = 0; i < header->frame_count; i++) {
		size_t size = (header->frames[i] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
		size_t plain_size = object_frame_plain_size(header, i);

		TRY(frame_opener_run(opener, i, bytes_slice(object, offset, size), target, err));
		if (digester != NULL)
			TRY(digester_add(digester, bytes_of(target, plain_size), err));
		offset += size;
		target += plain_size;
	}
	return true;
}

static bool size_check(uint64_t whole_size, size_t size, struct error *err)
{
	if (size < whole_size)
		return fail(err, ERROR_CORRUPT, "cut off: %zu bytes of %llu", size, (unsigned long long) whole_size);
	if (size > whole_size)
		return fail(err, ERROR_CORRUPT, "damaged: %llu bytes behind its end",
			    (unsigned long long) (size - whole_size));
	return true;
}

/* The content identity is compared last: it is what another host compares with when it pushes the same file again. */
static bool content_open(const struct secrets *secrets, struct frame_opener *opener, struct bytes object,
			 uint8_t *target, struct error *err)
{
	const struct object_header *header = opener->header;
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	struct digester digester DIGESTER_CLEANUP = {.gmac = {0}};
	uint8_t content_id[GMAC_SIZE];

	if (!kind_has_content_id(header->kind))
		return frames_open(opener, NULL, object, target, err);
	schedule_init(&schedule, secrets, header->repository_id);
	TRY(content_digester_init(&digester, &schedule, header->repository_id, header->key, err));
	TRY(frames_open(opener, &digester, object, target, err));
	TRY(digester_end(&digester, content_id, err));
	if (tag_is_equal(content_id, header->content_id, GMAC_SIZE))
		return true;
	return fail(err, ERROR_CORRUPT, "object \"%s\": its content is not what its header identifies", header->key);
}

/* Where `size` bytes can be appended; never NULL, also for none. */
static uint8_t *plain_end(const struct buf *plain, size_t size, uint8_t *nowhere)
{
	return size == 0 ? nowhere : plain->data + plain->size;
}

static bool object_open_whole(const struct secrets *secrets, const struct object_header *header, struct bytes object,
			      uint8_t *target, struct error *err)
{
	struct frame_opener opener FRAME_OPENER_CLEANUP = {.header = NULL};
	BUF(meta, OBJECT_META_MAX);

	TRY(object_open_meta(secrets, header, object, &meta, err));
	TRY(frame_opener_init(&opener, secrets, header, err));
	return content_open(secrets, &opener, object, target, err);
}

bool object_open(const struct secrets *secrets, const struct object_identity *identity, struct bytes object,
		 struct buf *plain, struct error *err)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	uint64_t whole_size = 0;
	size_t header_need = 0;
	uint8_t nowhere, *target;

	TRY(object_open_header(secrets, identity, object, &header, &whole_size, &header_need, err));
	if (!size_check(whole_size, object.size, err))
		return fail_in(err, "object \"%s\"", identity->key);
	TRY(buf_allocate(plain, plain->size + (size_t) header.plain_size, err) ||
	    fail_in(err, "object \"%s\"", identity->key));
	target = plain_end(plain, (size_t) header.plain_size, &nowhere);
	if (!object_open_whole(secrets, &header, object, target, err)) {
		secret_wipe(target, (size_t) header.plain_size);
		return false;
	}
	plain->size += (size_t) header.plain_size;
	return true;
}
