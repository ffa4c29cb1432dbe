#include "end_of_wal.h"

#include <string.h>

/* A timeline has no segments before the one in which it branched off its parent; a server does not ask for them,
 * other tools may. `later` is a segment of the timeline, and knows the segment size. */
static bool before_timeline_begins(struct repo *repo, const struct wal_name *name, const struct wal_name *later,
				   bool *before, struct error *err)
{
	struct timeline_history history;
	struct wal_summary summary;

	*before = false;
	if (name->timeline == 1)
		return true;
	if (!wal_store_history(repo, name->timeline, &history, err))
		return err->kind == ERROR_NOT_FOUND; /* nothing to judge by: the gap stands */
	if (history.count < 2)
		return true;
	TRY(wal_store_summary(repo, later, &summary, err));
	if (!wal_segment_size_valid(summary.segment_size))
		return true;
	uint64_t begin = history.path[history.count - 2].end;
	*before = wal_segment_number(name, summary.segment_size) < wal_segment_of(begin, summary.segment_size);
	return true;
}

bool end_of_wal_judge(struct repo *repo, const struct wal_name *name, enum end_of_wal *verdict, struct wal_name *later,
		      struct error *err)
{
	bool found;
	bool before;

	*verdict = END_PROVEN;
	if (name->kind != WAL_SEGMENT)
		return true;
	TRY(wal_store_later(repo, name, &found, later, err));
	if (!found)
		return true;
	TRY(before_timeline_begins(repo, name, later, &before, err));
	if (!before)
		*verdict = END_IS_GAP;
	return true;
}
