#include "recovery/recovery_conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "config/program.h"
#include "pg/auto_conf.h"
#include "repo/branch_mark.h"

#define READ_AHEAD_MAX (1 * MiB)

/* PostgreSQL expands %f, %p and %r in restore_command and archive_command and turns %% into % (manual, sections 26.3.4
 * and 26.3.1). */
static bool append_percent_doubled(struct buf *command, const char *text, struct error *err)
{
	for (; *text != '\0'; text++) {
		if (*text == '%')
			TRY(buf_append_text(command, "%", err));
		TRY(buf_append(command, bytes_of(text, 1), err));
	}
	return true;
}

static bool command_make(const struct options *options, enum program program, const char *arguments,
			 struct buf *command, struct error *err)
{
	char path[PATH_MAX];
	const char *text;
	BUF(words, RECOVERY_COMMAND_MAX);

	TRY(program_path(PROGRAM_BIN, program == PITR_FETCH ? "pitr-fetch" : "pitr-archive", path, err));
	TRY(shell_quote(&words, path, err));
	TRY(options_format_settings(options, program, &words, err));
	TRY(buf_text(&words, &text, err));
	TRY(append_percent_doubled(command, text, err));
	return buf_append_text(command, arguments, err);
}

bool recovery_command_make(const struct options *options, struct buf *command, struct error *err)
{
	return command_make(options, PITR_FETCH, " %f %p", command, err);
}

bool recovery_archive_command_make(const struct options *options, struct buf *command, struct error *err)
{
	return command_make(options, PITR_ARCHIVE, " %p", command, err);
}

static bool number_append(struct buf *conf, const char *name, uint32_t value, struct error *err)
{
	char text[16];

	(void) snprintf(text, sizeof(text), "%" PRIu32, value);
	return auto_conf_append(conf, name, text, err);
}

/* Which recovery_target… the plan stops at; NULL: none. */
static const char *target_setting(const struct plan *plan)
{
	switch (plan->reach.stop) {
	case STOP_NEVER:
		return NULL;
	case STOP_IMMEDIATE:
		return "recovery_target";
	case STOP_TIME:
		return "recovery_target_time";
	case STOP_LSN:
		return "recovery_target_lsn";
	case STOP_XID:
		return "recovery_target_xid";
	case STOP_NAME:
		return "recovery_target_name";
	}
	return NULL;
}

/* A postgresql.conf may hold targets of another recovery, and two are fatal. Their assign hooks (xlogrecovery.c) take
 * an empty value as long as no other target is set, so these come before the one that is meant: of a name's values only
 * the last counts, and they are assigned in the order of the files (ProcessConfigFileInternal of guc.c). */
static bool other_targets_empty(const struct plan *plan, struct buf *conf, struct error *err)
{
	static const char *const names[] = {"recovery_target", "recovery_target_time", "recovery_target_lsn",
					    "recovery_target_xid", "recovery_target_name"};
	const char *meant = target_setting(plan);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (meant == NULL || strcmp(meant, names[i]) != 0)
			TRY(auto_conf_append(conf, names[i], "", err));
	return true;
}

/* Exactly one target, always: without one PostgreSQL takes a segment that it cannot get for the end of the archive, and
 * opens with what it has. With one that was proved to be reachable, that is fatal (xlogrecovery.c, "recovery ended
 * before configured recovery target was reached"). */
static bool target_append(const struct plan *plan, struct buf *conf, struct error *err)
{
	char text[CLOCK_TEXT_SIZE + LSN_TEXT_SIZE];
	const char *name = target_setting(plan), *value = text;

	switch (plan->reach.stop) {
	case STOP_NEVER:
		return true;
	case STOP_IMMEDIATE:
		value = "immediate";
		break;
	case STOP_TIME:
		time_format_utc(plan->target.time_us, text);
		break;
	case STOP_LSN:
		lsn_format(plan->reach.lsn, text);
		break;
	case STOP_XID:
		return number_append(conf, name, plan->target.xid, err);
	case STOP_NAME:
		value = plan->target.name;
		break;
	}
	return auto_conf_append(conf, name, value, err);
}

/* What the server, whose postgresql.conf is not looked at, may have been told for a recovery or as a standby: commands
 * that would act on what belongs to others, a delay, and a server to stream from. A standby is a standby of somebody:
 * whom, is left to its postgresql.conf. */
static bool neutral_append(const struct plan *plan, struct buf *conf, struct error *err)
{
	TRY(buf_append_text(conf,
			    "# Not for a copy, whatever postgresql.conf says. Remove a line to have it obeyed again.\n",
			    err));
	TRY(auto_conf_append(conf, "recovery_end_command", "", err));
	TRY(auto_conf_append(conf, "archive_cleanup_command", "", err));
	TRY(auto_conf_append(conf, "recovery_min_apply_delay", "0", err));
	if (plan->reach.backup->server_version < 160000) /* which no longer knows it */
		TRY(auto_conf_append(conf, "promote_trigger_file", "", err));
	if (plan->target.kind != TARGET_STANDBY) {
		TRY(auto_conf_append(conf, "primary_conninfo", "", err));
		TRY(auto_conf_append(conf, "primary_slot_name", "", err));
	}
	return other_targets_empty(plan, conf, err);
}

