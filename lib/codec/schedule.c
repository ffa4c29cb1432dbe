#include "codec/schedule.h"

#include <string.h>

static const char info_header[] = "pitr header v0";
static const char info_host_key_id[] = "pitr host key id";
static const char info_content_hash[] = "pitr content hash v0";
static const char info_content_id[] = "pitr content id v0";
static const char info_piece_hash[] = "pitr piece hash v0";
static const char info_piece_digest[] = "pitr piece digest v0";
static const char info_recipient[] = "pitr recipient v0";
static const char info_epoch[] = "pitr epoch v0";
static const char info_meta[] = "pitr meta v0";
static const char info_frame[] = "pitr frame v0";
static const char info_secret_frame[] = "pitr frame v0 x25519";

void schedule_init(struct schedule *schedule, const struct secrets *secrets, const uint8_t *repository_id)
{
	schedule->encrypted = secrets->encrypted;
	if (secrets->encrypted) {
		memcpy(schedule->root, secrets->host_key, SECRET_SIZE);
		return;
	}
	memcpy(schedule->root, repository_id, REPOSITORY_ID_SIZE);
	memcpy(schedule->root + REPOSITORY_ID_SIZE, repository_id, REPOSITORY_ID_SIZE);
}

void schedule_release(struct schedule *schedule)
{
	secret_wipe(schedule, sizeof(*schedule));
}

/* HKDF-SHA-256 of the root, without a salt when there is none. */
static bool schedule_derive(const uint8_t root[SECRET_SIZE], struct bytes salt, const char *info,
			    uint8_t key[SECRET_SIZE], struct error *err)
{
	return hkdf_sha256(bytes_of(root, SECRET_SIZE), salt, bytes_of_text(info), key, SECRET_SIZE, err);
}

bool schedule_host_key_id(const uint8_t host_key[SECRET_SIZE], uint8_t id[HOST_KEY_ID_SIZE], struct error *err)
{
	uint8_t derived[SECRET_SIZE];

	TRY(schedule_derive(host_key, bytes_of_text(""), info_host_key_id, derived, err));
	memcpy(id, derived, HOST_KEY_ID_SIZE);
	return true;
}

bool schedule_header_tag(const struct schedule *schedule, struct bytes header, uint8_t tag[SHA256_SIZE],
			 struct error *err)
{
	uint8_t key[SECRET_SIZE];
	bool done;

	if (!schedule->encrypted)
		return sha256(header, tag, err);
	TRY(schedule_derive(schedule->root, bytes_of_text(""), info_header, key, err));
	done = hmac_sha256(bytes_of(key, sizeof(key)), header, tag, err);
	secret_wipe(key, sizeof(key));
	return done;
}

/* SHA-256 of repository id and name: what makes the content keys of two names unrelated. */
static bool name_digest(const uint8_t *repository_id, const char *name, uint8_t digest[SHA256_SIZE], struct error *err)
{
	BUF(text, REPOSITORY_ID_SIZE + 4 * KiB);

	TRY(buf_append(&text, bytes_of(repository_id, REPOSITORY_ID_SIZE), err));
	TRY(buf_append_text(&text, name, err));
	return sha256(buf_bytes(&text), digest, err);
}

bool schedule_content_keys(const struct schedule *schedule, const uint8_t *repository_id, const char *name,
			   uint8_t hash_key[SECRET_SIZE], uint8_t digest_key[SECRET_SIZE], struct error *err)
{
	uint8_t salt[SHA256_SIZE];

	TRY(name_digest(repository_id, name, salt, err));
	return schedule_derive(schedule->root, bytes_of(salt, sizeof(salt)), info_content_hash, hash_key, err) &&
	       schedule_derive(schedule->root, bytes_of(salt, sizeof(salt)), info_content_id, digest_key, err);
}

