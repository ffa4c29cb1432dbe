#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "pg/control_file.h"
#include "repo/retired_wal.h"
#include "repo/server_drain.h"
#include "repo/wal_range.h"
#include "repo/wal_store.h"

/* So many holes, and backups, are named. */
#define NAMED_MAX 10
#define SEEN_MAX  1024

/* Holes that were found, so that one of several paths that share it names it. */
struct holes {
	struct checking *checking;
	int64_t count;
	struct wal_name seen[SEEN_MAX]; /* the first ones of them */
	enum check_status worst_unnamed;
	uint64_t filled;		  /* segments, from the server's pg_wal */
	struct error why_not;		  /* what kept them from being filled; kind NONE: nothing */
	const struct wal_needed *retired; /* what was removed on purpose */
	bool *is_walked;		  /* owned: backups of the catalog whose own WAL has been looked for */
	int64_t broken_count;		  /* backups that lack some of it */
};

static bool is_seen(struct holes *holes, const struct wal_name *first)
{
	for (int64_t i = 0; i < holes->count && i < SEEN_MAX; i++)
		if (strcmp(holes->seen[i].text, first->text) == 0)
			return true;
	if (holes->count < SEEN_MAX)
		holes->seen[holes->count] = *first;
	holes->count++;
	return false;
}

/* The oldest backup of the path; NULL: none. */
static const struct backup *backup_oldest(const struct checking *checking, const struct wal_path *path)
{
	const struct backup *oldest = NULL;

	for (int i = 0; i < checking->catalog.count; i++) {
		const struct backup *backup = &checking->catalog.backups[i];

		if (wal_path_has_backup(path, backup) && (oldest == NULL || backup->start_lsn < oldest->start_lsn))
			oldest = backup;
	}
	return oldest;
}

/* Can everything behind the hole be restored from a backup that begins there? */
static bool is_passed(const struct checking *checking, const struct wal_path *path, uint64_t behind)
{
	for (int i = 0; i < checking->catalog.count; i++) {
		const struct backup *backup = &checking->catalog.backups[i];

		if (wal_path_has_backup(path, backup) &&
		    wal_segment_of(backup->start_lsn, backup->segment_size) >= behind)
			return true;
	}
	return false;
}

static bool hole_detail(struct finding *finding, const struct wal_name *first, const struct wal_name *last,
			uint64_t count, struct error *err)
{
	finding->detail = json_object();
	TRY(json_put(finding->detail, "first", json_string(first->text), err));
	TRY(json_put(finding->detail, "last", json_string(last->text), err));
	return json_put(finding->detail, "segments", json_integer((json_int_t) count), err);
}

/* Who should have had it: whoever archived what lies before. */
static void writer_format(struct checking *checking, const struct wal_range *range, uint64_t missing, char *text,
			  size_t size)
{
	struct wal_entry entry;
	struct error ignored;
	enum wal_source source;
	uint32_t stored_size;

	text[0] = '\0';
	if (missing > 0 && wal_range_find(range, missing - 1, &source, &stored_size) &&
	    wal_range_entry(checking->repo, range, missing - 1, &entry, &ignored) && entry.host[0] != '\0')
		(void) snprintf(text, size, "; the one before was archived by host \"%.200s\"", entry.host);
}

static bool hole_report(struct holes *holes, const struct wal_range *range, uint64_t missing, uint64_t missing_last,
			struct error *err)
{
	struct checking *checking = holes->checking;
	struct wal_hole hole = {.count = missing_last - missing + 1};
	char text[WAL_HOLE_TEXT_SIZE], writer[256];

	wal_range_name(range, missing, &hole.first);
	wal_range_name(range, missing_last, &hole.last);
	if (is_seen(holes, &hole.first))
		return true;
	bool has_passed = is_passed(checking, range->path, missing_last + 1);
	enum check_status status = has_passed ? CHECK_WARNING : CHECK_CRITICAL;
	if (holes->count > NAMED_MAX) {
		if (check_is_worse(status, holes->worst_unnamed))
			holes->worst_unnamed = status;
		return true;
	}
	wal_hole_format(&hole, text);
	writer_format(checking, range, missing, writer, sizeof(writer));
	struct finding *finding =
		finding_add(checking, status, "the archive lacks %s%s%s%s", text,
			    checking->has_server ? ", which is not in pg_wal here either" : "",
			    has_passed ? ": from the backups before it, nothing behind it can be restored"
				       : ": nothing behind it can be restored",
			    writer);
	(void) snprintf(finding->hint, sizeof(finding->hint), "%s%s",
			has_passed ? "The server that wrote it may still have it in pg_wal: archive it from there with "
				     "pitr-archive."
				   : "Take a base backup now: pitr-basebackup.",
			checking->has_server ? "" : " On the database host, --pgdata fills it from pg_wal.");
	return hole_detail(finding, &hole.first, &hole.last, hole.count, err);
}