static bool timeline_append(const struct plan *plan, struct buf *conf, struct error *err)
{
	/* A standby that is told so follows a failover to timelines that are not there yet. */
	if (plan->reach.stop == STOP_NEVER && plan->target.timeline == TIMELINE_LATEST)
		return auto_conf_append(conf, "recovery_target_timeline", "latest", err);
	return number_append(conf, "recovery_target_timeline", wal_path_timeline(plan->reach.path), err);
}

/* Whose history the server writes; how it archives is changed for a copy only. */
static bool branch_append(const struct plan *plan, const struct recovery_settings *settings, struct buf *conf,
			  struct error *err)
{
	if (settings->branch == NULL)
		return true;
	TRY(buf_append_text(conf, "# Where this server archives to: a branch of its own.\n", err));
	TRY(auto_conf_append(conf, BRANCH_SETTING, settings->branch, err));
	TRY(auto_conf_append(conf, REPOSITORY_SETTING, settings->repository, err));
	if (settings->archive_command == NULL)
		return true;
	TRY(auto_conf_append(conf, "archive_command", settings->archive_command, err));
	return plan->reach.backup->server_version < 150000 ? true : auto_conf_append(conf, "archive_library", "", err);
}

/* Since 15 recovery reads ahead of what it replays (wal_decode_buffer_size, 512 kB; manual, section 30.5), past the
 * target into the next segment, and ends with FATAL when that one is missing or damaged, though nobody needs it. Behind
 * the end of the archive there is none. */
static bool prefetch_append(const struct plan *plan, struct buf *conf, struct error *err)
{
	const struct reach *reach = &plan->reach;
	uint64_t behind_last = (reach->last + 1) * reach->range.segment_size;

	if (reach->backup->server_version < 150000 || reach->at_end || behind_last - reach->behind > READ_AHEAD_MAX)
		return true;
	return auto_conf_append(conf, "recovery_prefetch", "off", err);
}

bool recovery_conf_make(const struct plan *plan, const struct recovery_settings *settings, struct buf *conf,
			struct error *err)
{
	char target[TARGET_TEXT_SIZE];

	target_format(&plan->target, target);
	for (char *c = target; *c != '\0'; c++) /* a restore point's name may hold anything */
		if (iscntrl((unsigned char) *c))
			*c = '?';
	TRY(buf_format(conf, err, "# Written by pitr-restore. Backup %s; target: %s.\n", plan->reach.backup->label,
		       target));
	TRY(neutral_append(plan, conf, err));
	TRY(buf_append_text(conf, "# This recovery.\n", err));
	TRY(auto_conf_append(conf, "restore_command", settings->restore_command, err));
	TRY(timeline_append(plan, conf, err));
	if (plan->reach.stop != STOP_NEVER) {
		TRY(target_append(plan, conf, err));
		TRY(auto_conf_append(conf, "recovery_target_inclusive", plan->reach.exclusive ? "off" : "on", err));
		TRY(auto_conf_append(conf, "recovery_target_action", target_action_name(plan->target.action), err));
		/* Without it, pause would act as shutdown (manual, section 20.5.5). */
		if (plan->target.action == ACTION_PAUSE)
			TRY(auto_conf_append(conf, "hot_standby", "on", err));
		TRY(prefetch_append(plan, conf, err));
	}
	return branch_append(plan, settings, conf, err);
}

/* Settings of an earlier recovery, of a standby, and of another branch. Those written above go anyway. */
static const char *const stale_settings[] = {"restore_command",
					     "archive_cleanup_command",
					     "recovery_end_command",
					     "primary_conninfo",
					     "primary_slot_name",
					     "promote_trigger_file",
					     "trigger_file",
					     "standby_mode",
					     BRANCH_SETTING,
					     REPOSITORY_SETTING,
					     "recovery_min_apply_delay"};

struct name {
	const char *text;
	size_t size;
};

static bool name_is(const void *context, const char *name, size_t size)
{
	const struct name *wanted = context;

	return wanted->size == size && strncasecmp(name, wanted->text, size) == 0;
}

/* `context` is the settings that will stand behind those that are left. */
static bool setting_is_stale(const void *context, const char *name, size_t size)
{
	const struct bytes *conf = context;
	struct name wanted = {.text = name, .size = size};

	if (size == 0)
		return false;
	if (size >= 15 && strncasecmp(name, "recovery_target", 15) == 0)
		return true;
	for (size_t i = 0; i < sizeof(stale_settings) / sizeof(stale_settings[0]); i++)
		if (strlen(stale_settings[i]) == size && strncasecmp(name, stale_settings[i], size) == 0)
			return true;
	return auto_conf_has(*conf, name_is, &wanted);
}

bool recovery_conf_clean(struct bytes old, struct bytes conf, struct buf *cleaned, struct error *err)
{
	return auto_conf_without(old, setting_is_stale, &conf, cleaned, err);
}

static bool signal_remove(const char *pgdata, const char *name, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, pgdata, name, err));
	return fs_remove(path, err) || err->kind == ERROR_NOT_FOUND;
}

bool recovery_conf_write(const char *pgdata, mode_t mode, struct bytes conf, bool is_standby, struct error *err)
{
	char path[PATH_MAX];

	TRY(auto_conf_replace(pgdata, mode, setting_is_stale, &conf, conf, err));
	TRY(signal_remove(pgdata, is_standby ? "recovery.signal" : "standby.signal", err));
	TRY(path_join(path, pgdata, is_standby ? "standby.signal" : "recovery.signal", err));
	return fs_replace_file(path, mode, bytes_of(NULL, 0), err);
}
