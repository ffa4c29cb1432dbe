/* Key epochs and their recipients, as they are stored: docs/format.md, "Epochs and recipients".
 *
 * An epoch is there when its public half is; what recipients of it hold is stored before. Who has only the host key can
 * store both too, so each carries a proof that only somebody can make who has the secret half: a recipient's of its
 * epoch, an epoch's of the one before. Proofs are checked as far as the key file at hand opens the epochs.
 */
#pragma once

#include "base/clock.h"
#include "codec/keys.h"
#include "repo/repo.h"

#define RECIPIENTS_MAX	    64	 /* of one epoch; those that who has only the host key has stored do not count */
#define RECIPIENTS_READ_MAX 1024 /* … but are read */

enum key_proof {
	KEY_PROOF_UNKNOWN, /* the secret that it was made with is not ours */
	KEY_PROOF_GOOD,
	KEY_PROOF_WRONG,   /* made by somebody who had the host key only */
	KEY_PROOF_DAMAGED, /* of a recipient: the object cannot be read, or our own does not open */
};

struct recipient {
	uint8_t id[HOST_KEY_ID_SIZE];
	uint8_t public[SECRET_SIZE];
	int64_t added_us; /* 0: not known, because the object cannot be read */
	char host[256];	  /* where it was added; nothing but what is in names of hosts */
	enum key_proof proof;
};

struct key_epoch {
	uint32_t number;
	uint8_t public[SECRET_SIZE];
	uint8_t public_id[HOST_KEY_ID_SIZE];
	char created[CLOCK_TEXT_SIZE];
	char host[256];			/* where it was begun; may be empty */
	char retired[FINGERPRINT_SIZE]; /* whom it was begun without; empty: nobody */
	enum key_proof proof;		/* the first one has nothing to prove */
	bool is_open;			/* the key file is a recipient of it */
	size_t recipient_count, recipient_capacity;
	struct recipient *recipients; /* owned */
};

struct key_epochs {
	int count; /* without gaps; the last one is current */
	struct key_epoch *items;
	bool is_cut_short;     /* there are objects of a later epoch, but not the public half of the next one */
	uint64_t false_system; /* whose identity names another public key than the epoch has; 0: none */
};

/* All epochs of the repository, with their recipients; opens those that the key file opens. What is wrong with a single
 * object of a recipient is logged. USAGE: the repository is not encrypted; CORRUPT: an epoch's own object is damaged or
 * missing, or there are too many recipients. */
bool key_epochs_read(struct repo *repo, struct key_epochs *epochs, struct error *err) MUST_CHECK;
void key_epochs_release(struct key_epochs *epochs);
#define KEY_EPOCHS_CLEANUP __attribute__((cleanup(key_epochs_release)))
/* Is all there that is needed to restore what is stored, as far as the key file tells? CORRUPT with the name of what is
 * missing or false in `key`. */
bool key_epochs_check(struct repo *repo, char key[LAYOUT_KEY_SIZE], struct error *err) MUST_CHECK;
/* Of an epoch: recipients in that state. */
size_t key_epoch_count(const struct key_epoch *epoch, enum key_proof proof);
/* Is there a recipient that is not known to be of no use? */
bool key_epoch_has_reader(const struct key_epoch *epoch);
/* Reads the recipients of an epoch again. */
bool key_epoch_read_recipients(struct repo *repo, struct key_epoch *epoch, struct error *err) MUST_CHECK;
/* The one of that id, or NULL. */
struct recipient *key_epoch_recipient(const struct key_epoch *epoch, const uint8_t id[HOST_KEY_ID_SIZE]);

/* Draws the repository key of a new epoch; it counts when its public half is stored. The caller wipes the secret. */
bool key_epoch_draw(uint32_t number, struct key_epoch *epoch, uint8_t secret[SECRET_SIZE],
		    struct error *err) MUST_CHECK;
/* Wraps the secret for a recipient. *is_new: false when that was done before. */
bool key_epoch_wrap(struct repo *repo, const struct key_epoch *epoch, const uint8_t secret[SECRET_SIZE],
		    const uint8_t recipient_public[SECRET_SIZE], bool *is_new, struct error *err) MUST_CHECK;
/* Stores the public half: the epoch begins. `secret_before` is that of the one before; NULL for the first one. EXISTS:
 * somebody else has begun one of that number. */
bool key_epoch_publish(struct repo *repo, const struct key_epoch *epoch, const uint8_t *secret_before,
		       struct error *err) MUST_CHECK;
