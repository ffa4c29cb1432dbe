#include "plan/target.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/wal_name.h"

static const char *const action_names[] = {
	[ACTION_PAUSE] = "pause", [ACTION_PROMOTE] = "promote", [ACTION_SHUTDOWN] = "shutdown"};

const char *target_action_name(enum target_action action)
{
	return action_names[action];
}

/* Decimal digits only, 1 to 2^32 - 1: what both xids and timelines are. */
static bool number_parse(const char *text, uint32_t *number)
{
	char *end;

	if (!isdigit((unsigned char) *text))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || value == 0 || value > UINT32_MAX)
		return false;
	*number = (uint32_t) value;
	return true;
}

static bool time_take(const char *text, int64_t now_us, struct target *target, struct error *err)
{
	char understood[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];

	target->kind = TARGET_TIME;
	if (!time_parse(text, now_us, &target->time_us, err))
		return fail_in(err, "--target-time");
	if (target->time_us <= now_us)
		return true;
	time_format_local(target->time_us, understood);
	time_format_local(now_us, now);
	(void) fail(err, ERROR_USAGE, "the target time %s is in the future: it is %s now", understood, now);
	return fail_hint(err, "Leave --target-time out to restore everything that is in the archive.");
}

static bool lsn_take(const char *text, struct target *target, struct error *err)
{
	target->kind = TARGET_LSN;
	if (lsn_parse(text, &target->lsn) && target->lsn != 0)
		return true;
	(void) fail(err, ERROR_USAGE, "--target-lsn: \"%s\" is not an LSN", text);
	return fail_hint(err, "An LSN looks like 16/B374D848, as pg_current_wal_lsn() prints it.");
}

static bool xid_take(const char *text, struct target *target, struct error *err)
{
	target->kind = TARGET_XID;
	if (number_parse(text, &target->xid) && target->xid >= 3)
		return true;
	(void) fail(err, ERROR_USAGE, "--target-xid: \"%s\" is not a transaction id", text);
	return fail_hint(err, "It is a number from 3 to 4294967295: that of pg_current_xact_id() without the epoch "
			      "(modulo 4294967296).");
}

static bool name_take(const char *text, struct target *target, struct error *err)
{
	target->kind = TARGET_NAME;
	if (*text == '\0' || strlen(text) >= sizeof(target->name))
		return fail(err, ERROR_USAGE, "--target-name: a restore point's name has 1 to %zu bytes",
			    sizeof(target->name) - 1);
	memcpy(target->name, text, strlen(text) + 1);
	return true;
}

/* Exactly one of them, or none. */
static bool kind_parse(const struct options *options, int64_t now_us, struct target *target, struct error *err)
{
	int given = (options->target_time != NULL) + (options->target_lsn != NULL) + (options->target_xid != NULL) +
		    (options->target_name != NULL) + options->target_immediate;

	if (given + options->standby > 1)
		return fail(err, ERROR_USAGE,
			    options->standby ? "a standby follows the archive without end and takes no target"
					     : "more than one target is given") ||
		       fail_hint(err, "Give one of --target-time, --target-lsn, --target-xid, --target-name, "
				      "--target-immediate, or none for the latest.");
	target->kind = options->standby ? TARGET_STANDBY : TARGET_LATEST;
	if (options->target_immediate)
		target->kind = TARGET_IMMEDIATE;
	if (options->target_time != NULL)
		return time_take(options->target_time, now_us, target, err);
	if (options->target_lsn != NULL)
		return lsn_take(options->target_lsn, target, err);
	if (options->target_xid != NULL)
		return xid_take(options->target_xid, target, err);
	if (options->target_name != NULL)
		return name_take(options->target_name, target, err);
	return true;
}

/* "BRANCH" or "BRANCH/NUMBER" */
static bool branch_parse(const char *text, struct target *target)
{
	const char *slash = strchr(text, '/');
	size_t length = slash != NULL ? (size_t) (slash - text) : strlen(text);

	if (length >= sizeof(target->timeline_branch))
		return false;
	memcpy(target->timeline_branch, text, length);
	target->timeline_branch[length] = '\0';
	return layout_branch_is_valid(target->timeline_branch) &&
	       (slash == NULL || number_parse(slash + 1, &target->timeline_number));
}

