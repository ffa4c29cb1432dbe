#include "base/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

/* EVP_EncryptUpdate() counts in int. */
#define GMAC_PART_MAX GiB

bool sha256(struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err)
{
	if (EVP_Digest(content.data, content.size, digest, NULL, EVP_sha256(), NULL) != 1)
		return fail(err, ERROR_SYSTEM, "could not compute SHA-256");
	return true;
}

bool hmac_init(struct hmac *hmac, struct bytes secret, struct error *err)
{
	char name[] = "SHA256";
	uint8_t none = 0;
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	hmac->context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac);
	if (hmac->context != NULL &&
	    EVP_MAC_init(hmac->context, secret.data == NULL ? &none : secret.data, secret.size, parameters) == 1)
		return true;
	hmac_release(hmac);
	return fail(err, ERROR_SYSTEM, "could not set up HMAC");
}

void hmac_release(struct hmac *hmac)
{
	EVP_MAC_CTX_free(hmac->context);
	*hmac = (struct hmac){0};
}

bool hmac_run(struct hmac *hmac, struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err)
{
	size_t written = 0;

	/* Without a secret it begins anew with the one it has (EVP_MAC(3)). */
	if (EVP_MAC_init(hmac->context, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(hmac->context, content.data, content.size) == 1 &&
	    EVP_MAC_final(hmac->context, digest, &written, SHA256_SIZE) == 1 && written == SHA256_SIZE)
		return true;
	return fail(err, ERROR_SYSTEM, "could not compute HMAC");
}

bool hmac_sha256(struct bytes secret, struct bytes content, uint8_t digest[SHA256_SIZE], struct error *err)
{
	struct hmac hmac = {0};
	bool done = hmac_init(&hmac, secret, err) && hmac_run(&hmac, content, digest, err);

	hmac_release(&hmac);
	return done;
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

static bool fail_gmac(struct error *err)
{
	return fail(err, ERROR_SYSTEM, "could not compute GMAC");
}

/* GMAC is GCM without a plaintext, of additional data alone. EVP_CIPHER can begin anew with the same secret at the cost
 * of a nonce; the GMAC of OpenSSL 3.0 looks its cipher up and expands the secret each time. */
bool gmac_init(struct gmac *gmac, const uint8_t secret[32], struct error *err)
{
	gmac->context = EVP_CIPHER_CTX_new();
	if (gmac->context != NULL && EVP_EncryptInit_ex(gmac->context, EVP_aes_256_gcm(), NULL, secret, NULL) == 1)
		return true;
	gmac_release(gmac);
	return fail_gmac(err);
}

void gmac_release(struct gmac *gmac)
{
	EVP_CIPHER_CTX_free(gmac->context);
	*gmac = (struct gmac){0};
}

bool gmac_begin(struct gmac *gmac, struct error *err)
{
	static const uint8_t nonce[12];

	return EVP_EncryptInit_ex(gmac->context, NULL, NULL, NULL, nonce) == 1 ? true : fail_gmac(err);
}

bool gmac_add(struct gmac *gmac, struct bytes content, struct error *err)
{
	while (content.size > 0) {
		size_t size = content.size < GMAC_PART_MAX ? content.size : GMAC_PART_MAX;
		int taken = 0;

		if (EVP_EncryptUpdate(gmac->context, NULL, &taken, content.data, (int) size) != 1)
			return fail_gmac(err);
		content = bytes_slice(content, size, content.size - size);
	}
	return true;
}

bool gmac_end(struct gmac *gmac, uint8_t tag[GMAC_SIZE], struct error *err)
{
	uint8_t behind[GMAC_SIZE];
	int written = 0;

	if (EVP_EncryptFinal_ex(gmac->context, behind, &written) == 1 && written == 0 &&
	    EVP_CIPHER_CTX_ctrl(gmac->context, EVP_CTRL_AEAD_GET_TAG, GMAC_SIZE, tag) == 1)
		return true;
	return fail_gmac(err);
}
