/* Who a repository is: its identity object, and the key epochs that its objects are sealed to.
 * docs/format.md, "Identity" and "Epochs and recipients". Used by repo.c, and by key_epoch.c.
 */
#pragma once

#include "repo/repo.h"

/* Proves that this is the repository of the cluster: reads the identity of this system identifier (0: of the
 * newest one, and which others there are is logged), and the public half of the newest key epoch. Fills repo->id,
 * ->layout and ->secrets. */
bool identity_read(struct repo *repo, uint64_t system_identifier, struct error *err) MUST_CHECK;

/* Makes everything that `pitr-catalog init` makes; the identity object comes last. A new system continues a cluster
 * that has one already: repository and keys stay, and so does the older history. */
bool identity_create(struct repo *repo, uint64_t system_identifier, bool is_new_system, struct error *err) MUST_CHECK;

/* With a short-lived object: proof of what the store does, and we may do. */
bool identity_canary(struct repo *repo, struct error *err) MUST_CHECK;

/* Is the public key that we seal to that of the newest epoch's object? CORRUPT: the identity says another one. */
bool identity_compare_epoch(struct repo *repo, struct error *err) MUST_CHECK;
/* Takes over the epochs that were begun since, up to the newest one. */
bool identity_follow_epochs(struct repo *repo, struct error *err) MUST_CHECK;

#define SYSTEMS_MAX 64

/* The key epoch that was the newest one when an identity was made. */
struct identity_key {
	uint64_t system_identifier;
	uint32_t epoch;
	uint8_t public[SECRET_SIZE];
};

struct identity_keys {
	int count;
	struct identity_key items[SYSTEMS_MAX];
};

/* Those of all systems of the cluster. The first epoch of the repository is the least of them. */
bool identity_keys_read(struct repo *repo, struct identity_keys *keys, struct error *err) MUST_CHECK;