static bool holes_report(struct holes *holes, const struct wal_range *range, struct error *err)
{
	uint64_t missing, missing_last, from = range->first;

	while (wal_range_gap(range, from, &missing, &missing_last)) {
		if (!retired_wal_has(holes->retired, range->path, missing, missing_last))
			TRY(hole_report(holes, range, missing, missing_last, err));
		from = missing_last + 1;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ WAL of the backups */

/* A backup that cannot become consistent is none. Where a newer one can, that is no emergency. */
static bool broken_add(struct holes *holes, const struct backup *backup, const char *why, struct error *err)
{
	struct checking *checking = holes->checking;
	bool is_gone, is_newest = backup == check_backup_newest(checking, true);

	TRY(check_path_is_gone(checking, backup, &is_gone, err));
	if (is_gone)
		return true;
	holes->broken_count++;
	if (holes->broken_count > NAMED_MAX && !is_newest)
		return true;
	finding_hint(finding_add(checking, is_newest ? CHECK_CRITICAL : CHECK_WARNING,
				 "the base backup \"%s\" cannot be restored: %s", backup->label, why),
		     is_newest ? "Take another one with pitr-basebackup."
			       : "The server that wrote it may still have it in pg_wal: archive it from "
				 "there with pitr-archive.");
	return true;
}

/* From its first byte to its last: what is missing at the end of the archive is no hole in it. */
static bool backup_walk(struct holes *holes, const struct wal_range *range, int index, struct error *err)
{
	const struct backup *backup = &holes->checking->catalog.backups[index];
	uint64_t first = wal_segment_of(backup->start_lsn, backup->segment_size);
	uint64_t last = wal_segment_of(backup->stop_lsn - 1, backup->segment_size);
	enum wal_source source;
	struct wal_name name;
	uint32_t size;
	char why[160];

	holes->is_walked[index] = true;
	while (first <= last && wal_range_find(range, first, &source, &size))
		first++;
	if (first > last)
		return true;
	wal_range_name(range, first, &name);
	(void) snprintf(why, sizeof(why), "the archive lacks \"%s\", which it needs", name.text);
	return broken_add(holes, backup, why, err);
}

static bool backups_walk(struct holes *holes, struct wal_range *range, struct error *err)
{
	const struct catalog *catalog = &holes->checking->catalog;

	TRY(wal_range_add_partial(range, err));
	for (int i = 0; i < catalog->count; i++)
		if (!catalog->backups[i].is_damaged && !holes->is_walked[i] &&
		    wal_path_has_backup(range->path, &catalog->backups[i]))
			TRY(backup_walk(holes, range, i, err));
	return true;
}

/* The first of those that no path has had so far; NULL: none is on this one. */
static const struct backup *backup_left(const struct holes *holes, const struct wal_path *path)
{
	const struct catalog *catalog = &holes->checking->catalog;
	const struct backup *oldest = NULL;

	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];

		if (!backup->is_damaged && !holes->is_walked[i] && wal_path_has_backup(path, backup) &&
		    (oldest == NULL || backup->start_lsn < oldest->start_lsn))
			oldest = backup;
	}
	return oldest;
}

/* Those of copies, and of timelines that were left. */
static bool backups_walk_left(struct holes *holes, struct error *err)
{
	const struct lineage *lineage = &holes->checking->lineage;
	const struct catalog *catalog = &holes->checking->catalog;

	for (int i = 0; i < lineage->count; i++) {
		const struct backup *oldest = backup_left(holes, lineage->paths[i]);
		struct wal_range range WAL_RANGE_CLEANUP = {0};

		if (oldest == NULL)
			continue;
		TRY(wal_range_list(holes->checking->repo, lineage->paths[i], oldest->segment_size, oldest->start_lsn,
				   &range, err));
		TRY(backups_walk(holes, &range, err));
	}
	for (int i = 0; i < catalog->count; i++)
		if (!catalog->backups[i].is_damaged && !holes->is_walked[i])
			TRY(broken_add(holes, &catalog->backups[i],
				       "there is no WAL of its timeline, or where that comes from cannot be read",
				       err));
	return true;
}

/* ------------------------------------------------------------------------------------------------- the server */

/* Stores what the server here has of the holes. What it has not archived yet, behind the last archived segment, is its
 * archiver's to send. */
static bool holes_fill(struct holes *holes, const struct wal_range *range, const struct wal_path *path,
		       const struct wal_directory *directory, struct error *err)
{
	struct wal_drain drain = {.repo = holes->checking->repo, .path = path, .directory = directory};

	if (range->run_count == 0)
		return true;
	drain.behind = range->runs[range->run_count - 1].last + 1;
	TRY(wal_drain_run(&drain, err));
	holes->filled += drain.stored;
	return true;
}

/* Does the server here follow that path? Then *directory and *path are its. */
static bool server_follows(struct checking *checking, const struct wal_path *wanted, struct wal_directory *directory,
			   struct wal_path *path, bool *follows, struct error *err)
{
	struct control_file control;

