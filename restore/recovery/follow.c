#include "recovery/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "base/progress.h"
#include "pg/control_file.h"
#include "recovery/standing.h"

#define POLL_MS		  100
#define SILENCE_MS	  (10 * 60 * 1000)
#define HISTORY_SIZE_MAX  (1 * MiB)
#define PROGRESS_TEXT_MAX 256

struct follower {
	const struct following *asked;
	struct server_log log;
	struct progress progress;
	struct postmaster postmaster;
	struct server *server; /* owned; NULL: not connected */
	struct standing standing;
	uint64_t replayed; /* as far as can be known */
	int64_t started_ms, moved_ms;
};

const char *reached_state_name(enum reached_state state)
{
	static const char *const names[] = {
		[REACHED_PAUSED] = "paused", [REACHED_PROMOTED] = "promoted", [REACHED_SHUT_DOWN] = "shut down"};

	return names[state];
}

/* Where replay is to end. */
static uint64_t goal_lsn(const struct plan *plan)
{
	return plan->reach.stop == STOP_NEVER ? plan->reach.end : plan->reach.lsn;
}

/* ------------------------------------------------------------------------------------------------- progress */

/* "14:12:07", with the day when it is another than that of `beside`. */
static void time_text(int64_t time_us, int64_t beside_us, char text[CLOCK_TEXT_SIZE])
{
	char beside[CLOCK_TEXT_SIZE];

	time_format_local(time_us - time_us % 1000000, text); /* "2024-01-15 14:12:07+01" */
	time_format_local(beside_us, beside);
	text[19] = '\0';
	if (strncmp(text, beside, 10) == 0)
		memmove(text, text + 11, strlen(text + 11) + 1);
}

/* "replayed to 14:12:07 of 14:30:00"; before the server can be asked, and without commits, to an LSN. */
static int where_text(const struct follower *follower, char *text, size_t size)
{
	const struct plan *plan = follower->asked->plan;
	int64_t now_us = follower->standing.last_time_us;
	int64_t goal_us = plan->target.kind == TARGET_TIME ? plan->target.time_us : plan->reach.last_commit.time_us;
	char now[CLOCK_TEXT_SIZE], goal[CLOCK_TEXT_SIZE];

	if (now_us != 0 && goal_us >= now_us) {
		time_text(now_us, goal_us, now);
		time_text(goal_us, now_us, goal);
	} else {
		lsn_format(follower->replayed, now);
		lsn_format(goal_lsn(plan), goal);
	}
	return snprintf(text, size, "replayed to %s of %s", now, goal);
}

static void progress_tell(struct follower *follower)
{
	uint64_t from = follower->asked->from, goal = goal_lsn(follower->asked->plan);
	uint64_t elapsed_ms = (uint64_t) (clock_monotonic_ms() - follower->started_ms) + 1;
	char text[PROGRESS_TEXT_MAX], left[CLOCK_TEXT_SIZE];

	if (!progress_is_due(&follower->progress))
		return;
	if (follower->replayed <= from || goal <= from) {
		progress_say(&follower->progress, "waiting for the server to begin replay");
		return;
	}
	uint64_t whole = goal - from, done = follower->replayed - from;
	done = done < whole ? done : whole;
	uint64_t rate = done * 1000 / elapsed_ms;
	int length = where_text(follower, text, sizeof(text));
	duration_format(rate > 0 ? (int64_t) ((whole - done) / rate) : 0, left);
	(void) snprintf(text + length, sizeof(text) - (size_t) length, ", %" PRIu64 " %%, %" PRIu64 " MB/s, %s left",
			(uint64_t) ((double) done * 100 / (double) whole), rate / MiB, left);
	progress_say(&follower->progress, text);
}

/* -------------------------------------------------------------------------------------------------- looking */

static void replayed_take(struct follower *follower, uint64_t lsn)
{
	if (lsn <= follower->replayed)
		return;
	follower->replayed = lsn;
	follower->moved_ms = clock_monotonic_ms();
}

