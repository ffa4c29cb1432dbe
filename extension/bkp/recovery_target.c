/* bkp_recovery_target(): what a restore to a time would bring back, and the line to type for it. */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "mirror_cache.h"
#include "pg/wal_name.h"
#include "reach.h"
#include "rows.h"
#include "waiting.h"

PG_FUNCTION_INFO_V1(bkp_recovery_target);

#define DEFAULT_BRANCH "main" /* LAYOUT_BRANCH_DEFAULT */

static void append_time(StringInfo text, TimestampTz time)
{
	appendStringInfoString(text, timestamptz_to_str(time));
}

/* What --target-timeline takes. */
static void append_timeline(StringInfo text, const struct mirror_window *window)
{
	if (strcmp(window->branch, DEFAULT_BRANCH) != 0)
		appendStringInfo(text, "%s/", window->branch);
	appendStringInfo(text, "%d", window->timeline);
}

/* ------------------------------------------------------------------------------------------------------- reasons */

/* A window that a gap ends has its last commit, but no time is known to lie between the two. */
static void append_latest(StringInfo text, const struct mirror_window *window)
{
	const struct mirror_mark *last = NULL;

	append_time(text, window->latest);
	for (int i = 0; i < window->mark_count; i++)
		if (window->marks[i].last_commit.lsn != 0)
			last = &window->marks[i];
	if (reach_ends_in_gap(window) && last != NULL)
		appendStringInfo(text, " (the last commit before the end of its WAL, with --target-lsn=%X/%X)",
				 LSN_FORMAT_ARGS(last->last_commit.lsn));
}

/* Behind all that is archived: what is still to come, as far as it is known here. */
static void append_outlook(StringInfo text, const struct mirror *mirror, TimestampTz target)
{
	struct waiting waiting = waiting_count();

	if (mirror->is_partial)
		appendStringInfoString(text, "; the local mirror of the catalog is not complete: run \"pitr-catalog "
					     "mirror\"");
	if (mirror->written < target) {
		appendStringInfoString(text, "; the local mirror of the catalog is of ");
		append_time(text, mirror->written);
	}
	if (waiting.count > 0)
		appendStringInfo(text, "; " INT64_FORMAT " WAL file%s wait%s to be archived", waiting.count,
				 waiting.count == 1 ? "" : "s", waiting.count == 1 ? "s" : "");
	else if (!RecoveryInProgress())
		appendStringInfoString(text, "; pg_switch_wal() has the WAL archived that is being written");
}

/* Whether anything was committed since cannot be told from the archive. */
static void reason_behind_end(StringInfo text, const struct mirror *mirror, const struct reach *reach,
			      TimestampTz target)
{
	appendStringInfoString(text, " is behind the last commit in the archive, of ");
	append_time(text, reach->window->latest);
	appendStringInfoString(text, ": what may have been committed since is not in it, and pitr-restore would bring "
				     "back the state of then");
	append_outlook(text, mirror, target);
}

static void reason_beyond(StringInfo text, const struct mirror *mirror, const struct reach_answer *answer,
			  TimestampTz target)
{
	if (answer->before == NULL && answer->behind == NULL) {
		appendStringInfoString(text, "nothing can be restored: there is no base backup with all its WAL; run "
					     "pitr-basebackup");
		return;
	}
	append_time(text, target);
	if (target > GetCurrentTimestamp()) {
		appendStringInfoString(text, " is in the future");
	} else if (answer->before == NULL) {
		appendStringInfoString(text, " is before the end of the first base backup: the earliest time that can "
					     "be reached is ");
		append_time(text, answer->behind->earliest);
	} else if (answer->reach.window != NULL) {
		reason_behind_end(text, mirror, &answer->reach, target);
	} else if (answer->behind == NULL) {
		appendStringInfoString(text, " is behind the last commit in the archive: the latest time that can be "
					     "reached is ");
		append_latest(text, answer->before);
		append_outlook(text, mirror, target);
	} else {
		appendStringInfoString(text, " is in a gap of the archive: the nearest times that can be reached are ");
		append_latest(text, answer->before);
		appendStringInfoString(text, " before it, and behind it ");
		append_time(text, answer->behind->earliest);
	}
}

static void append_reach(StringInfo text, const struct reach *reach)
{
	appendStringInfoString(text, "timeline ");
	append_timeline(text, reach->window);
	if (reach->last_commit == NULL)
		return;
	appendStringInfoString(text, " (last commit ");
	append_time(text, reach->last_commit->time);
	appendStringInfo(text, " at LSN %X/%X)", LSN_FORMAT_ARGS(reach->last_commit->lsn));
}

static void append_choice(StringInfo text, const struct reach_answer *answer)
{
	appendStringInfoString(text, "--target-timeline=");
	append_timeline(text, answer->reach.window);
	appendStringInfoString(text, " or --target-timeline=");
	append_timeline(text, answer->other.window);
}

static void reason_ambiguous(StringInfo text, const struct reach_answer *answer)
{
	appendStringInfoString(text, "the target is on two timelines: ");
	append_reach(text, &answer->reach);
	appendStringInfoString(text, " and ");
	append_reach(text, &answer->other);
	appendStringInfoString(text, "; choose with ");
	append_choice(text, answer);
}

