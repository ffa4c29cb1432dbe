/* Digests of the pieces of files, by which a restore onto an old directory recognises what need not be fetched.
 *
 * A file is cut at every PIECE_SIZE bytes from its beginning. Equal pieces have equal digests throughout a repository,
 * whatever file they are of; the keys are those of content identities in other words (docs/format.md, "Key schedule").
 * Who has the host key can make another piece with the same digest: this finds what differs, not who did it.
 */
#pragma once

#include "codec/digester.h"

#define PIECE_SIZE	  (256 * KiB)
#define PIECE_DIGEST_SIZE DIGEST_SIZE

struct piece_digester {
	struct digester digester;
};

/* One thread at a time. */
bool piece_digester_init(struct piece_digester *digester, const struct secrets *secrets, const uint8_t *repository_id,
			 struct error *err) MUST_CHECK;
void piece_digester_release(struct piece_digester *digester); /* also one that is {0} */
#define PIECE_DIGESTER_CLEANUP __attribute__((cleanup(piece_digester_release)))

bool piece_digest_begin(struct piece_digester *digester, struct error *err) MUST_CHECK;
bool piece_digest_add(struct piece_digester *digester, struct bytes content, struct error *err) MUST_CHECK;
bool piece_digest_end(struct piece_digester *digester, uint8_t digest[PIECE_DIGEST_SIZE], struct error *err) MUST_CHECK;
/* The three in one, of a piece that is at hand. */
bool piece_digest(struct piece_digester *digester, struct bytes content, uint8_t digest[PIECE_DIGEST_SIZE],
		  struct error *err) MUST_CHECK;
