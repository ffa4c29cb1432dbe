#include "codec/builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "codec/header.h"

static bool arguments_check(const struct object_identity *identity, const struct object_form *form, struct error *err)
{
	size_t length = strlen(identity->key);

	assert(form->frame_log2 >= OBJECT_FRAME_LOG2_MIN && form->frame_log2 <= OBJECT_FRAME_LOG2_MAX);
	if (length == 0 || length > OBJECT_KEY_MAX)
		return fail(err, ERROR_USAGE, "an object's name has 1 to %d bytes, not %zu", OBJECT_KEY_MAX, length);
	if (form->frames_max > OBJECT_FRAMES_MAX || form->meta.size > OBJECT_META_MAX)
		return fail(err, ERROR_USAGE, "%u frames with a summary of %zu bytes are too large for an object",
			    form->frames_max, form->meta.size);
	return true;
}

/* Which public key an object of class secret is for. */
static bool recipient_find(struct object_builder *builder, const struct secrets *secrets, const uint8_t *given,
			   struct error *err)
{
	struct object_header *header = &builder->header;
	const uint8_t *public = given;

	if (!secrets->encrypted || header->class == CLASS_HOST)
		return true;
	if (header->kind == OBJECT_RECIPIENT) {
		public = given != NULL ? given : secrets->recipient_public;
	} else {
		if (secrets->epoch == 0)
			return fail(err, ERROR_USAGE, "the repository's public key is not known");
		public = secrets->repository_public;
		header->epoch = secrets->epoch;
	}
	memcpy(builder->recipient, public, SECRET_SIZE);
	TRY(public_key_id(public, header->sealed_to, err));
	return x25519_generate(builder->ephemeral_secret, header->ephemeral, err);
}

static bool header_begin(struct object_builder *builder, const struct secrets *secrets,
			 const struct object_identity *identity, const struct object_form *form, struct error *err)
{
	struct object_header *header = &builder->header;

	header->class = form->class;
	header->codec = form->codec;
	header->frame_log2 = form->frame_log2;
	header->kind = identity->kind;
	header->encrypted = secrets->encrypted;
	header->system_identifier = identity->system_identifier;
	header->meta_size = form->meta.size == 0 ? 0 : (uint32_t) (form->meta.size + OBJECT_TAG_SIZE);
	memcpy(header->key, identity->key, strlen(identity->key) + 1);
	memcpy(header->repository_id, identity->repository_id, REPOSITORY_ID_SIZE);
	memcpy(header->host_key_id, secrets->host_key_id, HOST_KEY_ID_SIZE);
	TRY(random_bytes(header->nonce, sizeof(header->nonce), err));
	TRY(recipient_find(builder, secrets, form->recipient, err));
	header->frames = calloc(form->frames_max, sizeof(*header->frames));
	if (header->frames == NULL)
		return fail(err, ERROR_SYSTEM, "could not allocate a table of %u frames", form->frames_max);
	return true;
}

bool object_builder_init(struct object_builder *builder, const struct secrets *secrets,
			 const struct object_identity *identity, const struct object_form *form, struct buf *object,
			 struct error *err)
{
	*builder = (struct object_builder){.meta = form->meta, .frames_max = form->frames_max, .object = object};
	TRY(arguments_check(identity, form, err));
	schedule_init(&builder->schedule, secrets, identity->repository_id);
	TRY(header_begin(builder, secrets, identity, form, err));
	builder->frames_begin =
		object->size + header_size_of(strlen(identity->key), form->frames_max) + builder->header.meta_size;
	TRY(buf_reserve(object, builder->frames_begin - object->size, err));
	object->size = builder->frames_begin;
	return true;
}

void object_builder_release(struct object_builder *builder)
{
	object_header_release(&builder->header);
	secret_wipe(builder, sizeof(*builder));
}

bool object_builder_room(struct object_builder *builder, size_t size, uint8_t **room, struct error *err)
{
	TRY(buf_reserve(builder->object, size + OBJECT_TAG_SIZE, err));
	*room = builder->object->data + builder->object->size;
	return true;
}

