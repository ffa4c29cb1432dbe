/* bkp_restore_progress(): how far a server in recovery has come on its way to its target. No row on a server that is
 * not in recovery. */
#include "postgres.h"

#include <stdio.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/json.h"
#include "document.h"
#include "mirror.h"
#include "raise.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(bkp_restore_progress);

#define RESTORE_FILE	  "pitr.restore"     /* restore/recovery/state.h */
#define LABEL_FILE	  "backup_label.old" /* as the server renames it when it has read it */
#define FILE_SIZE_MAX	  (64 * KiB)
#define TARGET_TEXT_SIZE  256
#define BACKUP_LABEL_SIZE 128

/* What is known of the way. */
struct progress {
	char label[BACKUP_LABEL_SIZE]; /* "": not restored by pitr-restore, or promoted since */
	char target[TARGET_TEXT_SIZE]; /* "": none, as of a standby */
	TimestampTz target_time;       /* 0: not known */
	XLogRecPtr start, target_lsn;  /* 0: not known */
};

static bool state_decode(const json_t *json, struct progress *progress, struct error *err)
{
	TRY(json_copy_text(json, "label", progress->label, sizeof(progress->label), err));
	TRY(json_copy_text(json, "target", progress->target, sizeof(progress->target), err));
	return mirror_get_time(json, "time_us", &progress->target_time, err);
}

/* Nothing is raised in here: what Jansson has allocated is released. */
static bool state_parse(struct bytes text, struct progress *progress, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;

	TRY(json_decode(text, RESTORE_FILE, &json, err));
	return state_decode(json, progress, err) || fail_in(err, RESTORE_FILE);
}

/* What pitr-restore was asked for: PostgreSQL is told an LSN for a time. */
static bool state_read(struct progress *progress, struct error *err)
{
	struct bytes text;

	TRY(document_read_file(RESTORE_FILE, FILE_SIZE_MAX, &text, err));
	return state_parse(text, progress, err);
}

/* Where replay began: "START WAL LOCATION: 0/2000028 (file …)" (do_pg_backup_start() of xlog.c). */
static XLogRecPtr start_read(void)
{
	struct bytes text;
	struct error ignored = {0};
	char line[128] = "";
	uint32 high, low;

	if (!document_read_file(LABEL_FILE, FILE_SIZE_MAX, &text, &ignored))
		return InvalidXLogRecPtr;
	memcpy(line, text.data, Min(text.size, sizeof(line) - 1));
	if (sscanf(line, "START WAL LOCATION: %8X/%8X", &high, &low) != 2)
		return InvalidXLogRecPtr;
	return (XLogRecPtr) high << 32 | low;
}

/* The target in the server's own words, where no restore of ours says it. */
static void target_of_settings(struct progress *progress)
{
	static const char *const names[] = {
		[RECOVERY_TARGET_XID] = "recovery_target_xid",	 [RECOVERY_TARGET_TIME] = "recovery_target_time",
		[RECOVERY_TARGET_NAME] = "recovery_target_name", [RECOVERY_TARGET_LSN] = "recovery_target_lsn",
		[RECOVERY_TARGET_IMMEDIATE] = "recovery_target",
	};

	if (recoveryTarget == RECOVERY_TARGET_UNSET || (size_t) recoveryTarget >= lengthof(names))
		return;
	const char *name = names[recoveryTarget];
	const char *value = GetConfigOption(name, true, false);
	(void) snprintf(progress->target, sizeof(progress->target), "%s = %s", name, value != NULL ? value : "");
}

static void progress_read(struct progress *progress)
{
	struct progress told = {.target_time = 0};
	struct error err = {0};

	*progress = told;
	if (state_read(&told, &err))
		*progress = told;
	else if (err.kind != ERROR_NOT_FOUND)
		raise_warning(&err);
	if (progress->target[0] == '\0')
		target_of_settings(progress);
	if (recoveryTarget == RECOVERY_TARGET_LSN)
		progress->target_lsn = recoveryTargetLSN;
	progress->start = start_read();
}

static const char *state_name(void)
{
	switch (GetRecoveryPauseState()) {
	case RECOVERY_PAUSED:
		return "paused";
	case RECOVERY_PAUSE_REQUESTED:
		return "pause requested";
	case RECOVERY_NOT_PAUSED:
		break;
	}
	/* What the startup process has made of it is not shared. */
	return access(STANDBY_SIGNAL_FILE, F_OK) == 0 ? "standby" : "replaying";
}

static void row_percent(struct row *row, const struct progress *progress, XLogRecPtr replayed)
{
	XLogRecPtr start = progress->start, end = progress->target_lsn;

	if (start == InvalidXLogRecPtr || end <= start || replayed < start)
		row_null(row);
	else if (replayed >= end)
		row_float(row, 100.0);
	else
		row_float(row, 100.0 * (double) (replayed - start) / (double) (end - start));
}

static void row_progress(struct row *row, const struct progress *progress)
{
	TimeLineID timeline;
	XLogRecPtr replayed = GetXLogReplayRecPtr(&timeline);

	row_text(row, state_name());
	row_text(row, progress->target[0] != '\0' ? progress->target : NULL);
	row_time(row, progress->target_time);
	row_lsn(row, progress->target_lsn);
	row_text(row, progress->label[0] != '\0' ? progress->label : NULL);
	row_lsn(row, progress->start);
	row_lsn(row, replayed);
	/* Not of a commit at which replay has been told to stop: recoveryStopsAfter() of xlogrecovery.c returns first.
	 */
	row_time(row, GetLatestXTime());
	row_int(row, (int32) timeline);
	row_percent(row, progress, replayed);
}

Datum bkp_restore_progress(PG_FUNCTION_ARGS)
{
	struct progress progress;
	struct row row = {.count = 0};

	rows_begin(fcinfo);
	if (!RecoveryInProgress())
		return (Datum) 0;
	progress_read(&progress);
	row_progress(&row, &progress);
	row_put(fcinfo, &row);
	return (Datum) 0;
}
