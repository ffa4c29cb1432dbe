/* From when to when can be restored, on every path of the repository's timelines: stretches that begin with a base
 * backup and end before a hole, and what is to be known of them, of the holes, and of the restore points in them.
 * Finds; repo/window_json.h encodes, and whoever asks prints. What was found earlier and kept saves the greater part of
 * the work: segments are never replaced, so of those that were seen before nothing is asked again.
 */
#pragma once

#include "repo/gap.h"
#include "repo/lineage.h"
#include "repo/restore_points.h"
#include "repo/wal_marks.h"

/* Why a window goes no further. */
enum window_end { WINDOW_END_OF_ARCHIVE, WINDOW_GAP, WINDOW_DAMAGED, WINDOW_BREAKS_OFF, WINDOW_UNKNOWN_VERSION };

/* A stretch of a path in which every moment can be restored. */
struct window {
	int place;		     /* of the path, among the lineage's */
	const struct wal_path *path; /* borrowed from there; NULL in what was kept */
	char branch[BRANCH_NAME_MAX + 1];
	uint32_t timeline; /* of the path's end */
	bool is_end, is_proposed;
	uint32_t segment_size;
	char label[BACKUP_LABEL_SIZE];	/* of the base backup that it begins with */
	int64_t earliest_us, latest_us; /* the end of that, and the last commit */
	uint64_t earliest_lsn, latest_lsn;
	uint64_t first, reached;       /* segments, the last may be one that could not be read */
	int backup_count;	       /* from which something in it can be restored */
	const struct backup **backups; /* owned, what it points to is the catalog's; by stop LSN */
	int gap_count;		       /* on its path */
	uint64_t commits;
	enum window_end end;
	char damage[1024]; /* WINDOW_DAMAGED: why */
	uint16_t magic;	   /* WINDOW_UNKNOWN_VERSION: of the WAL */
	int64_t as_of_us;  /* when it was looked at */
	struct wal_marks marks;
};

struct windows {
	/* asked */
	struct repo *repo;
	const struct catalog *catalog; /* must outlive it */
	int jobs;
	int64_t now_us;
	/* Kept from an earlier time; NULL: nothing is. What lies behind the last window is looked for, and whether
	 * holes were filled; that a segment has gone or was damaged since is not seen. */
	const struct windows *known;
	uint64_t survey_max; /* summaries of no more segments than these are read; 0: of all */

	/* answered */
	struct lineage lineage;
	struct wal_needed retired; /* WAL that was removed on purpose */
	int count;
	size_t capacity;
	struct window *items;
	struct gaps gaps;
	struct restore_points points;
	bool is_partial; /* more would have had to be read: some windows are as they were, or missing */
	uint64_t surveyed;
};

bool windows_find(struct windows *windows, struct error *err) MUST_CHECK;
void windows_release(struct windows *windows);
#define WINDOWS_CLEANUP __attribute__((cleanup(windows_release)))
/* Makes room for one more, and returns it, zeroed; NULL: out of memory. */
struct window *windows_extend(struct windows *windows, struct error *err) MUST_CHECK;
void window_release(struct window *window);
