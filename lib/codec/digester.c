#include "codec/digester.h"

#include <string.h>

bool digester_init(struct digester *digester, const uint8_t hash_key[SECRET_SIZE],
		   const uint8_t digest_key[SECRET_SIZE], struct error *err)
{
	return gmac_init(&digester->gmac, hash_key, err) &&
	       hmac_init(&digester->hmac, bytes_of(digest_key, SECRET_SIZE), err);
}

void digester_release(struct digester *digester)
{
	gmac_release(&digester->gmac);
	hmac_release(&digester->hmac);
}

bool digester_begin(struct digester *digester, struct error *err)
{
	return gmac_begin(&digester->gmac, err);
}

bool digester_add(struct digester *digester, struct bytes content, struct error *err)
{
	return gmac_add(&digester->gmac, content, err);
}

bool digester_end(struct digester *digester, uint8_t digest[DIGEST_SIZE], struct error *err)
{
	uint8_t hash[GMAC_SIZE], whole[SHA256_SIZE];
	bool done = gmac_end(&digester->gmac, hash, err) &&
		    hmac_run(&digester->hmac, bytes_of(hash, sizeof(hash)), whole, err);

	if (done)
		memcpy(digest, whole, DIGEST_SIZE);
	secret_wipe(hash, sizeof(hash));
	return done;
}
