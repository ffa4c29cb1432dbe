/* Keeping a data directory's mirror of the catalog up to date (repo/mirror.h) by the way, for who has just done
 * something else: archived, backed up, restored. It makes sure that the directory is of the repository's cluster, sees
 * it with the eyes of its server, whose branch is the one of the directory's mark, and comes to an end in time. The
 * caller goes on whatever comes of it.
 */
#pragma once

#include "repo/mirror.h"

/* USAGE when it is no data directory of the repository's cluster; UNREACHABLE, too, when it takes longer than a few
 * seconds (MIRROR_RECENT) or half a minute (MIRROR_WHOLE): the mirror stays as it was then. */
bool mirror_upkeep_run(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth,
		       struct error *err) MUST_CHECK;
/* The same for a program that a person has called, who is told at the level "info" what came of it. */
void mirror_upkeep_try(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth);
/* The same for who works on the repository alone: of --pgdata, as far as that is here, of this cluster and ours to
 * write. Otherwise nothing happens, and nothing is said. */
void mirror_upkeep_own(struct repo *repo, const struct options *options);
