#include "holes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "repo/wal_drain.h"

static void hole_warn(const struct wal_path *path, const struct wal_hole *hole)
{
	char text[WAL_HOLE_TEXT_SIZE], host[300] = "";

	if (hole->writer[0] != '\0')
		(void) snprintf(host, sizeof(host), " on host \"%s\"", hole->writer);
	wal_hole_format(hole, text);
	log_warning("the archive lacks %s: the server that wrote timeline %" PRIu32
		    "%s had not archived it, and it is no longer in pg_wal here (timeline %" PRIu32 ")",
		    text, hole->first.timeline, host, wal_path_timeline(path));
}

static void holes_warn(const struct wal_drain *drain)
{
	for (int i = 0; i < drain->hole_count && i < WAL_HOLES_MAX; i++)
		hole_warn(drain->path, &drain->holes[i]);
	if (drain->hole_count > 0)
		log_hint(
			"A restore cannot pass it. Take a base backup of this server now (pitr-basebackup); if the old "
			"server's pg_wal has survived, \"pitr-archive --drain PGDATA\" stores what is in it.");
	if (drain->stored > 0)
		log_warning("stored %" PRIu64
			    " WAL segments of before the promotion, which the old server had not archived",
			    drain->stored);
	if (drain->damage.kind != ERROR_NONE)
		log_warning("%s", drain->damage.text);
}

/* The archive has another history of the old timeline, or the disk does not give what it should: no reason to hold up
 * the archiving of the new one, and asking again would not change it. */
static bool is_final(enum error_kind kind)
{
	return kind == ERROR_EXISTS || kind == ERROR_CORRUPT || kind == ERROR_USAGE || kind == ERROR_NOT_FOUND;
}

static bool fill(struct repo *repo, const char *directory_path, struct wal_path *path, struct error *err)
{
	struct wal_directory directory WAL_DIRECTORY_CLEANUP = {.count = 0};
	const struct timeline_history *history = &path->history;

	TRY(wal_directory_read(directory_path, repo->layout.system_identifier, &directory, err));
	if (directory.count == 0 || history->count < 2)
		return true;
	struct wal_drain drain = {
		.repo = repo,
		.path = path,
		.directory = &directory,
		.looks_back = true,
		.behind = wal_segment_of(history->path[history->count - 2].end, directory.segment_size)};
	TRY(wal_drain_run(&drain, err));
	holes_warn(&drain);
	return true;
}

bool holes_fill(struct repo *repo, const char *path, struct bytes history, struct error *err)
{
	const char *slash = strrchr(path, '/');
	struct wal_path wal_path = {.layout = repo->layout};
	char directory[PATH_MAX];
	struct wal_name name;

	TRY(wal_name_parse(slash == NULL ? path : slash + 1, &name, err));
	TRY(timeline_history_parse(name.timeline, history, &wal_path.history, err));
	(void) snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : (int) (slash - path),
			slash == NULL ? "." : path);
	if (fill(repo, directory, &wal_path, err))
		return true;
	if (!is_final(err->kind))
		return fail_in(err, "could not look for WAL of before timeline %" PRIu32 " that is not archived",
			       name.timeline);
	log_warning("WAL of before timeline %" PRIu32 " that is not archived was not stored: %s", name.timeline,
		    err->text);
	return true;
}
