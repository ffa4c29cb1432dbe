/* Key files, and the secrets a program works with. docs/format.md, "Keys", is the specification.
 *
 * Two kinds of file: FILE (the secret: recipient's X25519 secret half and the host key) and FILE.host (for database
 * hosts: the public half and the host key). Secrets live in `struct secrets`, which is locked in memory and wiped.
 */
#pragma once

#include <stdatomic.h>

#include "base/buf.h"
#include "base/hash.h"

#define SECRET_SIZE	   32
#define HOST_KEY_ID_SIZE   8
#define EPOCHS_MAX	   64
#define REPOSITORY_ID_SIZE 16

struct epoch_secret {
	uint32_t epoch;
	uint8_t secret[SECRET_SIZE];
	uint8_t public[SECRET_SIZE]; /* computed from it */
};

struct secrets {
	bool encrypted;		   /* a key file is set */
	bool has_recipient_secret; /* it is the secret one */
	char key_file[4096];	   /* for messages */
	uint8_t host_key[SECRET_SIZE];
	uint8_t host_key_id[HOST_KEY_ID_SIZE]; /* derived; printed as the key's fingerprint */
	uint8_t recipient_secret[SECRET_SIZE];
	uint8_t recipient_public[SECRET_SIZE];
	uint8_t recipient_id[HOST_KEY_ID_SIZE]; /* first bytes of SHA-256 of the public half */
	uint32_t epoch;				/* current: objects are sealed to it */
	uint8_t repository_public[SECRET_SIZE]; /* of the current epoch */
	/* Repository secrets unwrapped so far. Entries are only added, by one thread at a time, and counted when whole:
	 * others may look them up meanwhile. */
	atomic_int epoch_count;
	struct epoch_secret epochs[EPOCHS_MAX];
};

/* In locked memory; never fails for want of the right to lock. `key_file` NULL or "": no encryption.
 * USAGE: missing, readable by others, or not a key file (never NOT_FOUND, which a recovering server would take for
 * the end of the archive); CORRUPT: its two halves do not belong together. */
bool secrets_open(const char *key_file, struct secrets **secrets, struct error *err) MUST_CHECK;
void secrets_close(struct secrets *secrets); /* wipes; NULL is fine */

/* The epoch's repository secret, or NULL when it has not been added. */
const uint8_t *secrets_epoch(const struct secrets *secrets, uint32_t epoch);
const uint8_t *secrets_epoch_public(const struct secrets *secrets, uint32_t epoch);
bool secrets_add_epoch(struct secrets *secrets, uint32_t epoch, const uint8_t secret[SECRET_SIZE],
		       struct error *err) MUST_CHECK;

/* First bytes of SHA-256 of a public half: how headers, names and messages call it. */
bool public_key_id(const uint8_t public[SECRET_SIZE], uint8_t id[HOST_KEY_ID_SIZE], struct error *err) MUST_CHECK;

#define FINGERPRINT_SIZE (2 * HOST_KEY_ID_SIZE + 1)

/* How people call a key file. */
struct key_fingerprints {
	char host_key[FINGERPRINT_SIZE];  /* the repository's: the same for all of its key files */
	char recipient[FINGERPRINT_SIZE]; /* its own */
};

void secrets_fingerprints(const struct secrets *secrets, struct key_fingerprints *fingerprints);
/* Writes FILE and FILE.host, mode 0600, never over an existing file. `host_key_of`: a key file of either kind, whose
 * host key they are to have; NULL: a new one. */
bool keys_generate(const char *path, const char *host_key_of, struct key_fingerprints *fingerprints,
		   struct error *err) MUST_CHECK;

/* A new X25519 pair. */
bool x25519_generate(uint8_t secret[SECRET_SIZE], uint8_t public[SECRET_SIZE], struct error *err) MUST_CHECK;
bool x25519_public(const uint8_t secret[SECRET_SIZE], uint8_t public[SECRET_SIZE], struct error *err) MUST_CHECK;
/* CORRUPT for the all-zero result (RFC 7748, section 6.1). */
bool x25519_shared(const uint8_t secret[SECRET_SIZE], const uint8_t peer[SECRET_SIZE], uint8_t shared[SECRET_SIZE],
		   struct error *err) MUST_CHECK;
void secret_wipe(void *memory, size_t size);