	*follows = false;
	if (!checking->has_server)
		return true;
	TRY(control_file_read(checking->options->pgdata, &control, err));
	TRY(wal_directory_read(checking->options->pgdata, control.system_identifier, directory, err));
	if (directory->count == 0)
		return true;
	TRY(wal_drain_path(checking->repo, directory, control.timeline, control.checkpoint, path, err));
	*follows = wal_path_timeline(path) == wal_path_timeline(wanted) &&
		   strcmp(layout_branch(&path->layout), layout_branch(&wanted->layout)) == 0;
	return true;
}

static bool path_try_fill(struct holes *holes, struct wal_range *range, struct error *err)
{
	struct wal_directory directory WAL_DIRECTORY_CLEANUP = {.count = 0};
	struct wal_path path;
	bool follows;
	uint64_t before = holes->filled;

	TRY(server_follows(holes->checking, range->path, &directory, &path, &follows, err));
	if (!follows)
		return true;
	TRY(holes_fill(holes, range, &path, &directory, err));
	if (holes->filled == before)
		return true;
	const struct wal_path *listed = range->path;
	uint32_t segment_size = range->segment_size;
	uint64_t from = range->first * segment_size;
	wal_range_release(range);
	return wal_range_list(holes->checking->repo, listed, segment_size, from, range, err);
}

/* How much WAL a restore of the latest state replays; of several paths the one that has the most of it. */
static void replay_measure(struct checking *checking, const struct wal_range *range)
{
	const struct backup *newest = check_backup_newest(checking, true);

	if (newest == NULL || range->run_count == 0 || !wal_path_has_backup(range->path, newest))
		return;
	uint64_t end = (range->runs[range->run_count - 1].last + 1) * range->segment_size;
	if (end > newest->start_lsn && end - newest->start_lsn > checking->replay_bytes)
		checking->replay_bytes = end - newest->start_lsn;
}

static bool check_path(struct holes *holes, const struct wal_path *path, struct error *err)
{
	struct checking *checking = holes->checking;
	const struct backup *oldest = backup_oldest(checking, path);
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	uint64_t missing, missing_last;

	if (oldest == NULL)
		return true;
	TRY(wal_range_list(checking->repo, path, oldest->segment_size, oldest->start_lsn, &range, err));
	replay_measure(checking, &range);
	if (!wal_range_gap(&range, range.first, &missing, &missing_last))
		return backups_walk(holes, &range, err);
	if (!path_try_fill(holes, &range, err)) {
		if (err->kind == ERROR_UNREACHABLE)
			return false;
		holes->why_not = *err;
	}
	return holes_report(holes, &range, err) && backups_walk(holes, &range, err);
}

/* What was not named, and what the named ones came to. */
static void more_add(struct holes *holes)
{
	struct checking *checking = holes->checking;
	int64_t more = holes->count - NAMED_MAX, broken = holes->broken_count - NAMED_MAX;

	if (more > 0)
		finding_hint(finding_add(checking, holes->worst_unnamed, "and %" PRId64 " more such hole%s", more,
					 more == 1 ? "" : "s"),
			     "\"pitr-catalog window\" names them all.");
	if (broken > 0)
		finding_add(checking, CHECK_WARNING, "and %" PRId64 " more base backup%s that lack%s WAL", broken,
			    broken == 1 ? "" : "s", broken == 1 ? "s" : "");
	if (holes->filled > 0)
		finding_add(checking, CHECK_WARNING,
			    "%" PRIu64 " WAL segment%s missing from the archive, and stored from pg_wal here",
			    holes->filled, holes->filled == 1 ? " was" : "s were");
	if (holes->why_not.kind != ERROR_NONE)
		finding_add(checking, CHECK_WARNING, "holes were not filled from pg_wal here: %.700s",
			    holes->why_not.text);
}

static bool wal_look(struct holes *holes, struct error *err)
{
	struct checking *checking = holes->checking;

	TRY(retired_wal_read(checking->repo, checking->catalog.backups[0].segment_size, &checking->retired, err));
	for (int i = 0; i < checking->lineage.count; i++)
		if (checking->lineage.is_proposed[i])
			TRY(check_path(holes, checking->lineage.paths[i], err));
	metric_set(checking, METRIC_GAPS, holes->count);
	return backups_walk_left(holes, err);
}

bool check_wal(struct checking *checking, struct error *err)
{
	struct holes holes = {.checking = checking, .retired = &checking->retired};
	int64_t findings = checking->finding_total;

	if (checking->catalog.count == 0)
		return true;
	holes.is_walked = calloc((size_t) checking->catalog.count, sizeof(*holes.is_walked));
	if (holes.is_walked == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = wal_look(&holes, err);
	free(holes.is_walked);
	more_add(&holes);
	if (done && checking->finding_total == findings)
		finding_add(checking, CHECK_OK, "no WAL is missing");
	return done;
}
