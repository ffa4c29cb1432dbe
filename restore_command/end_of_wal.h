/* Is it proven that there is no more WAL? PostgreSQL ends recovery on the answer, so a guess is not good enough.
 *
 * To be asked when the repository, whose identity has been read, answered that it does not have a file.
 */
#pragma once

#include "repo/wal_store.h"

enum end_of_wal {
	/* Nothing of the timeline lies behind it either, nor was it left for another one behind it; or the file never
	 * existed. */
	END_PROVEN,
	/* It was written: later segments are there, or the history of a younger timeline says so. It is missing, or
	 * still on its way. */
	END_IS_GAP,
};

/* `later` is set for a gap: the first segment behind it, or the history. */
bool end_of_wal_judge(struct repo *repo, const struct wal_name *name, enum end_of_wal *verdict, struct wal_name *later,
		      struct error *err) MUST_CHECK;
