/* Makes the index over WAL anew from what is stored with the segments, wherever it is missing, damaged, incomplete or
 * says something else. */
#include <inttypes.h>
#include <stdio.h>

#include "config/answer.h"
#include "repo/branch.h"
#include "repo/wal_index_update.h"
#include "repo/wal_store.h"
#include "verbs.h"

struct rebuilding {
	struct repo *repo;
	int jobs;
	json_t *timelines; /* NULL: text */
};

/* As the first segment of the timeline says; 0: it has none of its own in the branch. */
static bool segment_size_find(struct repo *repo, const struct layout *layout, uint32_t timeline, uint32_t *segment_size,
			      struct error *err)
{
	struct wal_name before, first;
	struct wal_entry entry;
	bool found;

	*segment_size = 0;
	wal_name_of_segment(timeline, 0, WAL_SEGMENT_SIZE_MIN, &before);
	TRY(wal_store_later(repo, layout, &before, &found, &first, err));
	if (!found)
		return true;
	TRY(wal_store_entry(repo, layout, &first, &entry, err));
	*segment_size = entry.summary.segment_size;
	return true;
}

static void update_print(const struct wal_index_update *update)
{
	char text[160];
	int used;

	(void) printf("%s, timeline %" PRIu32 ": ", layout_branch(update->layout), update->timeline);
	if (update->blocks == 0) {
		(void) printf("too little WAL for an index\n");
		return;
	}
	(void) printf("%" PRIu64 " segments are in the index; %d of its %d parts were right, %d written",
		      update->segments, update->good, update->blocks, update->written);
	used = snprintf(text, sizeof(text), "%s%s%s", update->different > 0 ? ", wrong" : "",
			update->incomplete > 0 ? ", incomplete" : "", update->damaged > 0 ? ", damaged" : "");
	(void) printf("%s%s%s\n", used > 0 ? " (there were some: " : "", used > 0 ? text + 2 : "", used > 0 ? ")" : "");
	(void) fflush(stdout);
	if (update->unreadable > 0)
		log_warning("%" PRIu64 " segments are not in the index, because they cannot be read; the last: %s",
			    update->unreadable, update->why.text);
}

static bool update_encode(const struct wal_index_update *update, json_t *json, struct error *err)
{
	TRY(json_put(json, "branch", json_string(layout_branch(update->layout)), err));
	TRY(json_put(json, "timeline", json_integer(update->timeline), err));
	TRY(json_put(json, "segments", json_integer((json_int_t) update->segments), err));
	TRY(json_put(json, "segments_unreadable", json_integer((json_int_t) update->unreadable), err));
	TRY(json_put(json, "blocks", json_integer(update->blocks), err));
	TRY(json_put(json, "blocks_right", json_integer(update->good), err));
	TRY(json_put(json, "blocks_written", json_integer(update->written), err));
	TRY(json_put(json, "blocks_different", json_integer(update->different), err));
	TRY(json_put(json, "blocks_incomplete", json_integer(update->incomplete), err));
	TRY(json_put(json, "blocks_damaged", json_integer(update->damaged), err));
	return json_put(json, "objects_damaged", json_integer(update->objects_damaged), err);
}

static bool timeline_rebuild(struct rebuilding *rebuilding, const struct layout *layout, uint32_t timeline,
			     bool is_over, struct error *err)
{
	struct wal_index_update update = {
		.layout = layout, .timeline = timeline, .is_over = is_over, .checks = true, .jobs = rebuilding->jobs};

	TRY(segment_size_find(rebuilding->repo, layout, timeline, &update.segment_size, err));
	if (update.segment_size == 0)
		return true;
	TRY(wal_index_update_run(rebuilding->repo, &update, err));
	if (rebuilding->timelines == NULL) {
		update_print(&update);
		return true;
	}
	json_t *json = json_object();
	TRY(json_add(rebuilding->timelines, json, err));
	return update_encode(&update, json, err);
}

static bool branch_rebuild(struct rebuilding *rebuilding, const char *branch, struct error *err)
{
	uint32_t timelines[TIMELINES_MAX];
	struct layout layout;
	int count;

	TRY(branch_chain_read(rebuilding->repo, branch, &layout, err));
	TRY(wal_store_timelines(rebuilding->repo, branch, timelines, TIMELINES_MAX, &count, err));
	for (int i = 0; i < count; i++) {
		if (timeline_rebuild(rebuilding, &layout, timelines[i], i < count - 1, err))
			continue;
		if (err->kind != ERROR_CORRUPT)
			return fail_in(err, "branch \"%s\", timeline %" PRIu32, branch, timelines[i]);
		log_warning("branch \"%s\", timeline %" PRIu32 " is left out: %s", branch, timelines[i], err->text);
	}
	return true;
}

static bool branches_rebuild(struct rebuilding *rebuilding, struct error *err)
{
	struct branch_list list;

	TRY(branch_list_read(rebuilding->repo, &list, err));
	for (int i = 0; i < list.count; i++) {
		if (branch_rebuild(rebuilding, list.names[i], err))
			continue;
		if (err->kind != ERROR_CORRUPT && err->kind != ERROR_NOT_FOUND)
			return false;
		log_warning("the branch \"%s\" is left out: %s", list.names[i], err->text);
	}
	return true;
}

bool verb_rebuild(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	json_t *json JSON_CLEANUP = json_object();
	struct rebuilding rebuilding = {.jobs = (int) options->jobs};

	TRY(repo_open(options, 0, &repo, err));
	rebuilding.repo = repo;
	if (!options->json)
		return branches_rebuild(&rebuilding, err);
	rebuilding.timelines = json_array();
	TRY(json_put(json, "timelines", rebuilding.timelines, err));
	return branches_rebuild(&rebuilding, err) && answer_print(json, err);
}