/* Before the server can be asked, its log tells which segment it is at. */
static bool log_look(struct follower *follower, struct error *err)
{
	struct wal_name name;
	struct error ignored;
	bool has_grown;

	TRY(server_log_read(&follower->log, &has_grown, err));
	if (has_grown)
		follower->moved_ms = clock_monotonic_ms();
	if (follower->log.segment[0] != '\0' && wal_name_parse(follower->log.segment, &name, &ignored))
		replayed_take(follower, wal_segment_start(&name, follower->asked->plan->reach.backup->segment_size));
	return true;
}

static bool fail_refused(const struct follower *follower, struct error *err)
{
	(void) fail_in(err, "the server runs, but cannot be asked what it has reached");
	return fail_hint(err,
			 "Its process %d goes on; its log is \"%s\". PGUSER, and ~/.pgpass, say as whom it is to be "
			 "asked.",
			 (int) follower->asked->pid, follower->log.path);
}

/* A server that is about to be promoted, or to shut down, may close the connection or refuse one: that is looked at
 * again. Only a refusal of the user is final. */
static bool server_look(struct follower *follower, bool *is_known, struct error *err)
{
	int64_t version = follower->asked->plan->reach.backup->server_version;

	*is_known = false;
	TRY(postmaster_read(follower->asked->launch->pgdata, &follower->postmaster, err));
	if (follower->postmaster.pid != follower->asked->pid || follower->postmaster.host[0] == '\0' ||
	    follower->postmaster.state == POSTMASTER_STARTING)
		return true;
	if (follower->server == NULL && !standing_connect(&follower->postmaster, &follower->server, err))
		return err->kind == ERROR_DENIED || err->kind == ERROR_USAGE ? fail_refused(follower, err) : true;
	*is_known = standing_read(follower->server, version, &follower->standing, err);
	if (!*is_known) {
		server_cleanup(&follower->server);
		return true;
	}
	replayed_take(follower, follower->standing.lsn);
	return true;
}

/* ---------------------------------------------------------------------------------------------- what it came to */

static bool fail_ended(const struct follower *follower, int status, struct error *err)
{
	const struct server_log *log = &follower->log;
	bool has_cause = log->cause[0] != '\0';

	if (log->failure[0] != '\0')
		(void) fail(err, ERROR_SYSTEM, "the server could not recover: %.450s%s%.450s%s", log->failure,
			    has_cause ? " (" : "", log->cause, has_cause ? ")" : "");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		(void) fail(err, ERROR_SYSTEM, "the server was shut down before it reached the target");
	else
		(void) fail(err, ERROR_SYSTEM, "the server ended with %s %d: %.500s",
			    WIFEXITED(status) ? "exit status" : "signal",
			    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
			    log->last[0] != '\0' ? log->last : "it wrote nothing");
	if (log->hint[0] != '\0')
		return fail_hint(err, "%.300s The server's log is \"%.150s\".", log->hint, log->path);
	return fail_hint(err, "The server's log is \"%.400s\".", log->path);
}

