#include "repo/wal_path.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint32_t wal_path_timeline(const struct wal_path *path)
{
	return path->history.path[path->history.count - 1].timeline;
}

void wal_path_format(const struct wal_path *path, char text[WAL_PATH_TEXT_SIZE])
{
	const char *branch = layout_branch(&path->layout);

	if (strcmp(branch, LAYOUT_BRANCH_DEFAULT) == 0)
		(void) snprintf(text, WAL_PATH_TEXT_SIZE, "timeline %" PRIu32, wal_path_timeline(path));
	else
		(void) snprintf(text, WAL_PATH_TEXT_SIZE, "timeline %" PRIu32 " of the branch \"%s\"",
				wal_path_timeline(path), branch);
}

void wal_path_name(const struct wal_path *path, uint64_t number, uint32_t segment_size, struct wal_name *name)
{
	/* The timeline at the last byte: the youngest whose first segment is not behind this one. */
	uint64_t last_byte = number * segment_size + (segment_size - 1);

	wal_name_of_segment(timeline_history_at(&path->history, last_byte), number, segment_size, name);
}

static int branch_index(const struct layout *layout, const char *name)
{
	int index = 0;

	while (index < layout->branch_count && strcmp(layout->branches[index].name, name) != 0)
		index++;
	return index;
}

/* Does the path lead through byte `lsn` of the timeline, and is its file there the one that branch number `index` of
 * the chain sees too: its own, or an ancestor's? A copy that is backed up while it recovers has its WAL from those. */
static bool path_has(const struct wal_path *path, int index, uint32_t segment_size, uint32_t timeline, uint64_t lsn)
{
	struct wal_name name;

	wal_name_of_segment(timeline, wal_segment_of(lsn, segment_size), segment_size, &name);
	return timeline_history_contains(&path->history, timeline, lsn) &&
	       layout_owner(&path->layout, &name) >= &path->layout.branches[index];
}

bool wal_path_has_backup(const struct wal_path *path, const struct backup *backup)
{
	int index = branch_index(&path->layout, backup->branch);

	return index < path->layout.branch_count &&
	       path_has(path, index, backup->segment_size, backup->start_timeline, backup->start_lsn) &&
	       path_has(path, index, backup->segment_size, backup->stop_timeline, backup->stop_lsn - 1);
}
