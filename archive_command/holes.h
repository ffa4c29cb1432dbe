/* After a promotion: the old primary may have died with segments that it had not archived, and the standby that takes
 * its place never archives what it had received. What of that is still in its pg_wal is stored; what is not is named.
 */
#pragma once

#include "pg/timeline.h"
#include "repo/repo.h"

/* `path` is that of the history file that the server has just written and that is stored by now. False only when the
 * server is to ask again: holes that nobody can fill are warned about. */
bool holes_fill(struct repo *repo, const char *path, struct bytes history, struct error *err) MUST_CHECK;
