#include "wal_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "repo/wal_range.h"
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

/* Waits for one file. A thing to wait for is mentioned once. */
static bool wal_wait_file(const struct wal_wait *wait, const struct wal_name *name, int64_t deadline, bool *is_said,
			  struct error *err)
{
	int64_t pause_ms = POLL_FIRST_MS;
	int64_t said_ms = deadline_in(SAY_AFTER_MS);
	bool have;

	for (;;) {
		TRY(wal_store_have(wait->repo, name, &have, err));
		if (have)
			return true;
		int64_t left_ms = deadline_left_ms(deadline);
		if (left_ms <= 0)
			return fail_missing(wait, name, err);
		if (!*is_said && deadline_left_ms(said_ms) <= 0) {
			log_info("waiting for the WAL file \"%s\" to come into the repository", name->text);
			*is_said = true;
		}
		clock_sleep_ms(pause_ms < left_ms ? pause_ms : left_ms);
		pause_ms = pause_ms * 3 / 2 < POLL_LAST_MS ? pause_ms * 3 / 2 : POLL_LAST_MS;
	}
}

static bool wal_wait_history(const struct wal_wait *wait, uint32_t timeline, int64_t deadline, bool *is_said,
			     struct error *err)
{
	struct wal_name name = {.kind = WAL_HISTORY, .timeline = timeline};

	if (timeline == 1)
		return true;
	(void) snprintf(name.text, sizeof(name.text), "%08" PRIX32 ".history", timeline);
	return wal_wait_file(wait, &name, deadline, is_said, err);
}

bool wal_wait_all(const struct wal_wait *wait, struct error *err)
{
	const struct backup *backup = wait->backup;
	int64_t deadline = deadline_in(wait->timeout_ms);
	struct timeline_history history;
	struct wal_range path = {.history = &history, .segment_size = backup->segment_size};
	bool is_said = false;

	TRY(wal_wait_history(wait, backup->stop_timeline, deadline, &is_said, err));
	TRY(wal_store_history(wait->repo, backup->stop_timeline, &history, err));
	if (!timeline_history_contains(&history, backup->start_timeline, backup->start_lsn))
		return fail(err, ERROR_CORRUPT,
			    "the backup began on timeline %" PRIu32 ", which timeline %" PRIu32
			    " does not descend from",
			    backup->start_timeline, backup->stop_timeline);

	/* The stop position is the first byte that is not needed (XLByteToPrevSeg of do_pg_backup_stop(), xlog.c). */
	uint64_t last = wal_segment_of(backup->stop_lsn - 1, backup->segment_size);
	for (uint64_t number = wal_segment_of(backup->start_lsn, backup->segment_size); number <= last; number++) {
		struct wal_name name;

		wal_range_name(&path, number, &name);
		TRY(wal_wait_file(wait, &name, deadline, &is_said, err));
	}
	return true;
}
