/* Tablespaces that are created in the WAL between a backup and a target. Replay makes each at the absolute path that it
 * had on the source (tblspc_redo() of PostgreSQL): the directory has to be there, and whatever is in it is taken over.
 * Beside the source that is a live tablespace, so their places have to be free before anything is restored. Writes
 * nothing.
 */
#pragma once

#include "plan/reach.h"

/* USAGE, saying what is in the way and which ways are left, when replay up to the stop of `reach` would create a
 * tablespace where a directory is in use, or where there is none. A tablespace of the backup that stays in its place is
 * left to place_plan(). Reads segments only where their summaries do not tell enough: that needs the secret key. */
bool tablespaces_created_check(struct repo *repo, const struct reach *reach, const struct options *options,
			       struct error *err) MUST_CHECK;