static void append_segments(StringInfo text, const struct reach *reach)
{
	const struct mirror_window *window = reach->window;
	uint64 count = reach->inside->last - reach->inside->first + 1;
	struct wal_name name;

	wal_name_of_segment((uint32) window->timeline, reach->inside->first, window->segment_size, &name);
	/* Of segments on the way from another timeline the mirror does not say which of the two their names have. */
	if (count == 1 && reach->backup->start_timeline == window->timeline)
		appendStringInfo(text, "segment \"%s\"", name.text);
	else if (count == 1)
		appendStringInfo(text, "the segment that begins at LSN %X/%X",
				 LSN_FORMAT_ARGS(wal_segment_start(&name, window->segment_size)));
	else
		appendStringInfo(text, "the " UINT64_FORMAT " segments that begin at LSN %X/%X", count,
				 LSN_FORMAT_ARGS(wal_segment_start(&name, window->segment_size)));
}

/* What should be known of a time that can be reached; nothing where everything is exact. */
static void reason_found(StringInfo text, const struct reach_answer *answer)
{
	const struct reach *reach = &answer->reach;

	if (reach->inside != NULL) {
		appendStringInfoString(text, "there may be later commits before the target in ");
		append_segments(text, reach);
		appendStringInfoString(text, ": \"pitr-restore --dry-run\" reads that WAL and tells the last one "
					     "exactly");
	}
	if (answer->other.window != NULL) {
		appendStringInfo(text, "%stwo timelines part near the target: pitr-restore may ask for ",
				 text->len > 0 ? "; " : "");
		append_choice(text, answer);
	}
	if (reach->passed_over != NULL)
		appendStringInfo(text, "%sthe newer backup \"%s\" is damaged", text->len > 0 ? "; " : "",
				 reach->passed_over->label);
	if (reach_is_damaged(reach->backup))
		appendStringInfo(text, "%sthe backup \"%s\" is damaged, and no other one leads there",
				 text->len > 0 ? "; " : "", reach->backup->label);
}

static void reason_make(StringInfo text, const struct mirror *mirror, const struct reach_answer *answer,
			TimestampTz target)
{
	switch (answer->verdict) {
	case REACH_FOUND:
		reason_found(text, answer);
		break;
	case REACH_AMBIGUOUS:
		reason_ambiguous(text, answer);
		break;
	case REACH_BEYOND:
		reason_beyond(text, mirror, answer, target);
		break;
	}
}

/* ------------------------------------------------------------------------------------------------------- the line */

static void append_quoted(StringInfo text, const char *value)
{
	appendStringInfoChar(text, '\'');
	for (const char *at = value; *at != '\0'; at++)
		if (*at == '\'')
			appendStringInfoString(text, "'\\''");
		else
			appendStringInfoChar(text, *at);
	appendStringInfoChar(text, '\'');
}

/* In UTC, so that the line means the same in every shell. */
static void append_utc(StringInfo text, TimestampTz time)
{
	struct pg_tm fields;
	fsec_t fraction;
	char utc[MAXDATELEN + 1];

	if (timestamp2tm(time, NULL, &fields, &fraction, NULL, NULL) != 0)
		ereport(ERROR, errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range"));
	fields.tm_isdst = 0; /* below 0 no zone is printed */
	EncodeDateTime(&fields, fraction, true, 0, NULL, USE_ISO_DATES, utc);
	append_quoted(text, utc);
}

/* Into a directory beside the server's own: nothing is lost by typing it, and the server may go on. Without -D the live
 * directory would be meant, and refused. */
static void command_make(StringInfo text, const struct mirror *mirror, const struct reach *reach, TimestampTz target)
{
	char directory[MAXPGPATH + 16];

	appendStringInfoString(text, "pitr-restore --target-time=");
	append_utc(text, target);
	if (reach->passed_over != NULL)
		appendStringInfo(text, " --backup=%s", reach->backup->label);
	appendStringInfoString(text, mirror->settings);
	appendStringInfoString(text, " -D ");
	(void) snprintf(directory, sizeof(directory), "%s.restored", DataDir);
	append_quoted(text, directory);
}

/* --------------------------------------------------------------------------------------------------------- the row */

static void row_found(struct row *row, const struct mirror *mirror, const struct reach *reach, TimestampTz target)
{
	const struct mirror_commit *commit = reach->last_commit;
	StringInfoData command;

	initStringInfo(&command);
	command_make(&command, mirror, reach, target);
	row_text(row, reach->backup->label);
	row_int(row, reach->window->timeline);
	row_time(row, commit != NULL ? commit->time : 0);
	row_xid(row, commit != NULL ? commit->xid : InvalidTransactionId);
	row_lsn(row, commit != NULL ? commit->lsn : InvalidXLogRecPtr);
	row_bigint(row, (int64) (reach->last - reach->first + 1));
	row_bigint(row, reach->backup->stored_bytes + reach->wal_bytes);
	row_text(row, command.data);
}

#define COLUMNS_OF_FOUND 8

Datum bkp_recovery_target(PG_FUNCTION_ARGS)
{
	TimestampTz target = PG_GETARG_TIMESTAMPTZ(0);
	const struct mirror *mirror = mirror_read();
	struct reach_answer answer;
	struct row row = {.count = 0};
	StringInfoData reason;
	bool is_found;

	initStringInfo(&reason);
	reach_find(mirror, target, &answer);
	is_found = answer.verdict == REACH_FOUND;
	reason_make(&reason, mirror, &answer, target);
	row_bool(&row, is_found && !reach_is_damaged(answer.reach.backup));
	row_text(&row, reason.len > 0 ? reason.data : NULL);
	if (is_found ||
	    (answer.verdict == REACH_BEYOND && answer.reach.window != NULL && target <= GetCurrentTimestamp()))
		row_found(&row, mirror, &answer.reach, target);
	else
		for (int i = 0; i < COLUMNS_OF_FOUND; i++)
			row_null(&row);
	rows_begin(fcinfo);
	row_put(fcinfo, &row);
	return (Datum) 0;
}