static bool timeline_parse(const char *text, struct target *target, struct error *err)
{
	if (text == NULL)
		target->timeline = TIMELINE_CONTAINING;
	else if (strcmp(text, "current") == 0)
		target->timeline = TIMELINE_CURRENT;
	else if (strcmp(text, "latest") == 0)
		target->timeline = TIMELINE_LATEST;
	else if (number_parse(text, &target->timeline_number) || branch_parse(text, target))
		target->timeline = TIMELINE_CHOSEN;
	else
		return fail(err, ERROR_USAGE,
			    "--target-timeline: \"%s\" is neither a number nor current nor latest nor a branch", text);
	return true;
}

static bool action_parse(const char *text, struct target *target, struct error *err)
{
	target->action = target->kind == TARGET_LATEST ? ACTION_PROMOTE : ACTION_PAUSE;
	if (text == NULL)
		return true;
	if (target->kind == TARGET_STANDBY)
		return fail(err, ERROR_USAGE, "--target-action means nothing with --standby");
	for (enum target_action action = ACTION_PAUSE; action <= ACTION_SHUTDOWN; action++) {
		target->action = action;
		if (strcmp(text, action_names[action]) == 0)
			return true;
	}
	return fail(err, ERROR_USAGE, "--target-action: \"%s\" is none of pause, promote, shutdown", text);
}

bool target_parse(const struct options *options, int64_t now_us, struct target *target, struct error *err)
{
	*target = (struct target){.exclusive = options->target_exclusive};
	TRY(kind_parse(options, now_us, target, err));
	TRY(timeline_parse(options->target_timeline, target, err));
	TRY(action_parse(options->target_action, target, err));
	/* recovery_target_inclusive has an effect on these three only (manual, section 20.5.5). */
	if (target->exclusive && target->kind != TARGET_TIME && target->kind != TARGET_LSN &&
	    target->kind != TARGET_XID)
		return fail(err, ERROR_USAGE,
			    "--target-exclusive goes with --target-time, --target-lsn and --target-xid only");
	return true;
}

void target_format(const struct target *target, char text[TARGET_TEXT_SIZE])
{
	const char *edge = target->exclusive ? ", excluded" : "";
	char local[CLOCK_TEXT_SIZE], utc[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

	switch (target->kind) {
	case TARGET_LATEST:
		(void) snprintf(text, TARGET_TEXT_SIZE, "the latest that is in the archive");
		break;
	case TARGET_TIME:
		time_format_local(target->time_us, local);
		time_format_utc(target->time_us, utc);
		(void) snprintf(text, TARGET_TEXT_SIZE, "time %s (%s)%s", local, utc, edge);
		break;
	case TARGET_LSN:
		lsn_format(target->lsn, lsn);
		(void) snprintf(text, TARGET_TEXT_SIZE, "LSN %s%s", lsn, edge);
		break;
	case TARGET_XID:
		(void) snprintf(text, TARGET_TEXT_SIZE, "transaction %" PRIu32 "%s", target->xid, edge);
		break;
	case TARGET_NAME:
		(void) snprintf(text, TARGET_TEXT_SIZE, "restore point \"%s\"", target->name);
		break;
	case TARGET_IMMEDIATE:
		(void) snprintf(text, TARGET_TEXT_SIZE, "the end of the base backup");
		break;
	case TARGET_STANDBY:
		(void) snprintf(text, TARGET_TEXT_SIZE, "a standby");
		break;
	}
}

void target_stay(struct target *target, const struct layout *layout)
{
	if (target->timeline != TIMELINE_CONTAINING || layout->branch_count == 1)
		return;
	target->timeline = TIMELINE_CHOSEN;
	(void) snprintf(target->timeline_branch, sizeof(target->timeline_branch), "%s", layout_branch(layout));
}
