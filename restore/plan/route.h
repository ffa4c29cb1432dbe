/* Which paths of the repository come into question for a target: all that may be proposed, or those that the user has
 * chosen. Pure: the lineage has been read. */
#pragma once

#include "plan/reach.h"

struct routes {
	int count;
	const struct wal_path **paths; /* owned; the paths themselves are the lineage's */
	bool *is_end;		       /* owned: history goes no further there */
};

/* USAGE when there is none, naming what there is; CORRUPT when the history of a timeline that may matter is missing. */
bool routes_select(const struct reaching *asked, const struct lineage *lineage, struct routes *routes,
		   struct error *err) MUST_CHECK;
void routes_release(struct routes *routes);
#define ROUTES_CLEANUP __attribute__((cleanup(routes_release)))
