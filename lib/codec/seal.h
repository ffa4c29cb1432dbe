/* Frames: encryption and authentication of stored bytes in place, AES-256-GCM or a plain checksum.
 *
 * A seal works on one section (the data frames or the meta section) of one object, with one context for all its
 * frames. The frame's index and whether it is the last are part of the nonce, so a frame opens only in its place.
 * docs/format.md, "Frames".
 */
#pragma once

#include "base/buf.h"
#include "base/hash.h"

#define SEAL_TAG_SIZE 16
#define SEAL_KEY_SIZE 32

struct evp_cipher_ctx_st;
struct evp_md_ctx_st;

enum seal_section { SEAL_DATA, SEAL_META };
enum seal_direction { SEAL_DECODE = 0, SEAL_ENCODE = 1 };

struct seal {
	enum seal_section section;
	struct evp_cipher_ctx_st *cipher; /* suite 1 */
	struct evp_md_ctx_st *checksum;	  /* suite 0 */
	uint8_t header_digest[SHA256_SIZE];
};

/* `secret` NULL: checksums only (suite 0). */
bool seal_init(struct seal *seal, enum seal_section section, enum seal_direction direction, const uint8_t *secret,
	       const uint8_t header_digest[SHA256_SIZE], struct error *err) MUST_CHECK;
void seal_release(struct seal *seal);
#define SEAL_CLEANUP __attribute__((cleanup(seal_release)))

/* Encrypts `size` bytes in place and writes the tag behind them. */
bool seal_encode(struct seal *seal, uint32_t index, bool is_last, uint8_t *data, size_t size,
		 struct error *err) MUST_CHECK;
/* Checks and decrypts `stored` (tag included). `scratch` has room for it without its tag; *opened is there, or, without
 * encryption, in `stored` itself. CORRUPT when it is not authentic: `scratch` is wiped then. */
bool seal_decode(struct seal *seal, uint32_t index, bool is_last, struct bytes stored, uint8_t *scratch,
		 struct bytes *opened, struct error *err) MUST_CHECK;

/* In constant time. */
bool tag_is_equal(const uint8_t *a, const uint8_t *b, size_t size);
