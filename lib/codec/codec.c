#include "codec/codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/random.h"
#include "codec/header.h"
#include "codec/schedule.h"
#include "codec/seal.h"

/* The public key that class secret is sealed to; `public` NULL: to none (class host, or no key file). */
struct recipient {
	const uint8_t *public;
	uint32_t epoch;
};

/* One object on its way out: everything lies where it will stay, so that nothing is copied. */
struct sealing {
	struct schedule schedule;
	struct recipient recipient;
	struct object_header header;
	uint8_t ephemeral_secret[SECRET_SIZE];
	uint8_t *start; /* of the object, in the caller's buffer */
	size_t size;	/* so far */
};

static void sealing_release(struct sealing *sealing)
{
	object_header_release(&sealing->header);
	secret_wipe(sealing, sizeof(*sealing));
}

#define SEALING_CLEANUP __attribute__((cleanup(sealing_release)))

size_t object_size_max(size_t plain_size, size_t meta_size, int frame_log2)
{
	uint32_t count = header_frame_count(plain_size, frame_log2);

	return header_size_of(OBJECT_KEY_MAX, count) + meta_size + OBJECT_TAG_SIZE + plain_size +
	       (size_t) count * OBJECT_TAG_SIZE;
}

static bool seal_arguments_check(const struct object_identity *identity, int frame_log2, struct bytes meta,
				 struct bytes plain, struct error *err)
{
	size_t length = strlen(identity->key);

	assert(frame_log2 >= OBJECT_FRAME_LOG2_MIN && frame_log2 <= OBJECT_FRAME_LOG2_MAX);
	if (length == 0 || length > OBJECT_KEY_MAX)
		return fail(err, ERROR_USAGE, "an object's name has 1 to %d bytes, not %zu", OBJECT_KEY_MAX, length);
	if (plain.size > OBJECT_PLAIN_MAX || meta.size > OBJECT_META_MAX)
		return fail(err, ERROR_USAGE, "%zu bytes with a summary of %zu are too large for an object", plain.size,
			    meta.size);
	return true;
}

/* Which public key an object of `class` and `kind` is for. */
static bool recipient_find(const struct secrets *secrets, enum object_class class, enum object_kind kind,
			   struct recipient *recipient, struct error *err)
{
	*recipient = (struct recipient){0};
	if (!secrets->encrypted || class == CLASS_HOST)
		return true;
	if (kind == OBJECT_RECIPIENT) {
		recipient->public = secrets->recipient_public;
		return true;
	}
	if (secrets->epoch == 0)
		return fail(err, ERROR_USAGE, "the repository's public key is not known");
	*recipient = (struct recipient){.public = secrets->repository_public, .epoch = secrets->epoch};
	return true;
}

static bool header_fill(struct sealing *sealing, const struct secrets *secrets, const struct object_identity *identity,
			struct bytes plain, struct error *err)
{
	struct object_header *header = &sealing->header;

	header->kind = identity->kind;
	header->encrypted = secrets->encrypted;
	header->system_identifier = identity->system_identifier;
	header->epoch = sealing->recipient.epoch;
	header->plain_size = plain.size;
	header->frame_count = header_frame_count(plain.size, header->frame_log2);
	header->header_size = header_size_of(strlen(identity->key), header->frame_count);
	memcpy(header->key, identity->key, strlen(identity->key) + 1);
	memcpy(header->repository_id, identity->repository_id, REPOSITORY_ID_SIZE);
	memcpy(header->host_key_id, secrets->host_key_id, HOST_KEY_ID_SIZE);
	TRY(random_bytes(header->nonce, sizeof(header->nonce), err));
	if (sealing->recipient.public != NULL) {
		TRY(public_key_id(sealing->recipient.public, header->sealed_to, err));
		TRY(x25519_generate(sealing->ephemeral_secret, header->ephemeral, err));
	}
	header->frames = calloc(header->frame_count, sizeof(*header->frames));
	if (header->frames == NULL)
		return fail(err, ERROR_SYSTEM, "could not allocate a table of %u frames", header->frame_count);
	return schedule_content_id(&sealing->schedule, identity->repository_id, identity->key, plain,
				   header->content_id, err);
}

