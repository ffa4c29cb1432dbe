/* Which branch of the repository the server belongs to: asked for before the backup, and held against the mark in the
 * files that it sends. What is asked can be old: a setting counts from the next reload on.
 */
#pragma once

#include "pg/replication.h"
#include "repo/repo.h"

/* From now on the repository's chain of branches is the server's. USAGE when the repository does not know the branch.
 */
bool server_branch_apply(struct server *server, struct repo *repo, struct error *err) MUST_CHECK;
/* `mark` is the file "pitr.branch" of the backup; empty: it has none. */
bool server_branch_check(const struct repo *repo, struct bytes mark, struct error *err) MUST_CHECK;
