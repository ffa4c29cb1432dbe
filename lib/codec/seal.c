#include "codec/seal.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define NONCE_SIZE 12

/* Four zero bytes, the index as seven big-endian ones, and a mark on the last frame: the layout of STREAM (Hoang,
 * Reyhanitabar, Rogaway, Vizar 2015) as age uses it. Each object and section has a key of its own. */
static void nonce_encode(uint32_t index, bool is_last, uint8_t nonce[NONCE_SIZE])
{
	memset(nonce, 0, NONCE_SIZE);
	nonce[7] = (uint8_t) (index >> 24);
	nonce[8] = (uint8_t) (index >> 16);
	nonce[9] = (uint8_t) (index >> 8);
	nonce[10] = (uint8_t) index;
	nonce[11] = is_last ? 1 : 0;
}

bool seal_init(struct seal *seal, enum seal_section section, enum seal_direction direction, const uint8_t *secret,
	       const uint8_t header_digest[SHA256_SIZE], struct error *err)
{
	*seal = (struct seal){.section = section};
	memcpy(seal->header_digest, header_digest, SHA256_SIZE);
	if (secret == NULL) {
		seal->checksum = EVP_MD_CTX_new();
		if (seal->checksum == NULL)
			return fail(err, ERROR_SYSTEM, "could not allocate memory for a checksum");
		return true;
	}
	seal->cipher = EVP_CIPHER_CTX_new();
	if (seal->cipher == NULL ||
	    EVP_CipherInit_ex(seal->cipher, EVP_aes_256_gcm(), NULL, secret, NULL, direction == SEAL_ENCODE) != 1)
		return fail(err, ERROR_SYSTEM, "could not set up AES-256-GCM");
	return true;
}

void seal_release(struct seal *seal)
{
	EVP_CIPHER_CTX_free(seal->cipher);
	EVP_MD_CTX_free(seal->checksum);
	*seal = (struct seal){0};
}

static bool checksum_compute(struct seal *seal, const uint8_t nonce[NONCE_SIZE], struct bytes stored,
			     uint8_t tag[SEAL_TAG_SIZE], struct error *err)
{
	const char *label = seal->section == SEAL_META ? "meta" : "data";
	uint8_t digest[SHA256_SIZE];

	if (EVP_DigestInit_ex(seal->checksum, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(seal->checksum, seal->header_digest, SHA256_SIZE) != 1 ||
	    EVP_DigestUpdate(seal->checksum, nonce, NONCE_SIZE) != 1 ||
	    EVP_DigestUpdate(seal->checksum, label, 4) != 1 ||
	    EVP_DigestUpdate(seal->checksum, stored.data, stored.size) != 1 ||
	    EVP_DigestFinal_ex(seal->checksum, digest, NULL) != 1)
		return fail(err, ERROR_SYSTEM, "could not compute a checksum");
	memcpy(tag, digest, SEAL_TAG_SIZE);
	return true;
}

bool seal_encode(struct seal *seal, uint32_t index, bool is_last, uint8_t *data, size_t size, struct error *err)
{
	uint8_t nonce[NONCE_SIZE];
	int written = 0, more = 0;

	assert(size <= INT_MAX);
	nonce_encode(index, is_last, nonce);
	if (seal->cipher == NULL)
		return checksum_compute(seal, nonce, bytes_of(data, size), data + size, err);
	if (EVP_CipherInit_ex(seal->cipher, NULL, NULL, NULL, nonce, -1) != 1 ||
	    EVP_CipherUpdate(seal->cipher, data, &written, data, (int) size) != 1 ||
	    EVP_CipherFinal_ex(seal->cipher, data + size, &more) != 1 || (size_t) written != size || more != 0 ||
	    EVP_CIPHER_CTX_ctrl(seal->cipher, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, data + size) != 1)
		return fail(err, ERROR_SYSTEM, "could not encrypt");
	return true;
}

static bool checksum_decode(struct seal *seal, const uint8_t nonce[NONCE_SIZE], struct bytes content,
			    const uint8_t *tag, struct bytes *opened, struct error *err)
{
	uint8_t expected[SEAL_TAG_SIZE];

	TRY(checksum_compute(seal, nonce, content, expected, err));
	if (!tag_is_equal(expected, tag, SEAL_TAG_SIZE))
		return fail(err, ERROR_CORRUPT, "damaged: its checksum does not match");
	*opened = content;
	return true;
}

bool seal_decode(struct seal *seal, uint32_t index, bool is_last, struct bytes stored, uint8_t *scratch,
		 struct bytes *opened, struct error *err)
{
	uint8_t nonce[NONCE_SIZE], tag[SEAL_TAG_SIZE], behind[SEAL_TAG_SIZE];
	struct bytes content;
	int written = 0, more = 0;

	assert(stored.size >= SEAL_TAG_SIZE && stored.size <= INT_MAX);
	content = bytes_slice(stored, 0, stored.size - SEAL_TAG_SIZE);
	memcpy(tag, stored.data + content.size, SEAL_TAG_SIZE);
	nonce_encode(index, is_last, nonce);
	if (seal->cipher == NULL)
		return checksum_decode(seal, nonce, content, tag, opened, err);
	if (EVP_CipherInit_ex(seal->cipher, NULL, NULL, NULL, nonce, -1) != 1 ||
	    EVP_CIPHER_CTX_ctrl(seal->cipher, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, tag) != 1)
		return fail(err, ERROR_SYSTEM, "could not set up decryption");
	if (EVP_CipherUpdate(seal->cipher, scratch, &written, content.data, (int) content.size) != 1 ||
	    (size_t) written != content.size || EVP_CipherFinal_ex(seal->cipher, behind, &more) != 1 || more != 0) {
		OPENSSL_cleanse(scratch, content.size);
		return fail(err, ERROR_CORRUPT, "damaged: it is not what was sealed");
	}
	*opened = bytes_of(scratch, content.size);
	return true;
}

bool tag_is_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
	return CRYPTO_memcmp(a, b, size) == 0;
}
