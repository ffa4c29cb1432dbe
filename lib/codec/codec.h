/* Sealed objects: one way from bytes to object bytes and back. docs/format.md, "Sealed objects", is the specification.
 *
 * An object is a header, an optional meta section, and frames. The header is authenticated with the host key (or
 * carries a checksum, without a key) and holds everything needed to find and open each frame on its own. The meta
 * section can be read by every host; the frames of the secret class only with a secret key.
 * Nothing unauthenticated leaves this file. Knows nothing of PostgreSQL or of where objects are kept.
 */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "codec/compression.h"
#include "codec/keys.h"
#include "codec/seal.h"

#define OBJECT_VERSION		  0
#define OBJECT_KEY_MAX		  512	     /* bytes of an object's name */
#define OBJECT_PLAIN_MAX	  GiB	     /* plaintext of one object: the largest WAL segment */
#define OBJECT_META_MAX		  (64 * KiB) /* plaintext of a meta section */
#define OBJECT_FRAME_LOG2_MIN	  12
#define OBJECT_FRAME_LOG2_MAX	  24
#define OBJECT_FRAME_LOG2_DEFAULT 20
#define OBJECT_FRAMES_MAX	  (1u << 18)
#define OBJECT_HEADER_MAX	  (2 * MiB)
#define OBJECT_TAG_SIZE		  16
/* Bytes to ask for first so that header and meta of nearly every object arrive in one request. */
#define OBJECT_PEEK_SIZE (64 * KiB)

enum object_class { CLASS_HOST = 0, CLASS_SECRET = 1 };

/* What an object holds; part of the format. */
enum object_kind {
	OBJECT_IDENTITY = 1,
	OBJECT_EPOCH = 2,     /* public half of a repository key */
	OBJECT_RECIPIENT = 3, /* secret half, sealed to one recipient */
	OBJECT_WAL = 4,	      /* a segment, a .partial, a .backup */
	OBJECT_HISTORY = 5,
	OBJECT_PACK = 6,
	OBJECT_MANIFEST = 7,
	OBJECT_FACT = 8,
	OBJECT_WAL_INDEX = 9,
	OBJECT_RELATION_MAP = 10,
	OBJECT_KIND_MAX = 10,
};

/* What an object is: written into its header, demanded of it when it is read. */
struct object_identity {
	const char *key; /* the whole name in the repository; borrowed */
	enum object_kind kind;
	uint64_t system_identifier;
	uint8_t repository_id[REPOSITORY_ID_SIZE];
};

/* An entry of the frame table. */
#define FRAME_IS_RAW	(UINT32_C(1) << 31)
#define FRAME_SIZE_MASK (FRAME_IS_RAW - 1)

struct object_header {
	enum object_class class;
	enum object_codec codec;
	enum object_kind kind;
	bool encrypted;
	int frame_log2;
	uint32_t epoch;
	uint64_t system_identifier;
	uint8_t repository_id[REPOSITORY_ID_SIZE];
	uint8_t nonce[32];
	uint8_t ephemeral[32];
	uint8_t content_id[GMAC_SIZE]; /* zero for kind OBJECT_PACK */
	uint8_t host_key_id[HOST_KEY_ID_SIZE];
	uint8_t sealed_to[HOST_KEY_ID_SIZE]; /* id of the public key of class secret */
	uint64_t plain_size;
	uint32_t meta_size; /* stored, with tag; 0: none */
	uint32_t frame_count;
	size_t header_size;
	char key[OBJECT_KEY_MAX + 1];
	uint8_t digest[SHA256_SIZE]; /* SHA-256 of the whole header: salt of the frame key */
	uint32_t *frames;	     /* stored size and raw flag of each; owned */
};

void object_header_release(struct object_header *header);
#define OBJECT_HEADER_CLEANUP __attribute__((cleanup(object_header_release)))

/* Appends the finished object to `object` (whose size_max must allow object_size_max()).
 * `meta` may be empty. Class secret seals to secrets->repository_public of secrets->epoch. */