/* Compresses each frame to its place, with room for a tag behind it. */
static bool frames_place(struct sealing *sealing, struct compression compression, struct bytes plain, struct error *err)
{
	struct object_header *header = &sealing->header;
	struct encoder encoder ENCODER_CLEANUP = {0};

	TRY(encoder_init(&encoder, compression, err));
	for (uint32_t i = 0; i < header->frame_count; i++) {
		size_t frame_size = header_frame_plain_size(header, i), size = 0;
		struct bytes frame = bytes_slice(plain, (size_t) i << header->frame_log2, frame_size);
		uint8_t *target = sealing->start + sealing->size;

		TRY(encoder_run(&encoder, frame, target, frame_size > 0 ? frame_size - 1 : 0, &size, err));
		header->frames[i] = (uint32_t) size;
		if (size == 0) {
			if (frame_size > 0)
				memcpy(target, frame.data, frame_size);
			size = frame_size;
			header->frames[i] = (uint32_t) size | FRAME_IS_RAW;
		}
		sealing->size += size + OBJECT_TAG_SIZE;
	}
	return true;
}

static bool meta_seal(struct sealing *sealing, struct bytes meta, struct error *err)
{
	const struct object_header *header = &sealing->header;
	uint8_t *target = sealing->start + header->header_size;
	struct seal seal SEAL_CLEANUP = {0};
	uint8_t key[SECRET_SIZE];
	bool done;

	if (meta.size == 0)
		return true;
	memcpy(target, meta.data, meta.size);
	TRY(schedule_meta_key(&sealing->schedule, header->digest, key, err));
	done = seal_init(&seal, SEAL_META, SEAL_ENCODE, header->encrypted ? key : NULL, header->digest, err) &&
	       seal_encode(&seal, 0, true, target, meta.size, err);
	secret_wipe(key, sizeof(key));
	return done;
}

/* The sender's side of object_frame_key(). */
static bool frame_key_make(struct sealing *sealing, uint8_t key[SECRET_SIZE], struct error *err)
{
	const uint8_t *public = sealing->recipient.public;
	uint8_t shared[SECRET_SIZE];
	bool done;

	if (public == NULL)
		return schedule_host_frame_key(&sealing->schedule, sealing->header.digest, key, err);
	TRY(x25519_shared(sealing->ephemeral_secret, public, shared, err));
	done = schedule_secret_frame_key(&sealing->schedule, sealing->header.digest, shared, public, key, err);
	secret_wipe(shared, sizeof(shared));
	return done;
}

static bool frames_seal(struct sealing *sealing, struct error *err)
{
	const struct object_header *header = &sealing->header;
	uint8_t *frame = sealing->start + header->header_size + header->meta_size;
	struct seal seal SEAL_CLEANUP = {0};
	uint8_t key[SECRET_SIZE];
	bool done;

	TRY(frame_key_make(sealing, key, err));
	done = seal_init(&seal, SEAL_DATA, SEAL_ENCODE, header->encrypted ? key : NULL, header->digest, err);
	secret_wipe(key, sizeof(key));
	for (uint32_t i = 0; done && i < header->frame_count; i++) {
		size_t size = header->frames[i] & FRAME_SIZE_MASK;

		done = seal_encode(&seal, i, i == header->frame_count - 1, frame, size, err);
		frame += size + OBJECT_TAG_SIZE;
	}
	return done;
}

/* What the recipient, class, codec and frame size have been decided for. */
static bool sealing_run(struct sealing *sealing, const struct secrets *secrets, const struct object_identity *identity,
			struct compression compression, struct bytes meta, struct bytes plain, struct buf *object,
			struct error *err)
{
	struct object_header *header = &sealing->header;

