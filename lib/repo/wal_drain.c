#include "repo/wal_drain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "repo/wal_range.h"
#include "repo/wal_store.h"

#define HISTORY_SIZE_MAX (1 * MiB)

struct draining {
	struct wal_drain *drain;
	struct wal_range archive; /* what is there already, from the oldest segment in the directory on */
	struct wal_walk *walk;	  /* over consecutive segments of the directory; NULL: a new one begins */
	uint64_t walked;	  /* the segment it was given last */
	bool has_checked;
	uint64_t checked; /* archived, and known to be of the same content here */
	struct buf content;
	bool is_over; /* WAL has ended */
};

static void draining_release(struct draining *draining)
{
	wal_walk_close(draining->walk);
	wal_range_release(&draining->archive);
	buf_release(&draining->content);
}

void wal_hole_format(const struct wal_hole *hole, char text[WAL_HOLE_TEXT_SIZE])
{
	if (hole->count == 1)
		(void) snprintf(text, WAL_HOLE_TEXT_SIZE, "\"%s\"", hole->first.text);
	else
		(void) snprintf(text, WAL_HOLE_TEXT_SIZE, "\"%s\" to \"%s\" (%" PRIu64 " segments)", hole->first.text,
				hole->last.text, hole->count);
}

/* A copy leaves its source's history alone, also where that has holes. */
static bool is_ours(const struct draining *draining, const struct wal_name *name)
{
	const struct layout *layout = &draining->drain->path->layout;

	return layout_owner(layout, name) == &layout->branches[0];
}

static bool is_archived(const struct draining *draining, uint64_t number)
{
	enum wal_source source;
	uint32_t size;

	return wal_range_find(&draining->archive, number, &source, &size);
}

static void name_of(const struct draining *draining, uint64_t number, struct wal_name *name)
{
	wal_path_name(draining->drain->path, number, draining->drain->directory->segment_size, name);
}

static const struct wal_file *file_of(const struct draining *draining, uint64_t number)
{
	struct wal_name name;

	name_of(draining, number, &name);
	return wal_directory_find(draining->drain->directory, name.timeline, number);
}

/* ------------------------------------------------------------------------------------------------- histories */

/* A timeline's history comes before its segments. */
static bool histories_store(struct wal_drain *drain, struct error *err)
{
	const struct timeline_history *path = &drain->path->history;

	for (int i = 0; i < path->count; i++) {
		struct wal_name name = {.kind = WAL_HISTORY, .timeline = path->path[i].timeline};
		struct timeline_history history;
		bool have;
		BUF(text, HISTORY_SIZE_MAX);

		(void) snprintf(name.text, sizeof(name.text), "%08" PRIX32 ".history", name.timeline);
		if (layout_owner(&drain->path->layout, &name) != &drain->path->layout.branches[0])
			continue;
		if (!wal_directory_history(drain->directory, name.timeline, &text, &history, err)) {
			if (err->kind != ERROR_NOT_FOUND)
				return false;
			continue;
		}
		TRY(wal_store_have(drain->repo, &drain->path->layout, &name, &have, err));
		if (have) {
			TRY(wal_store_check(drain->repo, &drain->path->layout, &name, buf_bytes(&text), err));
			continue;
		}
		TRY(wal_store_put(drain->repo, &name, buf_bytes(&text), NULL, err));
		log_info("stored \"%s\"", name.text);
		drain->histories++;
	}
	return true;
}

/* -------------------------------------------------------------------------------------------------- segments */

/* Loads a segment; *is_gone when it is no longer there. */
static bool segment_load(struct draining *draining, const struct wal_name *name, struct wal_segment *segment,
			 bool *is_gone, struct error *err)
{
	buf_clear(&draining->content);
	*is_gone = false;
	if (wal_directory_load(draining->drain->directory, name, &draining->content, segment, err))
		return true;
	*is_gone = err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CORRUPT;
	return *is_gone;
}

/* Before a segment is put beside an archived one, that must be the one of the directory: else the archive holds another
 * server's history, which looks like a hole here. Where the directory does not have it, nothing can be told. */
static bool neighbour_check(struct draining *draining, uint64_t number, struct error *err)
{
	struct wal_name name;
	struct wal_segment segment;
	bool is_gone;

	if (!is_archived(draining, number) || file_of(draining, number) == NULL ||
	    (draining->has_checked && draining->checked == number))
		return true;
	name_of(draining, number, &name);
	TRY(segment_load(draining, &name, &segment, &is_gone, err));
	if (is_gone)
		return true;
	TRY(wal_store_check(draining->drain->repo, &draining->drain->path->layout, &name, buf_bytes(&draining->content),
			    err));
	draining->has_checked = true;
	draining->checked = number;
	return true;
}

static bool neighbours_check(struct draining *draining, uint64_t number, struct error *err)
{
	TRY(number == 0 || neighbour_check(draining, number - 1, err));
	return neighbour_check(draining, number + 1, err);
}