bool schedule_piece_keys(const struct schedule *schedule, const uint8_t *repository_id, uint8_t hash_key[SECRET_SIZE],
			 uint8_t digest_key[SECRET_SIZE], struct error *err)
{
	struct bytes salt = bytes_of(repository_id, REPOSITORY_ID_SIZE);

	return schedule_derive(schedule->root, salt, info_piece_hash, hash_key, err) &&
	       schedule_derive(schedule->root, salt, info_piece_digest, digest_key, err);
}

static bool key_proof(const uint8_t secret[SECRET_SIZE], const uint8_t *repository_id, const char *info,
		      struct bytes what, uint8_t proof[KEY_PROOF_SIZE], struct error *err)
{
	uint8_t key[SECRET_SIZE], digest[SHA256_SIZE];
	bool done;

	TRY(schedule_derive(secret, bytes_of(repository_id, REPOSITORY_ID_SIZE), info, key, err));
	done = hmac_sha256(bytes_of(key, sizeof(key)), what, digest, err);
	secret_wipe(key, sizeof(key));
	memcpy(proof, digest, KEY_PROOF_SIZE);
	return done;
}

bool schedule_recipient_proof(const uint8_t repository_secret[SECRET_SIZE], const uint8_t *repository_id,
			      const uint8_t recipient_public[SECRET_SIZE], uint8_t proof[KEY_PROOF_SIZE],
			      struct error *err)
{
	return key_proof(repository_secret, repository_id, info_recipient, bytes_of(recipient_public, SECRET_SIZE),
			 proof, err);
}

bool schedule_epoch_proof(const uint8_t secret_before[SECRET_SIZE], const uint8_t *repository_id, uint32_t epoch,
			  const uint8_t repository_public[SECRET_SIZE], uint8_t proof[KEY_PROOF_SIZE],
			  struct error *err)
{
	uint8_t what[4 + SECRET_SIZE];

	store_u32(what, epoch);
	memcpy(what + 4, repository_public, SECRET_SIZE);
	return key_proof(secret_before, repository_id, info_epoch, bytes_of(what, sizeof(what)), proof, err);
}

bool schedule_meta_key(const struct schedule *schedule, const uint8_t header_digest[SHA256_SIZE],
		       uint8_t key[SECRET_SIZE], struct error *err)
{
	return schedule_derive(schedule->root, bytes_of(header_digest, SHA256_SIZE), info_meta, key, err);
}

bool schedule_host_frame_key(const struct schedule *schedule, const uint8_t header_digest[SHA256_SIZE],
			     uint8_t key[SECRET_SIZE], struct error *err)
{
	return schedule_derive(schedule->root, bytes_of(header_digest, SHA256_SIZE), info_frame, key, err);
}

/* The host key goes in beside the shared secret: whoever has only the stored objects must then break HKDF as well as
 * X25519. The public half goes in because different public values can lead to one shared secret (RFC 7748, section
 * 7); the ephemeral one is part of the header and so of its digest. */
bool schedule_secret_frame_key(const struct schedule *schedule, const uint8_t header_digest[SHA256_SIZE],
			       const uint8_t shared[SECRET_SIZE], const uint8_t recipient_public[SECRET_SIZE],
			       uint8_t key[SECRET_SIZE], struct error *err)
{
	uint8_t secret[2 * SECRET_SIZE], info[sizeof(info_secret_frame) - 1 + SECRET_SIZE];
	bool done;

	memcpy(secret, shared, SECRET_SIZE);
	memcpy(secret + SECRET_SIZE, schedule->root, SECRET_SIZE);
	memcpy(info, info_secret_frame, sizeof(info_secret_frame) - 1);
	memcpy(info + sizeof(info_secret_frame) - 1, recipient_public, SECRET_SIZE);
	done = hkdf_sha256(bytes_of(secret, sizeof(secret)), bytes_of(header_digest, SHA256_SIZE),
			   bytes_of(info, sizeof(info)), key, SECRET_SIZE, err);
	secret_wipe(secret, sizeof(secret));
	return done;
}
