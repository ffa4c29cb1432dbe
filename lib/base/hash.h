/* SHA-256, HMAC-SHA-256, HKDF-SHA-256 and the keyed content identity, all from OpenSSL. */
#pragma once

#include "base/buf.h"

#define SHA256_SIZE 32
#define GMAC_SIZE   16

bool sha256(struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;
/* HMAC-SHA-256 (RFC 2104). */
bool hmac_sha256(struct bytes secret, struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;
/* HKDF-SHA-256 (RFC 5869), extract and expand; `size` at most 255 * 32. */
bool hkdf_sha256(struct bytes secret, struct bytes salt, struct bytes info, uint8_t *output, size_t size,
		 struct error *err) MUST_CHECK;
/* GMAC over AES-256 (NIST SP 800-38D) with an all-zero nonce, of a message that comes in parts; one message after the
 * other through one context. For a universal hash only, whose tags are kept secret: the nonce is the same each time. */
struct evp_cipher_ctx_st;
struct gmac {
	struct evp_cipher_ctx_st *context;
};

bool gmac_init(struct gmac *gmac, const uint8_t secret[32], struct error *err) MUST_CHECK;
void gmac_release(struct gmac *gmac); /* also of one that is {0} */
bool gmac_begin(struct gmac *gmac, struct error *err) MUST_CHECK;
bool gmac_add(struct gmac *gmac, struct bytes content, struct error *err) MUST_CHECK;
bool gmac_end(struct gmac *gmac, uint8_t tag[GMAC_SIZE], struct error *err) MUST_CHECK;

/* HMAC-SHA-256 of many messages with one secret. */
struct evp_mac_ctx_st;
struct hmac {
	struct evp_mac_ctx_st *context;
};

bool hmac_init(struct hmac *hmac, struct bytes secret, struct error *err) MUST_CHECK;
void hmac_release(struct hmac *hmac); /* also of one that is {0} */
bool hmac_run(struct hmac *hmac, struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;
