/* Keyed digests: GMAC hashes what comes, HMAC makes a pseudo-random function of that.
 *
 * GMAC is a universal hash plus a constant as long as its nonce is fixed; HMAC over it makes it a pseudo-random
 * function (Carter and Wegman 1981), so that one key serves any number of messages. GMAC alone would give its secret
 * away then (NIST SP 800-38D, appendix A). docs/format.md, "Key schedule", says which keys there are.
 */
#pragma once

#include "base/hash.h"
#include "codec/keys.h"

#define DIGEST_SIZE 16

struct digester {
	struct gmac gmac;
	struct hmac hmac;
};

/* One thread at a time. */
bool digester_init(struct digester *digester, const uint8_t hash_key[SECRET_SIZE],
		   const uint8_t digest_key[SECRET_SIZE], struct error *err) MUST_CHECK;
void digester_release(struct digester *digester); /* also one that is {0} */
#define DIGESTER_CLEANUP __attribute__((cleanup(digester_release)))

bool digester_begin(struct digester *digester, struct error *err) MUST_CHECK;
bool digester_add(struct digester *digester, struct bytes content, struct error *err) MUST_CHECK;
bool digester_end(struct digester *digester, uint8_t digest[DIGEST_SIZE], struct error *err) MUST_CHECK;
