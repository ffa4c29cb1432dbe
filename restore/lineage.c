#include "lineage.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"

uint32_t path_timeline(const struct timeline_history *path)
{
	return path->path[path->count - 1].timeline;
}

const struct timeline_history *lineage_find(const struct lineage *lineage, uint32_t timeline)
{
	for (int i = 0; i < lineage->count; i++)
		if (path_timeline(lineage->paths[i]) == timeline)
			return lineage->paths[i];
	return NULL;
}

bool path_has_backup(const struct timeline_history *path, const struct backup *backup)
{
	return timeline_history_contains(path, backup->start_timeline, backup->start_lsn) &&
	       timeline_history_contains(path, backup->stop_timeline, backup->stop_lsn - 1);
}

void lineage_release(struct lineage *lineage)
{
	for (int i = 0; i < lineage->count; i++)
		free(lineage->paths[i]);
	free((void *) lineage->paths);
	free(lineage->is_end);
	*lineage = (struct lineage){0};
}

/* Where `path` left the timeline; 0 when it does not lead through it, or did not stay on it for a byte. */
static uint64_t path_left(const struct timeline_history *path, uint32_t timeline)
{
	for (int i = 0; i < path->count - 1; i++)
		if (path->path[i].timeline == timeline)
			return i > 0 && path->path[i - 1].end >= path->path[i].end ? 0 : path->path[i].end;
	return 0;
}

/* An end has no descendants, or has WAL behind the segment in which the last of them left. */
static bool lineage_judge(struct repo *repo, uint32_t segment_size, struct lineage *lineage, int place,
			  struct error *err)
{
	uint32_t timeline = path_timeline(lineage->paths[place]);
	struct wal_name last, later;
	uint64_t left = 0;

	for (int i = 0; i < lineage->count; i++) {
		uint64_t here = path_left(lineage->paths[i], timeline);

		if (here > left)
			left = here;
	}
	lineage->is_end[place] = left == 0;
	if (left == 0)
		return true;
	wal_name_of_segment(timeline, wal_segment_of(left, segment_size), segment_size, &last);
	return wal_store_later(repo, &last, &lineage->is_end[place], &later, err);
}

static bool lineage_add(struct repo *repo, uint32_t timeline, struct lineage *lineage, struct error *err)
{
	struct timeline_history *path = calloc(1, sizeof(*path));

	if (path == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (wal_store_history(repo, timeline, path, err)) {
		lineage->paths[lineage->count++] = path;
		return true;
	}
	free(path);
	if (err->kind != ERROR_NOT_FOUND && err->kind != ERROR_CORRUPT)
		return false;
	log_warning("timeline %" PRIu32 " is left out: %s", timeline, err->text);
	return true;
}

bool lineage_read(struct repo *repo, uint32_t segment_size, struct lineage *lineage, struct error *err)
{
	uint32_t timelines[TIMELINES_MAX];
	int count;

	*lineage = (struct lineage){0};
	TRY(wal_store_timelines(repo, timelines, TIMELINES_MAX, &count, err));
	lineage->paths = calloc((size_t) count + 1, sizeof(*lineage->paths));
	lineage->is_end = calloc((size_t) count + 1, sizeof(*lineage->is_end));
	if (lineage->paths == NULL || lineage->is_end == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < count; i++)
		TRY(lineage_add(repo, timelines[i], lineage, err));
	for (int i = 0; i < lineage->count; i++)
		TRY(lineage_judge(repo, segment_size, lineage, i, err));
	return true;
}