bool object_seal(const struct secrets *secrets, const struct object_identity *identity, enum object_class class,
		 struct compression compression, int frame_log2, struct bytes meta, struct bytes plain,
		 struct buf *object, struct error *err) MUST_CHECK;
/* Class secret to any public key, without compression: how a repository secret is handed to a recipient
 * (OBJECT_RECIPIENT; object_seal() does the same with the recipient of the key file). `meta` may be empty. */
bool object_seal_to(const struct secrets *secrets, const uint8_t recipient_public[SECRET_SIZE],
		    const struct object_identity *identity, struct bytes meta, struct bytes plain, struct buf *object,
		    struct error *err) MUST_CHECK;
/* An upper bound of the bytes of an object with that much in it. */
size_t object_size_max(size_t plain_size, size_t meta_size, int frame_log2);

/* Compresses one frame into `target`, which has room for plain.size bytes, or copies it there when that does not make
 * it smaller. *entry is what the frame table says of it. */
bool frame_compress(struct encoder *encoder, struct bytes plain, uint8_t *target, uint32_t *entry,
		    struct error *err) MUST_CHECK;

/* Keyed digest of (key, plain): equal content under one name gives equal identity to every host of the cluster, and
 * says nothing to anybody else. */
bool object_content_id(const struct secrets *secrets, const struct object_identity *identity, struct bytes plain,
		       uint8_t content_id[GMAC_SIZE], struct error *err) MUST_CHECK;

/* Checks and reads the header at the start of `object`, which may be cut off behind it. identity->repository_id of
 * all zeroes accepts any repository (for the identity object itself). CORRUPT: damaged, or another object than
 * `identity` says; DENIED: made with another host key, or the key file is missing or superfluous. `*whole_size` is
 * what the whole object must measure. When fewer bytes are given than the header needs: CORRUPT with
 * *header_need set to the needed size (otherwise 0), so that the caller may fetch more and ask again. */
bool object_open_header(const struct secrets *secrets, const struct object_identity *identity, struct bytes object,
			struct object_header *header, uint64_t *whole_size, size_t *header_need,
			struct error *err) MUST_CHECK;
/* Appends the meta section; `object` must hold it (header_size + meta_size bytes). */
bool object_open_meta(const struct secrets *secrets, const struct object_header *header, struct bytes object,
		      struct buf *meta, struct error *err) MUST_CHECK;
/* Opens everything: header, frames, content identity. Appends to `plain`. On failure `plain` is left as it was. */
bool object_open(const struct secrets *secrets, const struct object_identity *identity, struct bytes object,
		 struct buf *plain, struct error *err) MUST_CHECK;

/* Where frame `index` lies in the object, for ranged reads. */
void object_frame_range(const struct object_header *header, uint32_t index, uint64_t *offset, size_t *size);
/* Stored bytes of the frames `first` to `last`, which lie one behind the other. */
uint64_t object_frames_size(const struct object_header *header, uint32_t first, uint32_t last);
/* Plaintext bytes of frame `index`. */
size_t object_frame_plain_size(const struct object_header *header, uint32_t index);

/* What opens frames of one object, any number of them in any order; one thread at a time, and each thread one of its
 * own. The header is borrowed and must stay. */
struct frame_opener {
	const struct object_header *header;
	struct seal seal;
	struct decoder decoder;
	uint8_t *scratch; /* decrypted and still compressed */
	size_t scratch_size;
	size_t scratch_used; /* at most */
};

/* The secret of the header's epoch is needed for class secret: DENIED without. */
bool frame_opener_init(struct frame_opener *opener, const struct secrets *secrets, const struct object_header *header,
		       struct error *err) MUST_CHECK;
void frame_opener_release(struct frame_opener *opener); /* also one that is {0} */
#define FRAME_OPENER_CLEANUP __attribute__((cleanup(frame_opener_release)))
/* Fills the object_frame_plain_size() bytes at `target` from exactly the frame's stored bytes with tag. CORRUPT when
 * they are not authentic; what is at `target` means nothing then. */
bool frame_opener_run(struct frame_opener *opener, uint32_t index, struct bytes stored, uint8_t *target,
		      struct error *err) MUST_CHECK;
