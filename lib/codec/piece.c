#include "codec/piece.h"

#include <string.h>

#include "codec/schedule.h"

bool piece_digester_init(struct piece_digester *digester, const struct secrets *secrets, const uint8_t *repository_id,
			 struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};

	schedule_init(&schedule, secrets, repository_id);
	TRY(schedule_piece_keys(&schedule, repository_id, digester->hash_key, digester->digest_key, err));
	return gmac_init(&digester->gmac, digester->hash_key, err);
}

void piece_digester_release(struct piece_digester *digester)
{
	gmac_release(&digester->gmac);
	secret_wipe(digester, sizeof(*digester));
}

bool piece_digest_begin(struct piece_digester *digester, struct error *err)
{
	return gmac_begin(&digester->gmac, err);
}

bool piece_digest_add(struct piece_digester *digester, struct bytes content, struct error *err)
{
	return gmac_add(&digester->gmac, content, err);
}

/* GMAC hashes, HMAC makes it a pseudo-random function, as for content identities (schedule.c). */
bool piece_digest_end(struct piece_digester *digester, uint8_t digest[PIECE_DIGEST_SIZE], struct error *err)
{
	uint8_t hash[GMAC_SIZE], whole[SHA256_SIZE];

	TRY(gmac_end(&digester->gmac, hash, err));
	TRY(hmac_sha256(bytes_of(digester->digest_key, sizeof(digester->digest_key)), bytes_of(hash, sizeof(hash)),
			whole, err));
	memcpy(digest, whole, PIECE_DIGEST_SIZE);
	return true;
}

bool piece_digest(struct piece_digester *digester, struct bytes content, uint8_t digest[PIECE_DIGEST_SIZE],
		  struct error *err)
{
	return piece_digest_begin(digester, err) && piece_digest_add(digester, content, err) &&
	       piece_digest_end(digester, digest, err);
}
