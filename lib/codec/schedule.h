/* The key schedule: every secret of an object from the host key, the repository key and the object's own header.
 *
 * One function for each derivation of docs/format.md, "Key schedule", and nothing else. Suite 0 derives from a
 * published value instead of the host key, which makes the same computations a plain checksum.
 */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "codec/keys.h"

/* What everything is derived from: the host key, or the repository id twice. */
struct schedule {
	bool encrypted;
	uint8_t root[SECRET_SIZE];
};

void schedule_init(struct schedule *schedule, const struct secrets *secrets, const uint8_t *repository_id);
void schedule_release(struct schedule *schedule); /* wipes */
#define SCHEDULE_CLEANUP __attribute__((cleanup(schedule_release)))

bool schedule_host_key_id(const uint8_t host_key[SECRET_SIZE], uint8_t id[HOST_KEY_ID_SIZE],
			  struct error *err) MUST_CHECK;
/* The tag behind the header's other bytes. */
bool schedule_header_tag(const struct schedule *schedule, struct bytes header, uint8_t tag[SHA256_SIZE],
			 struct error *err) MUST_CHECK;
/* The keys of a content identity: unrelated for different names. */
bool schedule_content_keys(const struct schedule *schedule, const uint8_t *repository_id, const char *name,
			   uint8_t hash_key[SECRET_SIZE], uint8_t digest_key[SECRET_SIZE],
			   struct error *err) MUST_CHECK;
/* The keys of the digests of pieces of files: the repository's alone, so that equal pieces have equal digests. */
bool schedule_piece_keys(const struct schedule *schedule, const uint8_t *repository_id, uint8_t hash_key[SECRET_SIZE],
			 uint8_t digest_key[SECRET_SIZE], struct error *err) MUST_CHECK;
/* What only a holder of a repository secret can say: that a recipient was added to its epoch … */
#define KEY_PROOF_SIZE 16
bool schedule_recipient_proof(const uint8_t repository_secret[SECRET_SIZE], const uint8_t *repository_id,
			      const uint8_t recipient_public[SECRET_SIZE], uint8_t proof[KEY_PROOF_SIZE],
			      struct error *err) MUST_CHECK;
/* … and, of the secret of the epoch before, that an epoch was begun with that repository key. */
bool schedule_epoch_proof(const uint8_t secret_before[SECRET_SIZE], const uint8_t *repository_id, uint32_t epoch,
			  const uint8_t repository_public[SECRET_SIZE], uint8_t proof[KEY_PROOF_SIZE],
			  struct error *err) MUST_CHECK;
bool schedule_meta_key(const struct schedule *schedule, const uint8_t header_digest[SHA256_SIZE],
		       uint8_t key[SECRET_SIZE], struct error *err) MUST_CHECK;
/* Class host. */
bool schedule_host_frame_key(const struct schedule *schedule, const uint8_t header_digest[SHA256_SIZE],
			     uint8_t key[SECRET_SIZE], struct error *err) MUST_CHECK;
/* Class secret; `shared` is the result of X25519 with `recipient_public`. */
bool schedule_secret_frame_key(const struct schedule *schedule, const uint8_t header_digest[SHA256_SIZE],
			       const uint8_t shared[SECRET_SIZE], const uint8_t recipient_public[SECRET_SIZE],
			       uint8_t key[SECRET_SIZE], struct error *err) MUST_CHECK;
