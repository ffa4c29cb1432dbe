/* The pure parts of --start: what a server's log says, whether that is what was planned, how long the next one takes.
 * They belong to a program and not to the library, so their files are included whole. */
#include "tap.h"

#include "../../restore/recovery/server_log.c"

#include "../../restore/recovery/verdict.c"

#define prediction_read prediction_read_unused
#include "../../restore/plan/prediction.c"
#undef prediction_read

const char *reached_state_name(enum reached_state state)
{
	static const char *const names[] = {"paused", "promoted", "shut down"};

	return names[state];
}

/* ------------------------------------------------------------------------------------------------------ the log */

static void line_say(struct server_log *log, const char *text)
{
	line_take(log, text);
}

static void test_log(void)
{
	struct server_log log = {.offset = 0};

	line_say(&log, "postgres: could not find it");
	line_say(&log, "Try it otherwise.");
	is_text(log.last, "postgres: could not find it",
		"what a server says before it writes messages: the first line");
	line_say(&log, "2026-01-01 UTC [1] postmaster LOG:  starting PostgreSQL");
	line_say(&log, "2026-01-01 UTC [3] client backend FATAL:  the database system is starting up");
	is_text(log.failure, "", "a client that comes too early is no failure of the server");
	line_say(&log, "2026-01-01 UTC [2] startup LOG:  restored log file \"00000001000000000000000A\" from archive");
	is_text(log.segment, "00000001000000000000000A", "the segment that was restored");
	line_say(&log, "2026-01-01 UTC [2] startup LOG:  restored log file \"00000002.history\" from archive");
	is_text(log.segment, "00000001000000000000000A", "… and not a history");
	line_say(&log, "pitr-fetch: error: could not read \"x\": it is damaged");
	line_say(&log, "pitr-fetch: hint: Take another.");
	line_say(&log, "2026-01-01 UTC [2] startup FATAL:  could not restore file \"00000001000000000000000B\"");
	line_say(&log, "2026-01-01 UTC [1] postmaster FATAL:  something later");
	is_text(log.failure, "could not restore file \"00000001000000000000000B\"", "the first failure counts");
	is_text(log.cause, "could not read \"x\": it is damaged", "… and what pitr-fetch said before");
	is_text(log.hint, "Take another.", "… and its hint");
}

static struct halt halt_of(const char *sentence)
{
	struct halt halt;

	halt_take(&halt, sentence);
	return halt;
}

static void test_halts(void)
{
	struct halt halt = halt_of("recovery stopping after WAL location (LSN) \"1/A0\"");

	ok(halt.kind == HALT_LSN && !halt.is_before && halt.lsn == 0x1000000A0, "behind an LSN");
	halt = halt_of("recovery stopping before WAL location (LSN) \"1/A0\"");
	ok(halt.kind == HALT_LSN && halt.is_before, "before an LSN");
	halt = halt_of("recovery stopping before commit of transaction 750, time 2026-01-01 00:00:00+00");
	ok(halt.kind == HALT_COMMIT && halt.is_before && halt.xid == 750, "before a commit");
	halt = halt_of("recovery stopping after abort of transaction 751, time 2026-01-01 00:00:00+00");
	ok(halt.kind == HALT_ABORT && !halt.is_before && halt.xid == 751, "behind a rollback");
	halt = halt_of("recovery stopping at restore point \"a before b\", time 2026-01-01 00:00:00+00");
	ok(halt.kind == HALT_NAME, "at a restore point, whatever its name");
	halt = halt_of("recovery stopping after reaching consistency");
	ok(halt.kind == HALT_CONSISTENT, "at the end of the backup");
	halt = halt_of("recovery stopping after WAL location (LSN) \"nonsense");
	ok(halt.kind == HALT_LSN && halt.lsn == 0, "an LSN that is none");
}

/* -------------------------------------------------------------------------------------------------- the verdict */

static struct backup backup = {.start_lsn = 0x2000028, .stop_lsn = 0x2000100};
static struct wal_path path;

/* Along timeline 1 to 0/4000000 and then 2, to behind the commit of transaction 700 at 0/5000000. */
static struct plan planned(void)
{
	struct plan plan = {.target = {.kind = TARGET_LSN, .action = ACTION_PAUSE}};

	path.history = (struct timeline_history){.count = 2, .path = {{1, 0x4000000}, {2, UINT64_MAX}}};
	plan.reach = (struct reach){.path = &path,
				    .backup = &backup,
				    .stop = STOP_LSN,
				    .lsn = 0x5000000,
				    .behind = 0x5000001,
				    .last_commit = {.lsn = 0x5000000, .xid = 700, .time_us = 1000000}};
	return plan;
}

static struct reached reached_as_planned(void)
{
	return (struct reached){.state = REACHED_PAUSED,
				.lsn = 0x5000028,
				.timeline = 2,
				.last_time_us = 1000000,
				.has_last_commit = true,
				.halt = {.kind = HALT_LSN, .lsn = 0x5000000}};
}

