/* Who may read: adding a recipient to the epochs that there are, and retiring one by a new epoch without it. No stored
 * object is touched, and the number of those that are written does not depend on how many there are.
 *
 * Several may do this at the same time: one of two that begin an epoch wins, and what is added meanwhile is not lost.
 * Interrupted, a new epoch has not begun; what is left of it is ignored.
 */
#pragma once

#include "repo/key_epoch.h"

struct recipient_addition {
	int epochs;	   /* that it was added to now */
	int epochs_before; /* that it had been added to before */
	int epochs_closed; /* that our own key does not open, so that they stay closed to it */
	int epochs_full;   /* that have as many recipients as there may be, and stay closed too */
};

/* Wraps the secrets of all epochs that we can open for that public key. DENIED when the current one is closed to us,
 * USAGE when that is full. */
bool recipient_add(struct repo *repo, const uint8_t public[SECRET_SIZE], struct recipient_addition *addition,
		   struct error *err) MUST_CHECK;

struct recipient_removal {
	uint32_t epoch; /* the new one */
	/* Who they are; owned. When and on which host each was added is that of the first epoch that it is in. */
	struct recipient *recipients;
	size_t kept;  /* so many of them */
	int left_out; /* that nobody with a secret key has added */
	bool was_own;
};

void recipient_removal_release(struct recipient_removal *removal);
#define REMOVAL_CLEANUP __attribute__((cleanup(recipient_removal_release)))

/* Begins an epoch without the recipient of that id. USAGE: it is none of the current epoch, or the last one; DENIED: we
 * are none, or the epochs were begun by somebody who had the host key only; EXISTS: another epoch began meanwhile. */
bool recipient_remove(struct repo *repo, const uint8_t id[HOST_KEY_ID_SIZE], struct recipient_removal *removal,
		      struct error *err) MUST_CHECK;