	TRY(seal_arguments_check(identity, header->frame_log2, meta, plain, err));
	schedule_init(&sealing->schedule, secrets, identity->repository_id);
	header->codec = compression.codec;
	header->meta_size = meta.size == 0 ? 0 : (uint32_t) (meta.size + OBJECT_TAG_SIZE);
	TRY(header_fill(sealing, secrets, identity, plain, err));
	TRY(buf_allocate(object, object->size + object_size_max(plain.size, meta.size, header->frame_log2), err));
	sealing->start = object->data + object->size;
	sealing->size = header->header_size + header->meta_size;
	TRY(frames_place(sealing, compression, plain, err));
	TRY(header_encode(&sealing->schedule, header, sealing->start, err));
	TRY(meta_seal(sealing, meta, err));
	TRY(frames_seal(sealing, err));
	object->size += sealing->size;
	return true;
}

bool object_seal(const struct secrets *secrets, const struct object_identity *identity, enum object_class class,
		 struct compression compression, int frame_log2, struct bytes meta, struct bytes plain,
		 struct buf *object, struct error *err)
{
	struct sealing sealing SEALING_CLEANUP = {0};

	sealing.header.class = class;
	sealing.header.frame_log2 = frame_log2;
	if (recipient_find(secrets, class, identity->kind, &sealing.recipient, err) &&
	    sealing_run(&sealing, secrets, identity, compression, meta, plain, object, err))
		return true;
	return fail_in(err, "could not seal \"%s\"", identity->key);
}

bool object_seal_to(const struct secrets *secrets, const uint8_t recipient_public[SECRET_SIZE],
		    const struct object_identity *identity, struct bytes plain, struct buf *object, struct error *err)
{
	struct sealing sealing SEALING_CLEANUP = {0};
	struct bytes no_meta = {0};

	assert(identity->kind == OBJECT_RECIPIENT && secrets->encrypted);
	sealing.header.class = CLASS_SECRET;
	sealing.header.frame_log2 = OBJECT_FRAME_LOG2_MIN;
	sealing.recipient.public = recipient_public;
	if (sealing_run(&sealing, secrets, identity, (struct compression){.codec = CODEC_NONE}, no_meta, plain, object,
			err))
		return true;
	return fail_in(err, "could not seal \"%s\"", identity->key);
}

bool object_content_id(const struct secrets *secrets, const struct object_identity *identity, struct bytes plain,
		       uint8_t content_id[GMAC_SIZE], struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};

	schedule_init(&schedule, secrets, identity->repository_id);
	return schedule_content_id(&schedule, identity->repository_id, identity->key, plain, content_id, err);
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

bool object_frame_key(const struct secrets *secrets, const struct object_header *header, struct frame_key *key,
		      struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	bool done;

	schedule_init(&schedule, secrets, header->repository_id);
	if (header->class == CLASS_SECRET && header->encrypted)
		done = secret_frame_key(secrets, header, &schedule, key->bytes, err);
	else
		done = schedule_host_frame_key(&schedule, header->digest, key->bytes, err);
	return done ? true : fail_in(err, "object \"%s\"", header->key);
}

/* What opening the frames of one object needs again for each of them. */
struct opening {
	const struct object_header *header;
	struct seal seal;
	struct decoder decoder;
	uint8_t *scratch; /* decrypted and still compressed */
	size_t scratch_size;
};

static void opening_release(struct opening *opening)
{
	seal_release(&opening->seal);
	decoder_release(&opening->decoder);
	if (opening->scratch != NULL)
		secret_wipe(opening->scratch, opening->scratch_size);
	free(opening->scratch);
}

#define OPENING_CLEANUP __attribute__((cleanup(opening_release)))

static bool opening_init(struct opening *opening, const struct object_header *header, const struct frame_key *key,
			 struct error *err)
{
	opening->header = header;
	opening->scratch_size = header_frame_plain_size(header, 0);
	if (header->encrypted && header->codec != CODEC_NONE && opening->scratch_size > 0) {
		opening->scratch = malloc(opening->scratch_size);
		if (opening->scratch == NULL)
			return fail(err, ERROR_SYSTEM, "could not allocate %zu bytes", opening->scratch_size);
	}
	TRY(decoder_init(&opening->decoder, header->codec, err));
	return seal_init(&opening->seal, SEAL_DATA, SEAL_DECODE, header->encrypted ? key->bytes : NULL, header->digest,
			 err);
}

