/* Which branch a restored server belongs to: a copy gets one of its own, that begins where the path of the restore
 * ends; a standby, and a server that is restored in its place, stay in the path's. What is decided here lands in the
 * data directory only: the repository learns of a branch from the first server that archives to it.
 */
#pragma once

#include "plan/plan.h"

/* A restore that goes on with an interrupted one finds the name that this one had given. */
bool copy_plan(struct repo *repo, const struct options *options, struct plan *plan, struct error *err) MUST_CHECK;
/* Has the server a branch of its own, as opposed to a standby? */
bool copy_is_new(const struct plan *plan);
/* The server's branch; NULL: the default one, of which there is no mark. */
const char *copy_branch(const struct plan *plan);
/* What is to stand in its postgresql.auto.conf, and in it restore_command, which can be tried before. */
bool copy_conf_make(const struct repo *repo, const struct options *options, const struct plan *plan,
		    struct buf *command, struct buf *conf, struct error *err) MUST_CHECK;
