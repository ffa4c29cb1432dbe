#include "recovery_conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define AUTO_CONF	   "postgresql.auto.conf"
#define FETCH_PROGRAM	   "pitr-fetch"
#define AUTO_CONF_SIZE_MAX (16 * MiB)

/* The program beside the running one. */
static bool fetch_path(char path[PATH_MAX], struct error *err)
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(FETCH_PROGRAM) - 1);

	if (length < 0)
		return fail_errno(err, "could not tell where this program is");
	path[length] = '\0';
	char *slash = strrchr(path, '/');
	memcpy(slash + 1, FETCH_PROGRAM, sizeof(FETCH_PROGRAM));
	if (access(path, X_OK) == 0)
		return true;
	(void) fail_errno(err, "could not find \"%s\", which the server is to fetch WAL with", path);
	return fail_hint(err, "Install pitr-fetch beside pitr-restore.");
}

/* PostgreSQL expands %f, %p and %r in restore_command and turns %% into % (manual, section 26.3.4). */
static bool append_percent_doubled(struct buf *command, const char *text, struct error *err)
{
	for (; *text != '\0'; text++) {
		if (*text == '%')
			TRY(buf_append_text(command, "%", err));
		TRY(buf_append(command, bytes_of(text, 1), err));
	}
	return true;
}

bool recovery_command_make(const struct options *options, struct buf *command, struct error *err)
{
	char path[PATH_MAX];
	const char *text;
	BUF(words, RECOVERY_COMMAND_MAX);

	TRY(fetch_path(path, err));
	TRY(shell_quote(&words, path, err));
	TRY(options_format_settings(options, PITR_FETCH, &words, err));
	TRY(buf_text(&words, &text, err));
	TRY(append_percent_doubled(command, text, err));
	return buf_append_text(command, " %f %p", err);
}

/* "name = 'value'\n": in a configuration file quotes are doubled, and so are backslashes (guc-file.l). */
static bool setting_append(struct buf *conf, const char *name, const char *value, struct error *err)
{
	TRY(buf_format(conf, err, "%s = '", name));
	for (; *value != '\0'; value++) {
		if (*value == '\n' || *value == '\r')
			return fail(err, ERROR_USAGE, "a line break cannot stand in the value of %s", name);
		if (*value == '\'' || *value == '\\')
			TRY(buf_append(conf, bytes_of(value, 1), err));
		TRY(buf_append(conf, bytes_of(value, 1), err));
	}
	return buf_append_text(conf, "'\n", err);
}

static bool number_append(struct buf *conf, const char *name, uint32_t value, struct error *err)
{
	char text[16];

	(void) snprintf(text, sizeof(text), "%" PRIu32, value);
	return setting_append(conf, name, text, err);
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
			TRY(setting_append(conf, names[i], "", err));
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
	return setting_append(conf, name, value, err);
}

/* What the server, whose postgresql.conf is not looked at, may have been told for a recovery or as a standby: commands
 * that would act on what belongs to others, a delay, and a server to stream from. A standby is a standby of somebody:
 * whom, is left to its postgresql.conf. */
static bool neutral_append(const struct plan *plan, struct buf *conf, struct error *err)
{
	TRY(buf_append_text(conf,
			    "# Not for a copy, whatever postgresql.conf says. Remove a line to have it obeyed again.\n",
			    err));
	TRY(setting_append(conf, "recovery_end_command", "", err));
	TRY(setting_append(conf, "archive_cleanup_command", "", err));
	TRY(setting_append(conf, "recovery_min_apply_delay", "0", err));
	if (plan->reach.backup->server_version < 160000) /* which no longer knows it */
		TRY(setting_append(conf, "promote_trigger_file", "", err));
	if (plan->target.kind != TARGET_STANDBY) {
		TRY(setting_append(conf, "primary_conninfo", "", err));
		TRY(setting_append(conf, "primary_slot_name", "", err));
	}
	return other_targets_empty(plan, conf, err);
}