bool object_builder_add(struct object_builder *builder, uint32_t entry, size_t plain_size, struct error *err)
{
	struct object_header *header = &builder->header;

	assert(plain_size <= (size_t) 1 << header->frame_log2);
	assert(header->plain_size == (uint64_t) header->frame_count << header->frame_log2);
	if (header->frame_count == builder->frames_max)
		return fail(err, ERROR_USAGE, "%u frames are the most that were wanted in an object",
			    builder->frames_max);
	header->frames[header->frame_count++] = entry;
	header->plain_size += plain_size;
	builder->object->size += (entry & FRAME_SIZE_MASK) + OBJECT_TAG_SIZE;
	return true;
}

size_t object_builder_size(const struct object_builder *builder)
{
	return builder->object->size - builder->frames_begin;
}

static bool meta_seal(struct object_builder *builder, uint8_t *target, struct error *err)
{
	const struct object_header *header = &builder->header;
	struct seal seal SEAL_CLEANUP = {0};
	uint8_t key[SECRET_SIZE];
	bool done;

	if (builder->meta.size == 0)
		return true;
	memcpy(target, builder->meta.data, builder->meta.size);
	TRY(schedule_meta_key(&builder->schedule, header->digest, key, err));
	done = seal_init(&seal, SEAL_META, SEAL_ENCODE, header->encrypted ? key : NULL, header->digest, err) &&
	       seal_encode(&seal, 0, true, target, builder->meta.size, err);
	secret_wipe(key, sizeof(key));
	return done;
}

/* The sender's side of what frame_opener_init() computes. */
static bool frame_key_make(struct object_builder *builder, uint8_t key[SECRET_SIZE], struct error *err)
{
	const struct object_header *header = &builder->header;
	uint8_t shared[SECRET_SIZE];
	bool done;

	if (!header->encrypted || header->class == CLASS_HOST)
		return schedule_host_frame_key(&builder->schedule, header->digest, key, err);
	TRY(x25519_shared(builder->ephemeral_secret, builder->recipient, shared, err));
	done = schedule_secret_frame_key(&builder->schedule, header->digest, shared, builder->recipient, key, err);
	secret_wipe(shared, sizeof(shared));
	return done;
}

static bool frames_seal(struct object_builder *builder, struct error *err)
{
	const struct object_header *header = &builder->header;
	uint8_t *frame = builder->object->data + builder->frames_begin;
	struct seal seal SEAL_CLEANUP = {0};
	uint8_t key[SECRET_SIZE];
	bool done;

	TRY(frame_key_make(builder, key, err));
	done = seal_init(&seal, SEAL_DATA, SEAL_ENCODE, header->encrypted ? key : NULL, header->digest, err);
	secret_wipe(key, sizeof(key));
	for (uint32_t i = 0; done && i < header->frame_count; i++) {
		size_t size = header->frames[i] & FRAME_SIZE_MASK;

		done = seal_encode(&seal, i, i == header->frame_count - 1, frame, size, err);
		frame += size + OBJECT_TAG_SIZE;
	}
	return done;
}

bool object_builder_seal(struct object_builder *builder, struct bytes *object, struct error *err)
{
	struct object_header *header = &builder->header;
	uint8_t *room, *meta, *start;

	if (header->frame_count == 0) { /* an empty object has one empty frame */
		TRY(object_builder_room(builder, 0, &room, err));
		TRY(object_builder_add(builder, FRAME_IS_RAW, 0, err));
	}
	if (header->plain_size > OBJECT_PLAIN_MAX)
		return fail(err, ERROR_USAGE, "%llu bytes are too large for an object",
			    (unsigned long long) header->plain_size);
	header->header_size = header_size_of(strlen(header->key), header->frame_count);
	meta = builder->object->data + builder->frames_begin - header->meta_size;
	start = meta - header->header_size;
	TRY(header_encode(&builder->schedule, header, start, err));
	TRY(meta_seal(builder, meta, err));
	TRY(frames_seal(builder, err));
	*object = bytes_of(start, (size_t) (builder->object->data + builder->object->size - start));
	return true;
}