/* Fills the frame's plaintext bytes at `target`. */
static bool opening_run(struct opening *opening, uint32_t index, struct bytes stored, uint8_t *target,
			struct error *err)
{
	const struct object_header *header = opening->header;
	bool is_raw = (header->frames[index] & FRAME_IS_RAW) != 0;
	bool is_last = index == header->frame_count - 1;
	struct bytes opened;

	TRY(seal_decode(&opening->seal, index, is_last, stored, is_raw ? target : opening->scratch, &opened, err));
	if (!is_raw)
		return decoder_run(&opening->decoder, opened, target, header_frame_plain_size(header, index), err);
	if (opened.data != target && opened.size > 0)
		memcpy(target, opened.data, opened.size);
	return true;
}

/* Where `size` bytes can be appended; never NULL, also for none. */
static uint8_t *plain_end(const struct buf *plain, size_t size, uint8_t *nowhere)
{
	return size == 0 ? nowhere : plain->data + plain->size;
}

bool object_open_frame(const struct object_header *header, const struct frame_key *key, uint32_t index,
		       struct bytes stored, struct buf *plain, struct error *err)
{
	struct opening opening OPENING_CLEANUP = {0};
	uint8_t nowhere;
	size_t size;

	assert(index < header->frame_count);
	size = header_frame_plain_size(header, index);
	if (stored.size != (header->frames[index] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE)
		return fail(err, ERROR_CORRUPT, "object \"%s\": frame %u is cut off", header->key, index);
	TRY(buf_reserve(plain, size, err));
	if (!opening_init(&opening, header, key, err))
		return fail_in(err, "object \"%s\"", header->key);
	if (!opening_run(&opening, index, stored, plain_end(plain, size, &nowhere), err))
		return fail_in(err, "object \"%s\": frame %u", header->key, index);
	plain->size += size;
	return true;
}

static bool frames_open(const struct object_header *header, const struct frame_key *key, struct bytes object,
			uint8_t *target, struct error *err)
{
	struct opening opening OPENING_CLEANUP = {0};
	size_t offset = header->header_size + header->meta_size;

	TRY(opening_init(&opening, header, key, err));
	for (uint32_t i = 0; i < header->frame_count; i++) {
		size_t size = (header->frames[i] & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;

		if (!opening_run(&opening, i, bytes_slice(object, offset, size), target, err))
			return fail_in(err, "frame %u", i);
		offset += size;
		target += header_frame_plain_size(header, i);
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

/* Everything behind the header. The content identity is compared last: it is what another host compares with when it
 * pushes the same file again. */
static bool content_open(const struct secrets *secrets, const struct object_identity *identity,
			 const struct object_header *header, struct bytes object, uint8_t *target, struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	uint8_t content_id[GMAC_SIZE];
	struct frame_key key;
	bool done;

	BUF(meta, OBJECT_META_MAX);
	TRY(object_open_meta(secrets, header, object, &meta, err));
	TRY(object_frame_key(secrets, header, &key, err));
	done = frames_open(header, &key, object, target, err);
	secret_wipe(&key, sizeof(key));
	if (!done)
		return fail_in(err, "object \"%s\"", identity->key);
	schedule_init(&schedule, secrets, header->repository_id);
	TRY(schedule_content_id(&schedule, header->repository_id, header->key, bytes_of(target, header->plain_size),
				content_id, err));
	if (!tag_is_equal(content_id, header->content_id, GMAC_SIZE))
		return fail(err, ERROR_CORRUPT, "object \"%s\": its content is not what its header identifies",
			    identity->key);
	return true;
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
	if (!content_open(secrets, identity, &header, object, target, err)) {
		secret_wipe(target, (size_t) header.plain_size);
		return false;
	}
	plain->size += (size_t) header.plain_size;
	return true;
}