static bool timeline_append(const struct plan *plan, struct buf *conf, struct error *err)
{
	/* A standby that is told so follows a failover to timelines that are not there yet. */
	if (plan->reach.stop == STOP_NEVER && plan->target.timeline == TIMELINE_LATEST)
		return setting_append(conf, "recovery_target_timeline", "latest", err);
	return number_append(conf, "recovery_target_timeline", path_timeline(plan->reach.path), err);
}

bool recovery_conf_make(const struct plan *plan, const char *command, struct buf *conf, struct error *err)
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
	TRY(setting_append(conf, "restore_command", command, err));
	TRY(timeline_append(plan, conf, err));
	if (plan->reach.stop != STOP_NEVER) {
		TRY(target_append(plan, conf, err));
		TRY(setting_append(conf, "recovery_target_inclusive", plan->reach.exclusive ? "off" : "on", err));
		TRY(setting_append(conf, "recovery_target_action", target_action_name(plan->target.action), err));
		/* Without it, pause would act as shutdown (manual, section 20.5.5). */
		if (plan->target.action == ACTION_PAUSE)
			TRY(setting_append(conf, "hot_standby", "on", err));
	}
	TRY(buf_append_text(conf, "# This server is a copy: it must not write into the archive it came from.\n", err));
	return setting_append(conf, "archive_mode", "off", err);
}

/* Settings of an earlier recovery, of a standby, and those written above. archive_command stays: it does nothing while
 * archive_mode is off, and is needed when that is turned on again. */
static const char *const stale_settings[] = {"restore_command",
					     "archive_cleanup_command",
					     "recovery_end_command",
					     "primary_conninfo",
					     "primary_slot_name",
					     "promote_trigger_file",
					     "trigger_file",
					     "standby_mode",
					     "recovery_min_apply_delay",
					     "archive_mode"};

static bool setting_is_stale(const char *name, size_t size)
{
	if (size >= 15 && strncasecmp(name, "recovery_target", 15) == 0)
		return true;
	for (size_t i = 0; i < sizeof(stale_settings) / sizeof(stale_settings[0]); i++)
		if (strlen(stale_settings[i]) == size && strncasecmp(name, stale_settings[i], size) == 0)
			return true;
	return false;
}

static bool line_is_stale(struct bytes line)
{
	const char *text = (const char *) line.data;
	size_t begin = 0, size = 0;

	while (begin < line.size && isspace((unsigned char) text[begin]))
		begin++;
	while (begin + size < line.size &&
	       (isalnum((unsigned char) text[begin + size]) || text[begin + size] == '_' || text[begin + size] == '.'))
		size++;
	return setting_is_stale(text + begin, size);
}

bool recovery_conf_clean(struct bytes old, struct buf *cleaned, struct error *err)
{
	while (old.size > 0) {
		const uint8_t *newline = memchr(old.data, '\n', old.size);
		size_t size = newline != NULL ? (size_t) (newline - old.data) + 1 : old.size;
		struct bytes line = bytes_slice(old, 0, size);

		if (!line_is_stale(line)) {
			TRY(buf_append(cleaned, line, err));
			if (newline == NULL)
				TRY(buf_append_text(cleaned, "\n", err));
		}
		old = bytes_slice(old, size, old.size - size);
	}
	return true;
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
	BUF(old, AUTO_CONF_SIZE_MAX);
	BUF(made, AUTO_CONF_SIZE_MAX + RECOVERY_CONF_SIZE_MAX);

	TRY(path_join(path, pgdata, AUTO_CONF, err));
	if (!fs_read_file(path, &old, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	TRY(recovery_conf_clean(buf_bytes(&old), &made, err));
	TRY(buf_append(&made, conf, err));
	TRY(fs_replace_file(path, mode, buf_bytes(&made), err));

	TRY(signal_remove(pgdata, is_standby ? "recovery.signal" : "standby.signal", err));
	TRY(path_join(path, pgdata, is_standby ? "standby.signal" : "recovery.signal", err));
	return fs_replace_file(path, mode, bytes_of(NULL, 0), err);
}
