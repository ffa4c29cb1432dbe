#include "wal_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "repo/wal_path.h"
#include "repo/wal_store.h"

#define POLL_FIRST_MS 200
#define POLL_LAST_MS  2000
#define SAY_AFTER_MS  5000
/* "": nothing has failed since the last success. */
#define ARCHIVER_STATE                                                                                       \
	"SELECT coalesce((SELECT pg_catalog.format('; its archiver failed with %s at %s', last_failed_wal, " \
	"last_failed_time) FROM pg_catalog.pg_stat_archiver "                                                \
	"WHERE last_failed_time > coalesce(last_archived_time, '-infinity')), '')"

/* What the server knows about its failures, when it lets us ask: "; the last failure …". */
static void archiver_ask(const struct server_address *address, struct buf *answer)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct error ignored = {0};
	bool needs_password;

	if (!server_open(address, SERVER_SQL, &server, &needs_password, &ignored) ||
	    !server_query(server, ARCHIVER_STATE, 0, NULL, answer, &ignored))
		log_debug("could not ask for the state of the archiver: %s", ignored.text);
}

static bool fail_missing(const struct wal_wait *wait, const struct wal_name *name, struct error *err)
{
	const char *state;
	BUF(answer, 1 * KiB);

	if (!wait->backup->from_standby)
		archiver_ask(wait->address, &answer);
	TRY(buf_text(&answer, &state, err));
	(void) fail(
		err, ERROR_UNREACHABLE,
		"the WAL file \"%s\", which the backup needs, did not come into the repository \"%s\" within %" PRId64
		" s%s",
		name->text, storage_url(wait->repo->storage), wait->timeout_ms / 1000, state);
	if (wait->backup->from_standby && !wait->has_primary)
		return fail_hint(err, "A standby cannot end a WAL segment, and a primary without work does not either: "
				      "--primary CONNINFO asks it to. Check archive_command there, too.");
	return fail_hint(
		err, "Look at archive_command, at pg_stat_archiver and at the log of the server; the backup must be "
		     "taken again.");
}

/* Waiting under way. What there is to say is said once. */
struct waiting {
	const struct wal_wait *wait;
	int64_t deadline;
	bool is_said, is_warned;
};

/* A repository that cannot be reached may be there again in time: nothing is given up before the deadline. */
static bool waiting_endure(struct waiting *waiting, struct error *err)
{
	int64_t left_ms = deadline_left_ms(waiting->deadline);

	if (err->kind != ERROR_UNREACHABLE || left_ms <= 0)
		return fail_in(err, "could not look for the WAL of the backup");
	if (!waiting->is_warned)
		log_warning("could not look for the WAL of the backup: %s; trying for another %" PRId64 " s", err->text,
			    left_ms / 1000);
	waiting->is_warned = true;
	*err = (struct error){0};
	return true;
}

static bool waiting_ask(struct waiting *waiting, const struct wal_name *name, bool *have, struct error *err)
{
	*have = false;
	return wal_store_have(waiting->wait->repo, &waiting->wait->repo->layout, name, have, err) ||
	       waiting_endure(waiting, err);
}

/* Is segment `number`, the last one, there as a file of a timeline that left ours behind the backup's end? */
static bool successor_look(const struct wal_wait *wait, uint32_t timeline, uint64_t number, bool *have,
			   struct error *err)
{
	const struct backup *backup = wait->backup;
	struct wal_path path = {.layout = wait->repo->layout};
	struct wal_name name;

	*have = false;
	if (timeline <= backup->stop_timeline)
		return true;
	if (!wal_store_history(wait->repo, &path.layout, timeline, &path.history, err))
		return err->kind == ERROR_NOT_FOUND;
	if (!timeline_history_contains(&path.history, backup->stop_timeline, backup->stop_lsn - 1))
		return true;
	wal_path_name(&path, number, backup->segment_size, &name);
	return name.timeline == backup->stop_timeline ? true
						      : wal_store_have(wait->repo, &path.layout, &name, have, err);
}

