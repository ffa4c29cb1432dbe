/* A sealed object from its frames, one after the other, whoever compresses them.
 *
 * The caller writes each frame to object_builder_room() and says with object_builder_add() what it is;
 * object_builder_seal() then encrypts all of them in place and puts the header before them. Nothing is moved, and the
 * object can be sent from where it lies. Content identity is the caller's. One thread at a time.
 * object_seal() of codec.h is this, for plaintext that is at hand.
 */
#pragma once

#include "codec/codec.h"
#include "codec/schedule.h"

/* What an object is to be like. */
struct object_form {
	enum object_class class;
	enum object_codec codec;
	int frame_log2;
	uint32_t frames_max;	  /* more are refused; room for a header of that many is left */
	struct bytes meta;	  /* may be empty; borrowed until it is sealed */
	const uint8_t *recipient; /* class secret: whom to seal to; NULL: whom the secrets say */
};

struct object_builder {
	struct object_header header; /* as far as it is known; content_id is the caller's to set */
	struct schedule schedule;
	uint8_t recipient[SECRET_SIZE]; /* public key; meaningless where header.ephemeral is */
	uint8_t ephemeral_secret[SECRET_SIZE];
	struct bytes meta;
	uint32_t frames_max;
	size_t frames_begin; /* in `object` */
	struct buf *object;  /* where it is built; borrowed */
};

/* Begins behind what is in `object`, which grows up to its bound. */
bool object_builder_init(struct object_builder *builder, const struct secrets *secrets,
			 const struct object_identity *identity, const struct object_form *form, struct buf *object,
			 struct error *err) MUST_CHECK;
void object_builder_release(struct object_builder *builder); /* leaves `object` alone; also one that is {0} */
#define OBJECT_BUILDER_CLEANUP __attribute__((cleanup(object_builder_release)))

/* Where the next frame goes: `size` bytes, valid until the next call. */
bool object_builder_room(struct object_builder *builder, size_t size, uint8_t **room, struct error *err) MUST_CHECK;
/* The frame that frame_compress() has said `entry` of lies there. Every frame but the last must be full. */
bool object_builder_add(struct object_builder *builder, uint32_t entry, size_t plain_size,
			struct error *err) MUST_CHECK;
/* What the object measures so far, about. */
size_t object_builder_size(const struct object_builder *builder);
/* Finishes it. The object is borrowed from the buf, and need not begin where that does. */
bool object_builder_seal(struct object_builder *builder, struct bytes *object, struct error *err) MUST_CHECK;