static bool visit_nothing(void *context, const struct wal_event *event, struct error *err)
{
	(void) context;
	(void) event;
	(void) err;
	return true;
}

/* Does WAL go on to the end of the segment that is loaded? *end is how far it goes. */
static bool segment_is_whole(struct draining *draining, uint64_t number, const struct wal_segment *segment,
			     bool *is_whole, struct error *err)
{
	if (draining->walk != NULL && draining->walked + 1 != number) {
		wal_walk_close(draining->walk);
		draining->walk = NULL;
	}
	if (draining->walk == NULL)
		TRY(wal_walk_open(visit_nothing, NULL, &draining->walk, err));
	TRY(wal_walk_segment(draining->walk, buf_bytes(&draining->content), segment, err));
	draining->walked = number;
	*is_whole = !wal_walk_ended(draining->walk, &draining->drain->end);
	/* WAL of an unknown version is not walked: it is whole when the server has gone on to the next segment. */
	if (wal_magic_version(segment->magic) == 0)
		*is_whole = file_of(draining, number + 1) != NULL || file_of(draining, number)->is_ready;
	return true;
}

/* The segment in which WAL ends, under a name that is in nobody's way: PostgreSQL archives "<segment>.partial" itself
 * when it is promoted, and a server that is started again and stopped once more leaves more in the same segment. What
 * lies behind the end is zeroed, so that the same end has the same content. */
static bool partial_store(struct draining *draining, const struct wal_name *name, const struct wal_segment *segment,
			  struct error *err)
{
	struct wal_drain *drain = draining->drain;
	bool have;

	uint32_t size = (uint32_t) (drain->end - segment->start);
	memset(draining->content.data + size, 0, draining->content.size - size);
	wal_name_of_partial(name, size, &drain->partial);
	drain->has_partial = true;
	TRY(wal_store_have(drain->repo, &drain->path->layout, &drain->partial, &have, err));
	TRY(wal_store_put(drain->repo, &drain->partial, buf_bytes(&draining->content), segment, err));
	if (!have)
		log_info("stored \"%s\"", drain->partial.text);
	return true;
}

static bool segment_end(struct draining *draining, uint64_t number, const struct wal_name *name,
			const struct wal_segment *segment, struct error *err)
{
	struct wal_drain *drain = draining->drain;
	char lsn[LSN_TEXT_SIZE];

	draining->is_over = drain->behind == 0;
	drain->last = *name;
	lsn_format(drain->end, lsn);
	if (is_archived(draining, number + 1) || drain->behind != 0)
		(void) fail(&drain->damage, ERROR_CORRUPT,
			    "the WAL in \"%s/%s\" breaks off at LSN %s, although the server went on",
			    drain->directory->path, name->text, lsn);
	if (!drain->keeps_partial || drain->end <= segment->start + WAL_PAGE_HEADER_LONG_SIZE)
		return true; /* no record of it is complete */
	return partial_store(draining, name, segment, err);
}

/* One segment of the directory. */
static bool segment_drain(struct draining *draining, uint64_t number, struct error *err)
{
	struct wal_drain *drain = draining->drain;
	const struct wal_file *file = file_of(draining, number);
	struct wal_segment segment;
	struct wal_name name;
	bool is_gone, is_whole;

	name_of(draining, number, &name);
	if (!is_ours(draining, &name))
		return true;
	if (is_archived(draining, number)) {
		drain->present++;
		return file->is_ready ? neighbour_check(draining, number, err) : true;
	}
	TRY(neighbours_check(draining, number, err));
	TRY(segment_load(draining, &name, &segment, &is_gone, err));
	if (is_gone)
		return true;
	TRY(segment_is_whole(draining, number, &segment, &is_whole, err));
	if (!is_whole)
		return segment_end(draining, number, &name, &segment, err);
	TRY(wal_store_put(drain->repo, &name, buf_bytes(&draining->content), &segment, err));
	log_info("stored \"%s\"", name.text);
	drain->stored++;
	return wal_range_add(&draining->archive, WAL_FROM_ARCHIVE, number, 0, err);
}

/* ----------------------------------------------------------------------------------------------------- holes */

static void hole_add(struct draining *draining, uint64_t first, uint64_t last)
{
	struct wal_drain *drain = draining->drain;
	struct wal_hole hole = {.count = last - first + 1};
	struct wal_name before;
	struct wal_entry entry;
	struct error ignored;

	name_of(draining, first, &hole.first);
	if (!is_ours(draining, &hole.first))
		return;
	drain->missing += hole.count;
	if (drain->hole_count++ >= WAL_HOLES_MAX)
		return;
	name_of(draining, last, &hole.last);
	if (first > 0 && is_archived(draining, first - 1)) {
		name_of(draining, first - 1, &before);
		if (wal_store_entry(drain->repo, &drain->path->layout, &before, &entry, &ignored))
			memcpy(hole.writer, entry.host, sizeof(hole.writer));
	}
	drain->holes[drain->hole_count - 1] = hole;
}

