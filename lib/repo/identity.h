/* Who a repository is: its identity object, and the key epochs that its objects are sealed to.
 * docs/format.md, "Identity" and "Key epochs". Used by repo.c only.
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
