/* The mirror of the catalog in the data directory of the server that has been backed up, where that is on this machine:
 * the one of the setting pgdata, else where the server says it is, which it tells not everybody. Elsewhere the server's
 * archiver keeps it.
 */
#pragma once

#include <limits.h>

#include "config/options.h"
#include "pg/replication.h"
#include "repo/repo.h"

/* Where it is; "" when not on this machine, or when that cannot be told. */
void server_mirror_find(struct server *server, const struct repo *repo, const struct options *options,
			char pgdata[PATH_MAX]);
/* Refreshes it with the new backup, or says who will. */
void server_mirror_refresh(struct repo *repo, const struct options *options, const char *pgdata);
