/* What can be restored, as SQL shows it on the server itself: a document in the data directory (LOCAL_CATALOG), which
 * the programs keep up to date and which says of which repository and cluster it is, and from when. It has the facts
 * of `pitr-catalog list` and `window`, made by the same functions, and how the WAL lies in time. Everything in it is in
 * the repository too; it may be missing or old, and nothing is ever restored by it. No secret is needed to make it.
 * docs/format.md, "Local documents".
 */
#pragma once

#include "repo/repo.h"

enum mirror_depth {
	MIRROR_WHOLE, /* every listing, and the summary of every segment */
	MIRROR_RECENT /* what the mirror that is there does not know yet */
};

/* Brings <pgdata>/pitr.catalog up to date, for the branch that `repo` writes to. It stays as it is when this fails: in
 * particular (USAGE) when a newer program wrote it, which this one cannot replace without loss. */
bool mirror_refresh(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth,
		    struct error *err) MUST_CHECK;
/* Is there none, or is it older than a minute, or of the future? */
bool mirror_is_due(const char *pgdata);