static bool ended_take(struct follower *follower, int status, struct reached *reached, struct error *err)
{
	struct control_file control;

	TRY(log_look(follower, err));
	if (follower->asked->plan->target.action != ACTION_SHUTDOWN || follower->log.halt.kind == HALT_NONE ||
	    !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail_ended(follower, status, err);
	TRY(control_file_read(follower->asked->launch->pgdata, &control, err));
	if (control.state != CONTROL_SHUTDOWNED_IN_RECOVERY)
		return fail(err, ERROR_CORRUPT,
			    "the server has ended, but its pg_control does not say that it was "
			    "shut down in recovery");
	reached->state = REACHED_SHUT_DOWN;
	reached->lsn = control.recovery_point;
	reached->timeline = control.recovery_timeline;
	reached->server.pid = 0;
	return true;
}

/* The timeline that a promoted server came from, as it wrote it down itself. */
static uint32_t parent_of(const char *pgdata, uint32_t timeline)
{
	struct timeline_history *history = calloc(1, sizeof(*history));
	char name[64], path[PATH_MAX];
	struct error ignored;
	uint32_t parent = 0;
	BUF(text, HISTORY_SIZE_MAX);

	(void) snprintf(name, sizeof(name), "pg_wal/%08" PRIX32 ".history", timeline);
	if (history != NULL && path_join(path, pgdata, name, &ignored) && fs_read_file(path, &text, &ignored) &&
	    timeline_history_parse(timeline, buf_bytes(&text), history, &ignored) && history->count > 1)
		parent = history->path[history->count - 2].timeline;
	free(history);
	return parent;
}

static bool last_commit_take(struct follower *follower, struct reached *reached, struct error *err)
{
	const struct wal_commit *planned = &follower->asked->plan->reach.last_commit;

	reached->last_time_us = follower->standing.last_time_us;
	if (planned->lsn == 0)
		return true;
	/* Of a prepared transaction whose record lies across two segments the number may be unknown. */
	if (planned->xid == 0)
		reached->has_last_commit = reached->last_time_us >= planned->time_us;
	else
		TRY(standing_has_committed(follower->server, planned->xid, &reached->has_last_commit, err));
	if (reached->has_last_commit && reached->last_time_us < planned->time_us)
		reached->last_time_us = planned->time_us;
	return true;
}

static bool standing_take(struct follower *follower, struct reached *reached, struct error *err)
{
	const struct launch *launch = follower->asked->launch;
	struct control_file control;

	reached->state = follower->standing.in_recovery ? REACHED_PAUSED : REACHED_PROMOTED;
	reached->lsn = follower->standing.lsn;
	TRY(last_commit_take(follower, reached, err));
	reached->server = follower->postmaster;
	if (!standing_timeline(&follower->postmaster, &reached->timeline)) {
		TRY(control_file_read(launch->pgdata, &control, err));
		reached->timeline = reached->state == REACHED_PAUSED ? control.recovery_timeline : control.timeline;
	}
	if (reached->state == REACHED_PROMOTED)
		reached->parent = parent_of(launch->pgdata, reached->timeline);
	return log_look(follower, err);
}

static int64_t silence_max_ms(const struct follower *follower)
{
	return SILENCE_MS + follower->asked->retry_for_ms;
}

static bool fail_silent(const struct follower *follower, struct error *err)
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(follower->replayed, lsn);
	(void) fail(err, ERROR_UNREACHABLE,
		    "the server runs, but has made no progress for %d minutes; it has replayed to LSN %s",
		    (int) (silence_max_ms(follower) / 60000), lsn);
	return fail_hint(err, "Its process %d was left as it is; its log is \"%s\".", (int) follower->asked->pid,
			 follower->log.path);
}

/* Once: *is_over when the server has come to an end of recovery of whatever sort. */
static bool follow_look(struct follower *follower, struct reached *reached, bool *is_over, struct error *err)
{
	bool is_known;
	int status;

	*is_over = true;
	if (process_has_ended(follower->asked->pid, &status))
		return ended_take(follower, status, reached, err);
	TRY(log_look(follower, err));
	TRY(server_look(follower, &is_known, err));
	if (is_known && (!follower->standing.in_recovery || follower->standing.is_paused))
		return standing_take(follower, reached, err);
	*is_over = false;
	progress_tell(follower);
	if (clock_monotonic_ms() - follower->moved_ms > silence_max_ms(follower))
		return fail_silent(follower, err);
	return true;
}

static bool follow_loop(struct follower *follower, struct reached *reached, struct error *err)
{
	for (bool is_over = false;; clock_sleep_ms(POLL_MS)) {
		TRY(follow_look(follower, reached, &is_over, err));
		if (is_over)
			break;
	}
	reached->halt = follower->log.halt;
	memcpy(reached->warning, follower->log.warning, sizeof(reached->warning));
	reached->replay_ms = clock_monotonic_ms() - follower->started_ms;
	return true;
}

bool follow_run(const struct following *asked, struct reached *reached, struct error *err)
{
	struct follower *follower = calloc(1, sizeof(*follower));

	*reached = (struct reached){.lsn = 0};
	if (follower == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	follower->asked = asked;
	follower->log = *asked->log;
	follower->started_ms = follower->moved_ms = clock_monotonic_ms();
	progress_init(&follower->progress, "replay", 0, asked->wants_progress);
	bool done = follow_loop(follower, reached, err);
	progress_finish(&follower->progress);
	server_cleanup(&follower->server);
	free(follower);
	return done;
}
