/* WAL that has survived its server and is not in the archive: the pg_wal of a lost one (--wal-from), or that of the
 * stopped one whose place is taken (--in-place). A restore stores it in the archive first, where recovery will find it;
 * a plan that may write nothing adds it to what the archive has. The surviving files are only read.
 */
#pragma once

#include "config/options.h"
#include "files/in_place.h"
#include "plan/plan.h"

/* Reads what there is, for a plan that writes nothing. Nothing when neither was asked for. */
bool surviving_read(struct repo *repo, const struct options *options, struct surviving *surviving,
		    struct error *err) MUST_CHECK;
/* Stores it. `in_place` NULL: of --wal-from only. */
bool surviving_store(struct repo *repo, const struct options *options, const struct in_place *in_place,
		     struct error *err) MUST_CHECK;

/* Lays the last segment of the plan into the restored pg_wal when it is one that no server archives: recovery reads it
 * there once the archive is proved to have no whole one. */
bool surviving_lay(struct repo *repo, const struct plan *plan, const char *pgdata, struct error *err) MUST_CHECK;
