#include "repo/restore_points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hex.h"

void restore_points_release(struct restore_points *points)
{
	free(points->items);
	*points = (struct restore_points){0};
}

static bool point_add(struct restore_points *points, const struct restore_point *point, struct error *err)
{
	if (points->count == RESTORE_POINTS_GATHERED_MAX) {
		points->omitted++;
		return true;
	}
	TRY(ARRAY_RESERVE(&points->items, points->count, &points->capacity, err));
	points->items[points->count++] = *point;
	return true;
}

bool restore_points_add(struct restore_points *points, const struct wal_path *path, uint32_t segment_size,
			const struct wal_survey_segment *segment, struct error *err)
{
	points->omitted += (uint64_t) segment->points_omitted;
	for (int i = 0; i < segment->point_count; i++) {
		const struct wal_restore_point *seen = &segment->points[i];
		struct restore_point point = {
			.lsn = seen->lsn, .created_us = seen->time_us, .timeline = seen->timeline};
		struct wal_name name;

		wal_path_name(path, wal_segment_of(seen->lsn, segment_size), segment_size, &name);
		memcpy(point.name, seen->name, sizeof(point.name));
		(void) snprintf(point.branch, sizeof(point.branch), "%s", layout_owner(&path->layout, &name)->name);
		TRY(point_add(points, &point, err));
	}
	return true;
}

bool restore_points_add_all(struct restore_points *points, const struct restore_points *more, struct error *err)
{
	points->omitted += more->omitted;
	for (int i = 0; i < more->count; i++)
		TRY(point_add(points, &more->items[i], err));
	return true;
}

bool restore_point_is_on(const struct restore_point *point, const struct wal_path *path, uint32_t segment_size)
{
	struct wal_name name;

	if (timeline_history_at(&path->history, point->lsn) != point->timeline)
		return false;
	wal_path_name(path, wal_segment_of(point->lsn, segment_size), segment_size, &name);
	return strcmp(layout_owner(&path->layout, &name)->name, point->branch) == 0;
}

static int point_order(const void *left, const void *right)
{
	const struct restore_point *a = left;
	const struct restore_point *b = right;

	if (a->created_us != b->created_us)
		return a->created_us < b->created_us ? -1 : 1;
	if (a->lsn != b->lsn)
		return a->lsn < b->lsn ? -1 : 1;
	if (a->timeline != b->timeline)
		return a->timeline < b->timeline ? -1 : 1;
	return strcmp(a->branch, b->branch);
}

void restore_points_order(struct restore_points *points)
{
	int kept = 0;

	if (points->count < 2)
		return;
	qsort(points->items, (size_t) points->count, sizeof(points->items[0]), point_order);
	for (int i = 0; i < points->count; i++)
		if (kept == 0 || point_order(&points->items[kept - 1], &points->items[i]) != 0)
			points->items[kept++] = points->items[i];
	points->count = kept;
	if (kept <= RESTORE_POINTS_MAX)
		return;
	int older = kept - RESTORE_POINTS_MAX;
	points->omitted += (uint64_t) older;
	points->count = RESTORE_POINTS_MAX;
	memmove(points->items, points->items + older, RESTORE_POINTS_MAX * sizeof(points->items[0]));
}

/* A name is of the server's encoding, which need not be UTF-8: then its bytes besides what can be shown of it. */
static bool name_put(const char *name, json_t *member, struct error *err)
{
	char shown[sizeof(((struct restore_point *) NULL)->name)], hex[2 * sizeof(shown)];
	json_t *value = json_string(name);

	if (value != NULL)
		return json_put(member, "name", value, err);
	(void) snprintf(shown, sizeof(shown), "%s", name);
	for (char *at = shown; *at != '\0'; at++)
		if ((unsigned char) *at >= 0x80)
			*at = '?';
	hex_format(bytes_of_text(name), hex);
	return json_put(member, "name", json_string(shown), err) && json_put(member, "name_hex", json_string(hex), err);
}

static bool name_get(const json_t *member, char *name, size_t name_size, struct error *err)
{
	const char *hex;

	if (json_object_get(member, "name_hex") == NULL)
		return json_copy_text(member, "name", name, name_size, err);
	TRY(json_get_text(member, "name_hex", &hex, err));
	size_t size = strlen(hex) / 2;
	if (size >= name_size || !hex_parse(hex, (uint8_t *) name, size) || memchr(name, 0, size) != NULL)
		return fail(err, ERROR_CORRUPT, "\"name_hex\" is too long, or no name");
	name[size] = '\0';
	return true;
}

bool restore_points_encode(const struct restore_points *points, json_t *json, struct error *err)
{
	json_t *array = json_array();

	TRY(json_put(json, "restore_points", array, err));
	for (int i = 0; i < points->count; i++) {
		const struct restore_point *point = &points->items[i];
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(name_put(point->name, member, err));
		TRY(lsn_put(member, "lsn", point->lsn, err));
		TRY(json_put(member, "created_us", json_integer(point->created_us), err));
		TRY(json_put(member, "timeline", json_integer(point->timeline), err));
		TRY(json_put(member, "branch", json_string(point->branch), err));
	}
	return json_put(json, "restore_points_omitted", json_integer((json_int_t) points->omitted), err);
}

bool restore_points_decode(const json_t *json, struct restore_points *points, struct error *err)
{
	json_t *array;

	TRY(json_get_array(json, "restore_points", &array, err));
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *member = json_array_get(array, i);
		struct restore_point point = {.lsn = 0};

		TRY(name_get(member, point.name, sizeof(point.name), err));
		TRY(lsn_get(member, "lsn", &point.lsn, err));
		TRY(json_get_integer(member, "created_us", 0, INT64_MAX, &point.created_us, err));
		TRY(json_get_u32(member, "timeline", &point.timeline, err));
		TRY(json_copy_text(member, "branch", point.branch, sizeof(point.branch), err));
		TRY(point_add(points, &point, err));
	}
	return json_get_u64(json, "restore_points_omitted", &points->omitted, err);
}
