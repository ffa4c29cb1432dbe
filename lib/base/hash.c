#include "base/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

bool sha256(struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err)
{
	if (EVP_Digest(content.data, content.size, digest, NULL, EVP_sha256(), NULL) != 1)
		return fail(err, ERROR_SYSTEM, "could not compute SHA-256");
	return true;
}

/* One message through an OpenSSL MAC. `parameters` name the digest or cipher and the nonce. */
static bool mac_once(const char *name, struct bytes secret, const OSSL_PARAM *parameters, struct bytes content,
		     uint8_t *output, size_t size, struct error *err)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, name, NULL);
	EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	size_t written = 0;
	bool done = context != NULL && EVP_MAC_init(context, secret.data, secret.size, parameters) == 1 &&
		    EVP_MAC_update(context, content.data, content.size) == 1 &&
		    EVP_MAC_final(context, output, &written, size) == 1 && written == size;

	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
	return done ? true : fail(err, ERROR_SYSTEM, "could not compute %s", name);
}

bool hmac_sha256(struct bytes secret, struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err)
{
	char name[] = "SHA256";
	uint8_t none = 0;
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};

	if (secret.data == NULL)
		secret = bytes_of(&none, 0);
	return mac_once("HMAC", secret, parameters, content, digest, SHA256_SIZE, err);
}

bool hkdf_sha256(struct bytes secret, struct bytes salt, struct bytes info, uint8_t *output, size_t size,
		 struct error *err)
{
	char name[] = "SHA256";
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) (uintptr_t) secret.data, secret.size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) (uintptr_t) salt.data, salt.size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) (uintptr_t) info.data, info.size),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	bool done = context != NULL && EVP_KDF_derive(context, output, size, parameters) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return done ? true : fail(err, ERROR_SYSTEM, "could not derive a key");
}

bool gmac_aes256(const uint8_t secret[32], struct bytes content, uint8_t tag[GMAC_SIZE], struct error *err)
{
	struct gmac gmac = {0};
	bool done = gmac_init(&gmac, secret, err) && gmac_begin(&gmac, err) && gmac_add(&gmac, content, err) &&
		    gmac_end(&gmac, tag, err);

	gmac_release(&gmac);
	return done;
}

static bool fail_gmac(struct error *err)
{
	return fail(err, ERROR_SYSTEM, "could not compute GMAC");
}

bool gmac_init(struct gmac *gmac, const uint8_t secret[32], struct error *err)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "GMAC", NULL);

	gmac->secret = secret;
	gmac->context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac);
	return gmac->context != NULL ? true : fail_gmac(err);
}

void gmac_release(struct gmac *gmac)
{
	EVP_MAC_CTX_free(gmac->context);
	*gmac = (struct gmac){0};
}

/* The secret each time: OpenSSL 3.0 does not begin anew from the nonce alone. */
bool gmac_begin(struct gmac *gmac, struct error *err)
{
	char name[] = "AES-256-GCM";
	uint8_t nonce[12] = {0};
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce, sizeof(nonce)),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_init(gmac->context, gmac->secret, 32, parameters) == 1 ? true : fail_gmac(err);
}

bool gmac_add(struct gmac *gmac, struct bytes content, struct error *err)
{
	return EVP_MAC_update(gmac->context, content.data, content.size) == 1 ? true : fail_gmac(err);
}

bool gmac_end(struct gmac *gmac, uint8_t tag[GMAC_SIZE], struct error *err)
{
	size_t written = 0;

	return EVP_MAC_final(gmac->context, tag, &written, GMAC_SIZE) == 1 && written == GMAC_SIZE ? true
												   : fail_gmac(err);
}
