#include "recovery/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void differs(struct verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void differs(struct verdict *verdict, const char *format, ...)
{
	va_list arguments;

	if (verdict->count == VERDICT_DIFFERENCES_MAX)
		return;
	va_start(arguments, format);
	(void) vsnprintf(verdict->differences[verdict->count++], VERDICT_TEXT_SIZE, format, arguments);
	va_end(arguments);
}

static void state_compare(const struct plan *plan, const struct reached *reached, struct verdict *verdict)
{
	static const enum reached_state expected[] = {[ACTION_PAUSE] = REACHED_PAUSED,
						      [ACTION_PROMOTE] = REACHED_PROMOTED,
						      [ACTION_SHUTDOWN] = REACHED_SHUT_DOWN};

	if (reached->state != expected[plan->target.action])
		differs(verdict, "the server has been %s, not %s", reached_state_name(reached->state),
			reached_state_name(expected[plan->target.action]));
}

/* At which record replay stops at the earliest: an LSN need not be where one begins, and where no commit is near it the
 * plan has not looked for the next. */
static uint64_t stop_record(const struct reach *reach)
{
	return reach->behind - (reach->exclusive ? 0 : 1);
}

static bool record_is_planned(const struct reach *reach, uint64_t lsn)
{
	uint64_t last = reach->next.lsn - (reach->exclusive ? 0 : 1);

	return lsn >= stop_record(reach) && (reach->next.lsn == 0 || reach->is_coarse || lsn <= last);
}

/* Does the server name the same record, or transaction, or point? */
static bool halt_is_planned(const struct plan *plan, const struct halt *halt)
{
	const struct reach *reach = &plan->reach;

	switch (reach->stop) {
	case STOP_NEVER:
		return halt->kind == HALT_NONE;
	case STOP_IMMEDIATE:
		return halt->kind == HALT_CONSISTENT;
	case STOP_TIME: /* at the first commit or rollback behind it */
		return (halt->kind == HALT_COMMIT || halt->kind == HALT_ABORT) && halt->is_before;
	case STOP_LSN:
		return halt->kind == HALT_LSN && record_is_planned(reach, halt->lsn) &&
		       halt->is_before == reach->exclusive;
	case STOP_XID:
		return (halt->kind == HALT_COMMIT || halt->kind == HALT_ABORT) && halt->xid == plan->target.xid &&
		       halt->is_before == reach->exclusive;
	case STOP_NAME:
		return halt->kind == HALT_NAME && strstr(halt->sentence, plan->target.name) != NULL;
	}
	return false;
}

static void halt_plan_text(const struct reach *reach, char text[96])
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(reach->stop == STOP_LSN ? stop_record(reach) : reach->lsn, lsn);
	(void) snprintf(text, 96, "%s the record at LSN %s",
			reach->exclusive || reach->stop == STOP_TIME ? "before" : "behind", lsn);
}

static void halt_compare(const struct plan *plan, const struct reached *reached, struct verdict *verdict)
{
	char planned[96];

	if (halt_is_planned(plan, &reached->halt))
		return;
	halt_plan_text(&plan->reach, planned);
	if (reached->halt.kind == HALT_NONE)
		differs(verdict, "the server does not say that it stopped at a target; planned was %s%s%.300s", planned,
			reached->warning[0] != '\0' ? "; it warns: " : "", reached->warning);
	else
		differs(verdict, "the server says \"%.400s\"; planned was %s", reached->halt.sentence, planned);
}

/* What was replayed ends before the record, or behind it. After a shutdown only "at least so far" is known. */
static void lsn_compare(const struct plan *plan, const struct reached *reached, struct verdict *verdict)
{
	const struct reach *reach = &plan->reach;
	bool is_before = reach->stop == STOP_TIME || (reach->exclusive && reach->stop != STOP_NEVER);
	uint64_t behind = reach->behind;
	char lsn[LSN_TEXT_SIZE], planned[96];

	if (reached->halt.kind == HALT_LSN) /* compared with the plan already */
		behind = reached->halt.lsn + (is_before ? 0 : 1);
	if (reach->stop == STOP_NEVER || (reached->state == REACHED_SHUT_DOWN && !is_before))
		return;
	if (is_before ? reached->lsn <= behind : reached->lsn >= behind)
		return;
	lsn_format(reached->lsn, lsn);
	halt_plan_text(reach, planned);
	differs(verdict, "replay ended at LSN %s; planned was %s", lsn, planned);
}

/* Where a commit is where replay was to stop, nothing may follow it. (Elsewhere a rollback may, of which the plan does
 * not know the time; that the right record ended replay has been compared.) */
static void commit_compare(const struct plan *plan, const struct reached *reached, struct verdict *verdict)
{
	const struct reach *reach = &plan->reach;
	bool is_end = reach->stop == STOP_LSN && !reach->exclusive && reach->lsn == reach->last_commit.lsn;
	char time[CLOCK_TEXT_SIZE], planned[CLOCK_TEXT_SIZE];

	if (reach->last_commit.lsn == 0 || reached->state == REACHED_SHUT_DOWN)
		return;
	time_format_local(reach->last_commit.time_us, planned);
	time_format_local(reached->last_time_us, time);
	if (!reached->has_last_commit)
		differs(verdict, "the server does not have the last commit of the plan, transaction %" PRIu32 " of %s",
			reach->last_commit.xid, planned);
	else if (is_end && reached->last_time_us != reach->last_commit.time_us)
		differs(verdict, "the last commit that was replayed is of %s; planned was one at %s", time, planned);
}

static void timeline_compare(const struct plan *plan, const struct reached *reached, struct verdict *verdict)
{
	uint32_t planned = timeline_history_at(&plan->reach.path->history, reached->lsn > 0 ? reached->lsn - 1 : 0);
	uint32_t end = wal_path_timeline(plan->reach.path);

	if (reached->state == REACHED_PROMOTED) {
		/* The history of a new timeline is that of recovery_target_timeline, cut off (writeTimeLineHistory()).
		 */
		if (reached->timeline <= end || (reached->parent != end && reached->parent != planned))
			differs(verdict,
				"the server is on timeline %" PRIu32 ", which comes from timeline %" PRIu32
				"; planned was a new one that comes from timeline %" PRIu32,
				reached->timeline, reached->parent, end);
	} else if (reached->timeline != planned) {
		differs(verdict, "the server is on timeline %" PRIu32 "; planned was timeline %" PRIu32,
			reached->timeline, planned);
	}
}

void verdict_find(const struct plan *plan, const struct reached *reached, struct verdict *verdict)
{
	*verdict = (struct verdict){.count = 0};
	state_compare(plan, reached, verdict);
	halt_compare(plan, reached, verdict);
	lsn_compare(plan, reached, verdict);
	commit_compare(plan, reached, verdict);
	timeline_compare(plan, reached, verdict);
}
