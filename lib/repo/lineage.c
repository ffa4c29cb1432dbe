#include "repo/lineage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "repo/wal_store.h"

bool lineage_is_of(const struct wal_path *path, const char *branch)
{
	return strcmp(layout_branch(&path->layout), branch) == 0;
}

void lineage_release(struct lineage *lineage)
{
	for (int i = 0; i < lineage->count; i++)
		free(lineage->paths[i]);
	free((void *) lineage->paths);
	free(lineage->is_end);
	free(lineage->is_proposed);
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

/* An end has no descendants in its branch, or has WAL behind the segment in which the last of them left. */
static bool lineage_judge(struct repo *repo, uint32_t segment_size, struct lineage *lineage, int place,
			  struct error *err)
{
	const struct wal_path *path = lineage->paths[place];
	uint32_t timeline = wal_path_timeline(path);
	struct wal_name last, later;
	uint64_t left = 0;

	for (int i = 0; i < lineage->count; i++) {
		uint64_t here = path_left(&lineage->paths[i]->history, timeline);

		if (here > left && lineage_is_of(lineage->paths[i], layout_branch(&path->layout)))
			left = here;
	}
	lineage->is_end[place] = left == 0;
	if (left == 0)
		return true;
	wal_name_of_segment(timeline, wal_segment_of(left, segment_size), segment_size, &last);
	return wal_store_later(repo, &path->layout, &last, &lineage->is_end[place], &later, err);
}

static bool lineage_grow(struct lineage *lineage, int more, struct error *err)
{
	size_t room = (size_t) lineage->count + (size_t) more + 1;
	struct wal_path **paths = realloc((void *) lineage->paths, room * sizeof(*paths));
	bool *is_end = realloc(lineage->is_end, room), *is_proposed = realloc(lineage->is_proposed, room);

	lineage->paths = paths != NULL ? paths : lineage->paths;
	lineage->is_end = is_end != NULL ? is_end : lineage->is_end;
	lineage->is_proposed = is_proposed != NULL ? is_proposed : lineage->is_proposed;
	return (paths != NULL && is_end != NULL && is_proposed != NULL) || fail(err, ERROR_SYSTEM, "out of memory");
}

static void unknown_note(struct lineage *lineage, const char *branch, uint32_t timeline, const struct error *why)
{
	log_warning("timeline %" PRIu32 " is left out: %s", timeline, why->text);
	if (lineage->has_unknown)
		return;
	lineage->has_unknown = true;
	(void) snprintf(lineage->unknown_branch, sizeof(lineage->unknown_branch), "%s", branch);
	lineage->unknown_timeline = timeline;
	lineage->unknown_why = *why;
}

static bool lineage_add(struct repo *repo, const struct layout *layout, uint32_t timeline, bool is_proposed,
			struct lineage *lineage, struct error *err)
{
	struct wal_path *path = malloc(sizeof(*path));

	if (path == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	path->layout = *layout;
	if (wal_store_history(repo, layout, timeline, &path->history, err)) {
		lineage->is_proposed[lineage->count] = is_proposed;
		lineage->paths[lineage->count++] = path;
		return true;
	}
	free(path);
	if (err->kind != ERROR_NOT_FOUND && err->kind != ERROR_CORRUPT)
		return false;
	unknown_note(lineage, layout_branch(layout), timeline, err);
	return true;
}

/* The timelines that end in one branch: its own, and of a fork the one that it shares with its parent. */
static bool lineage_add_branch(struct repo *repo, const struct layout *layout, bool is_proposed,
			       struct lineage *lineage, struct error *err)
{
	uint32_t timelines[TIMELINES_MAX];
	int count;

	TRY(wal_store_timelines(repo, layout_branch(layout), timelines, TIMELINES_MAX, &count, err));
	TRY(lineage_grow(lineage, count, err));
	for (int i = 0; i < count; i++)
		if (layout_owns_timeline(layout, 0, timelines[i]))
			TRY(lineage_add(repo, layout, timelines[i], is_proposed, lineage, err));
	return true;
}

/* A fork is a rival of its parent until somebody says which is production; a restored copy is one only when adopted. */
static bool branch_is_proposed(struct repo *repo, const char *name, bool *is_proposed, struct error *err)
{
	struct branch_origin origin;
	uint32_t number;

	*is_proposed = strcmp(name, LAYOUT_BRANCH_DEFAULT) == 0;
	if (*is_proposed)
		return true;
	TRY(branch_origin_get(repo, name, &origin, err));
	*is_proposed = origin.reason == BRANCH_FORKED;
	if (*is_proposed)
		return true;
	TRY(branch_adopted_number(repo, name, &number, err));
	*is_proposed = number > 0;
	return true;
}

static bool lineage_add_named(struct repo *repo, const char *name, struct lineage *lineage, struct error *err)
{
	struct layout layout;
	bool is_proposed;

	if (branch_chain_read(repo, name, &layout, err) && branch_is_proposed(repo, name, &is_proposed, err))
		return lineage_add_branch(repo, &layout, is_proposed, lineage, err);
	if (err->kind != ERROR_NOT_FOUND && err->kind != ERROR_CORRUPT)
		return false;
	log_warning("the branch \"%s\" is left out: %s", name, err->text);
	return true;
}

bool lineage_read(struct repo *repo, uint32_t segment_size, struct lineage *lineage, struct error *err)
{
	struct branch_list list;

	*lineage = (struct lineage){0};
	TRY(branch_list_read(repo, &list, err));
	TRY(branch_production(repo, &list, lineage->production, err));
	for (int i = 0; i < list.count; i++)
		TRY(lineage_add_named(repo, list.names[i], lineage, err));
	for (int i = 0; i < lineage->count; i++)
		TRY(lineage_judge(repo, segment_size, lineage, i, err));
	return true;
}
