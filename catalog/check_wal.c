#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "pg/control_file.h"
#include "repo/server_drain.h"
#include "repo/wal_range.h"
#include "repo/wal_store.h"

/* Holes that were found, so that one of several paths that share it names it. */
struct holes {
	struct checking *checking;
	int count;
	struct wal_name seen[FINDINGS_MAX];
	uint64_t filled;      /* segments, from the server's pg_wal */
	struct error why_not; /* what kept them from being filled; kind NONE: nothing */
};

static bool is_seen(struct holes *holes, const struct wal_name *first)
{
	for (int i = 0; i < holes->count; i++)
		if (strcmp(holes->seen[i].text, first->text) == 0)
			return true;
	if (holes->count < FINDINGS_MAX)
		holes->seen[holes->count++] = *first;
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
	wal_hole_format(&hole, text);
	writer_format(checking, range, missing, writer, sizeof(writer));
	bool has_passed = is_passed(checking, range->path, missing_last + 1);
	struct finding *finding =
		finding_add(checking, has_passed ? CHECK_WARNING : CHECK_CRITICAL, "the archive lacks %s%s%s%s", text,
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
		TRY(hole_report(holes, range, missing, missing_last, err));
		from = missing_last + 1;
	}
	return true;
}

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

static bool check_path(struct holes *holes, const struct wal_path *path, struct error *err)
{
	struct checking *checking = holes->checking;
	const struct backup *oldest = backup_oldest(checking, path);
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	uint64_t missing, missing_last;

	if (oldest == NULL)
		return true;
	TRY(wal_range_list(checking->repo, path, oldest->segment_size, oldest->start_lsn, &range, err));
	if (!wal_range_gap(&range, range.first, &missing, &missing_last))
		return true;
	if (!path_try_fill(holes, &range, err)) {
		if (err->kind == ERROR_UNREACHABLE)
			return false;
		holes->why_not = *err;
	}
	return holes_report(holes, &range, err);
}

bool check_wal(struct checking *checking, struct error *err)
{
	struct holes holes = {.checking = checking};
	int findings = checking->finding_count;

	for (int i = 0; i < checking->lineage.count; i++)
		if (checking->lineage.is_proposed[i])
			TRY(check_path(&holes, checking->lineage.paths[i], err));
	if (holes.filled > 0)
		finding_add(checking, CHECK_WARNING,
			    "%" PRIu64 " WAL segment%s missing from the archive, and stored from pg_wal here",
			    holes.filled, holes.filled == 1 ? " was" : "s were");
	if (holes.why_not.kind != ERROR_NONE)
		finding_add(checking, CHECK_WARNING, "holes were not filled from pg_wal here: %.700s",
			    holes.why_not.text);
	if (checking->finding_count == findings && checking->catalog.count > 0)
		finding_add(checking, CHECK_OK, "no WAL is missing");
	return true;
}
