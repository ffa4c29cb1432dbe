/* Is it proven that there is no more WAL? PostgreSQL ends recovery on the answer, so a guess is not good enough.
 *
 * To be asked when the repository, whose identity has been read, answered that it does not have a file.
 */
#pragma once

#include "repo/wal_store.h"

enum end_of_wal {
	END_PROVEN, /* nothing of the timeline lies behind it either, or the file never existed */
	END_IS_GAP, /* later segments are there: this one is missing, or still on its way */
};

/* `later` is set for a gap: the first segment behind it. */
bool end_of_wal_judge(struct repo *repo, const struct wal_name *name, enum end_of_wal *verdict, struct wal_name *later,
		      struct error *err) MUST_CHECK;