/* Of what is there now, holes included that reach to the end of what was looked at. */
static void holes_find(struct draining *draining, uint64_t first, uint64_t behind)
{
	uint64_t missing, missing_last;

	while (first < behind && wal_range_gap(&draining->archive, first, &missing, &missing_last) &&
	       missing < behind) {
		hole_add(draining, missing, missing_last < behind ? missing_last : behind - 1);
		first = missing_last + 1;
	}
	uint64_t reached;
	if (first >= behind)
		return;
	if (!wal_range_reach(&draining->archive, first, &reached))
		hole_add(draining, first, behind - 1);
	else if (reached + 1 < behind)
		hole_add(draining, reached + 1, behind - 1);
}

/* Lists the archive from the oldest segment in the directory on; from the very beginning when the one before that is
 * missing, too, since a server that was promoted keeps no more than it needs. */
static bool archive_list(struct draining *draining, uint64_t oldest, uint64_t *first, struct error *err)
{
	struct wal_drain *drain = draining->drain;
	uint32_t segment_size = drain->directory->segment_size;
	struct wal_name before;
	bool have = true;

	*first = oldest;
	if (drain->looks_back && oldest > 1) {
		name_of(draining, oldest - 1, &before);
		TRY(wal_store_have(drain->repo, &drain->path->layout, &before, &have, err));
	}
	TRY(wal_range_list(drain->repo, drain->path, segment_size, have ? oldest * segment_size : 0, &draining->archive,
			   err));
	/* What lies before the first segment that was ever archived is no hole. */
	if (!have && draining->archive.run_count > 0 && draining->archive.runs[0].first < oldest)
		*first = draining->archive.runs[0].first;
	return true;
}

static bool draining_run(struct draining *draining, struct error *err)
{
	struct wal_drain *drain = draining->drain;
	const struct wal_directory *directory = drain->directory;
	uint64_t first, behind = drain->behind != 0 ? drain->behind : UINT64_MAX, last = 0;
	bool found = false;

	draining->content.size_max = directory->segment_size;
	for (int i = 0; i < directory->count && !draining->is_over; i++) {
		uint64_t number = directory->files[i].number;

		if (number >= behind)
			break;
		if (file_of(draining, number) != &directory->files[i])
			continue; /* of a timeline that the path has left, or not yet reached */
		if (!found)
			TRY(archive_list(draining, number, &first, err));
		found = true;
		last = number;
		TRY(segment_drain(draining, number, err));
	}
	if (!found && drain->behind == 0)
		return true;
	if (!found) /* nothing is here: what is missing is, all the same */
		TRY(archive_list(draining, behind, &first, err));
	holes_find(draining, first, drain->behind != 0 ? behind : drain->last.text[0] != '\0' ? last : last + 1);
	return true;
}

bool wal_drain_run(struct wal_drain *drain, struct error *err)
{
	struct draining draining = {.drain = drain};

	bool done = histories_store(drain, err);
	if (done && drain->directory->count > 0)
		done = draining_run(&draining, err);
	draining_release(&draining);
	return done;
}

/* ------------------------------------------------------------------------------------------------------ path */

static bool path_read(struct repo *repo, const struct wal_directory *directory, uint32_t timeline,
		      struct timeline_history *history, struct error *err)
{
	BUF(text, HISTORY_SIZE_MAX);

	if (wal_directory_history(directory, timeline, &text, history, err))
		return true;
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	if (wal_store_history(repo, &repo->layout, timeline, history, err))
		return true;
	return fail_in(err, "the history of timeline %" PRIu32 ", which has WAL in \"%s\"", timeline, directory->path);
}

static uint32_t timeline_below(const struct wal_directory *directory, uint32_t below)
{
	uint32_t newest = 0;

	for (int i = 0; i < directory->count; i++)
		if (directory->files[i].timeline < below && directory->files[i].timeline > newest)
			newest = directory->files[i].timeline;
	return newest;
}

bool wal_drain_path(struct repo *repo, const struct wal_directory *directory, uint32_t timeline, uint64_t lsn,
		    struct wal_path *path, struct error *err)
{
	path->layout = repo->layout;
	for (uint32_t at = timeline_below(directory, UINT32_MAX); at != 0; at = timeline_below(directory, at)) {
		if (!path_read(repo, directory, at, &path->history, err)) {
			if (at > timeline && timeline != 0 && err->kind == ERROR_NOT_FOUND)
				continue; /* not proved to be this server's */
			return false;
		}
		if (timeline == 0 || timeline_history_contains(&path->history, timeline, lsn))
			return true;
	}
	return fail(err, ERROR_NOT_FOUND, "there is no WAL segment%s in \"%s\"", timeline != 0 ? " of the server" : "",
		    directory->path);
}
