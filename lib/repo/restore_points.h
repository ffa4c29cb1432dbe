/* The restore points that lie in windows, the newest RESTORE_POINTS_MAX of them, each once however many paths lead over
 * it. Gathered from the segments' summaries as they are surveyed.
 */
#pragma once

#include "repo/wal_path.h"
#include "repo/wal_survey.h"

#define RESTORE_POINTS_MAX 10000
/* While they are gathered, some are seen more than once. */
#define RESTORE_POINTS_GATHERED_MAX (10 * RESTORE_POINTS_MAX)

struct restore_point {
	char name[64];
	uint64_t lsn;
	int64_t created_us;
	uint32_t timeline;
	char branch[BRANCH_NAME_MAX + 1];
};

struct restore_points {
	int count;
	size_t capacity;
	struct restore_point *items; /* owned */
	uint64_t omitted;	     /* older ones, and those that summaries had no room for */
};

/* Those of a segment of the path. */
bool restore_points_add(struct restore_points *points, const struct wal_path *path, uint32_t segment_size,
			const struct wal_survey_segment *segment, struct error *err) MUST_CHECK;
bool restore_points_add_all(struct restore_points *points, const struct restore_points *more,
			    struct error *err) MUST_CHECK;
/* Is it on the path? */
bool restore_point_is_on(const struct restore_point *point, const struct wal_path *path, uint32_t segment_size);
/* Each once, by time, and no more than RESTORE_POINTS_MAX. */
void restore_points_order(struct restore_points *points);
void restore_points_release(struct restore_points *points);

/* {restore_points, restore_points_omitted} */
bool restore_points_encode(const struct restore_points *points, json_t *json, struct error *err) MUST_CHECK;
bool restore_points_decode(const json_t *json, struct restore_points *points, struct error *err) MUST_CHECK;