/* A standby that is promoted goes on in the middle of a segment: it copies what is in it into a file of its own
 * timeline (XLogInitNewTimeline() of xlog.c), and of the old timeline only a .partial is archived. When the primary of
 * a backed up standby is lost, this is how the end of the backup comes. */
static bool successor_find(struct waiting *waiting, uint64_t number, bool *have, struct error *err)
{
	uint32_t timelines[TIMELINES_MAX];
	int count = 0;

	*have = false;
	if (!wal_store_timelines(waiting->wait->repo, layout_branch(&waiting->wait->repo->layout), timelines,
				 TIMELINES_MAX, &count, err))
		return waiting_endure(waiting, err);
	for (int i = 0; i < count && !*have; i++) {
		if (!successor_look(waiting->wait, timelines[i], number, have, err))
			return waiting_endure(waiting, err);
	}
	return true;
}

/* Waits for one file; for segment `successor_of` (0: for none) also as one of a later timeline. */
static bool wal_wait_file(struct waiting *waiting, const struct wal_name *name, uint64_t successor_of,
			  struct error *err)
{
	int64_t pause_ms = POLL_FIRST_MS;
	int64_t said_ms = deadline_in(SAY_AFTER_MS);
	bool have;

	for (;;) {
		TRY(waiting_ask(waiting, name, &have, err));
		if (!have && successor_of != 0 && pause_ms == POLL_LAST_MS)
			TRY(successor_find(waiting, successor_of, &have, err));
		if (have)
			return true;
		int64_t left_ms = deadline_left_ms(waiting->deadline);
		if (left_ms <= 0)
			return fail_missing(waiting->wait, name, err);
		if (!waiting->is_said && deadline_left_ms(said_ms) <= 0) {
			log_info("waiting for the WAL file \"%s\" to come into the repository", name->text);
			waiting->is_said = true;
		}
		clock_sleep_ms(pause_ms < left_ms ? pause_ms : left_ms);
		pause_ms = pause_ms * 3 / 2 < POLL_LAST_MS ? pause_ms * 3 / 2 : POLL_LAST_MS;
	}
}

/* Waits for the history of `timeline`, then reads it. */
static bool wal_wait_history(struct waiting *waiting, uint32_t timeline, struct timeline_history *history,
			     struct error *err)
{
	struct wal_name name = {.kind = WAL_HISTORY, .timeline = timeline};

	(void) snprintf(name.text, sizeof(name.text), "%08" PRIX32 ".history", timeline);
	if (timeline != 1)
		TRY(wal_wait_file(waiting, &name, 0, err));
	while (!wal_store_history(waiting->wait->repo, &waiting->wait->repo->layout, timeline, history, err)) {
		TRY(waiting_endure(waiting, err));
		clock_sleep_ms(POLL_LAST_MS);
	}
	return true;
}

bool wal_wait_all(const struct wal_wait *wait, struct error *err)
{
	const struct backup *backup = wait->backup;
	struct waiting waiting = {.wait = wait, .deadline = deadline_in(wait->timeout_ms)};
	struct wal_path path = {.layout = wait->repo->layout};

	TRY(wal_wait_history(&waiting, backup->stop_timeline, &path.history, err));
	if (!timeline_history_contains(&path.history, backup->start_timeline, backup->start_lsn))
		return fail(err, ERROR_CORRUPT,
			    "the backup began on timeline %" PRIu32 ", which timeline %" PRIu32
			    " does not descend from",
			    backup->start_timeline, backup->stop_timeline);

	/* The stop position is the first byte that is not needed (XLByteToPrevSeg of do_pg_backup_stop(), xlog.c). */
	uint64_t last = wal_segment_of(backup->stop_lsn - 1, backup->segment_size);
	for (uint64_t number = wal_segment_of(backup->start_lsn, backup->segment_size); number <= last; number++) {
		struct wal_name name;

		wal_path_name(&path, number, backup->segment_size, &name);
		TRY(wal_wait_file(&waiting, &name, number == last && backup->from_standby ? number : 0, err));
	}
	return true;
}