static int differences(const struct plan *plan, const struct reached *reached)
{
	struct verdict verdict;

	verdict_find(plan, reached, &verdict);
	return verdict.count;
}

static void test_verdicts(void)
{
	struct plan plan = planned();
	struct reached reached = reached_as_planned();

	is_number(differences(&plan, &reached), 0, "as planned");
	reached.state = REACHED_SHUT_DOWN;
	is_number(differences(&plan, &reached), 1, "another state");
	reached = reached_as_planned();
	reached.halt.lsn--;
	is_number(differences(&plan, &reached), 1, "another record");
	reached.halt = (struct halt){.kind = HALT_NONE};
	is_number(differences(&plan, &reached), 1, "no word about a target");
	reached = reached_as_planned();
	reached.lsn = 0x5000000;
	is_number(differences(&plan, &reached), 1, "replay ended before the record");
	reached = reached_as_planned();
	reached.timeline = 1;
	is_number(differences(&plan, &reached), 1, "another timeline");
	reached = reached_as_planned();
	reached.has_last_commit = false;
	is_number(differences(&plan, &reached), 1, "without the last commit");
	reached = reached_as_planned();
	reached.last_time_us++;
	is_number(differences(&plan, &reached), 1, "with a later one");
}

static void test_promotions(void)
{
	struct plan plan = planned();
	struct reached reached = reached_as_planned();

	plan.target.action = ACTION_PROMOTE;
	reached.state = REACHED_PROMOTED;
	reached.timeline = 3;
	reached.parent = 2;
	is_number(differences(&plan, &reached), 0, "promoted to a new timeline");
	reached.parent = 1;
	is_number(differences(&plan, &reached), 1, "… that comes from another one");
	reached.parent = 0;
	is_number(differences(&plan, &reached), 1, "… that says nothing of where it comes from");
	reached.parent = 2;
	reached.timeline = 2;
	is_number(differences(&plan, &reached), 1, "promoted, but to no new timeline");
}

static void test_exclusive(void)
{
	struct plan plan = planned();
	struct reached reached = reached_as_planned();

	plan.reach.exclusive = true;
	plan.reach.behind = 0x5000000;
	plan.reach.last_commit.lsn = 0x4500000;
	reached.halt.is_before = true;
	reached.lsn = 0x5000000;
	is_number(differences(&plan, &reached), 0, "before the record");
	reached.lsn++;
	is_number(differences(&plan, &reached), 1, "… and not behind it");

	plan.reach.stop = STOP_TIME;
	reached.lsn--;
	reached.halt = (struct halt){.kind = HALT_ABORT, .is_before = true};
	is_number(differences(&plan, &reached), 0, "before a rollback behind the time");
	reached.halt.is_before = false;
	is_number(differences(&plan, &reached), 1, "… and not behind it");
}

/* ----------------------------------------------------------------------------------------------- the prediction */

static void test_predictions(void)
{
	struct measurement measured[5] = {
		{.download_bytes = 100 * MiB, .download_ms = 1000, .replay_bytes = 10 * MiB, .replay_ms = 1000},
		{.download_bytes = 900 * MiB, .download_ms = 1000, .replay_bytes = 90 * MiB, .replay_ms = 1000},
		{.download_bytes = 200 * MiB, .download_ms = 1000, .replay_bytes = 40 * MiB, .replay_ms = 2000},
		{.download_bytes = 0, .download_ms = 0, .replay_bytes = 30 * MiB, .replay_ms = 1000},
		{.download_bytes = 300 * MiB, .download_ms = 1000, .replay_bytes = 0, .replay_ms = 1000},
	};
	struct prediction prediction;

	prediction_make(measured, 0, 1000 * MiB, 400 * MiB, &prediction);
	ok(prediction.download_count == 0 && prediction.replay_count == 0 && prediction.download_s == 10 &&
		   prediction.replay_s == 10,
	   "without a measurement: a guess");
	prediction_make(measured, 5, 1000 * MiB, 400 * MiB, &prediction);
	is_number(prediction.download_count, 4, "what was not measured does not count");
	is_number(prediction.download_s, 5, "the median of the downloads, rather the slower one");
	is_number(prediction.replay_s, 20, "… and of the replays");
	measured[0] = (struct measurement){.download_bytes = 1, .download_ms = INT64_MAX, .replay_bytes = UINT64_MAX};
	prediction_make(measured, 1, UINT64_MAX, UINT64_MAX, &prediction);
	ok(prediction.download_rate == 1 && prediction.replay_rate > 0 && prediction.download_s == INT32_MAX,
	   "no rate is zero, no number runs over");
}

int main(void)
{
	test_log();
	test_halts();
	test_verdicts();
	test_promotions();
	test_exclusive();
	test_predictions();
	return done_testing();
}
