/* The mirror of the catalog in the server's own data directory (repo/mirror.h), which whoever archives keeps up to date
 * by the way: for hosts whose backups run elsewhere, too.
 *
 * Once a minute at most, and never before a backlog: while more waits than one call stores ahead, only a mirror that is
 * older than ten minutes is refreshed. That takes a few seconds at most (mirror_upkeep.h), and after a failure it is
 * not tried again for a minute. Whatever comes of it, what is archived is archived.
 */
#pragma once

#include "config/options.h"
#include "repo/repo.h"

struct mirroring {
	const struct options *options;
	const char *path; /* PostgreSQL's %p of what has been stored */
	int waiting;	  /* segments that waited then */
};

/* Is it time? Looks at two small files. False of a file that lies in no data directory's pg_wal. */
bool mirroring_is_due(const struct mirroring *mirroring);
/* Refreshes it. Nobody else uses the repository meanwhile. */
void mirroring_run(const struct mirroring *mirroring, struct repo *repo);
