#include "codec/piece.h"

#include "codec/schedule.h"

bool piece_digester_init(struct piece_digester *digester, const struct secrets *secrets, const uint8_t *repository_id,
			 struct error *err)
{
	struct schedule schedule SCHEDULE_CLEANUP = {0};
	uint8_t hash_key[SECRET_SIZE], digest_key[SECRET_SIZE];

	schedule_init(&schedule, secrets, repository_id);
	bool done = schedule_piece_keys(&schedule, repository_id, hash_key, digest_key, err) &&
		    digester_init(&digester->digester, hash_key, digest_key, err);
	secret_wipe(hash_key, sizeof(hash_key));
	secret_wipe(digest_key, sizeof(digest_key));
	return done;
}

void piece_digester_release(struct piece_digester *digester)
{
	digester_release(&digester->digester);
}

bool piece_digest_begin(struct piece_digester *digester, struct error *err)
{
	return digester_begin(&digester->digester, err);
}

bool piece_digest_add(struct piece_digester *digester, struct bytes content, struct error *err)
{
	return digester_add(&digester->digester, content, err);
}

bool piece_digest_end(struct piece_digester *digester, uint8_t digest[PIECE_DIGEST_SIZE], struct error *err)
{
	return digester_end(&digester->digester, digest, err);
}

bool piece_digest(struct piece_digester *digester, struct bytes content, uint8_t digest[PIECE_DIGEST_SIZE],
		  struct error *err)
{
	return piece_digest_begin(digester, err) && piece_digest_add(digester, content, err) &&
	       piece_digest_end(digester, digest, err);
}
