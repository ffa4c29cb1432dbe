#include "report.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/fs.h"

static const char *const kind_names[] = {
	[TARGET_LATEST] = "latest",   [TARGET_TIME] = "time", [TARGET_LSN] = "lsn",
	[TARGET_XID] = "xid",	      [TARGET_NAME] = "name", [TARGET_IMMEDIATE] = "immediate",
	[TARGET_STANDBY] = "standby",
};

void report_size(uint64_t size_bytes, char text[REPORT_SIZE_SIZE])
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
	size_t unit = 0;

	/* Like pg_size_pretty(): a unit is used from ten times its size on. */
	while (size_bytes >= 10 * KiB && unit + 1 < sizeof(units) / sizeof(units[0])) {
		size_bytes = (size_bytes + 512) / 1024;
		unit++;
	}
	(void) snprintf(text, REPORT_SIZE_SIZE, "%" PRIu64 " %s", size_bytes, units[unit]);
}

/* "1 to 0/5000000, then 2" */
static void path_print(const struct plan *plan, FILE *stream)
{
	const struct timeline_history *path = plan->reach.path;
	char lsn[LSN_TEXT_SIZE];

	(void) fprintf(stream, "timeline:     ");
	for (int i = 0; i < path->count - 1; i++) {
		if (path->path[i].end <= plan->reach.backup->start_lsn)
			continue;
		lsn_format(path->path[i].end, lsn);
		(void) fprintf(stream, "%" PRIu32 " to %s, then ", path->path[i].timeline, lsn);
	}
	(void) fprintf(stream, "%" PRIu32 "\n", path_timeline(path));
}

static void wal_names(const struct plan *plan, struct wal_name *first, struct wal_name *last)
{
	struct wal_range range = {.history = plan->reach.path, .segment_size = plan->reach.backup->segment_size};

	wal_range_name(&range, plan->reach.first, first);
	wal_range_name(&range, plan->reach.last, last);
}

static void commit_print(const struct reach *reach, FILE *stream)
{
	char local[CLOCK_TEXT_SIZE], utc[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

	if (reach->last_commit.lsn == 0) {
		(void) fprintf(stream, "last commit:  none between the beginning of the backup and the target\n");
		return;
	}
	time_format_local(reach->last_commit.time_us, local);
	time_format_utc(reach->last_commit.time_us, utc);
	lsn_format(reach->last_commit.lsn, lsn);
	(void) fprintf(stream, "last commit:  %s (%s), transaction %" PRIu32 " at LSN %s\n", local, utc,
		       reach->last_commit.xid, lsn);
}

static void end_print(const struct plan *plan, FILE *stream)
{
	const struct reach *reach = &plan->reach;
	char lsn[LSN_TEXT_SIZE];

	if (!reach->at_end)
		return;
	lsn_format(reach->end, lsn);
	if (plan->target.kind == TARGET_LATEST)
		(void) fprintf(stream, "end:          the archive ends at LSN %s\n", lsn);
	else
		(void) fprintf(
			stream,
			"end:          nothing behind the target is in the archive, which ends at LSN %s: all of it "
			"is restored;\n"
			"              what the server had not yet archived is not in it\n",
			lsn);
}

void report_plan(const struct plan *plan, FILE *stream)
{
	const struct backup *backup = plan->reach.backup;
	char target[TARGET_TEXT_SIZE], finished[CLOCK_TEXT_SIZE], size[2][REPORT_SIZE_SIZE], lsn[LSN_TEXT_SIZE];
	struct wal_name first, last;

	target_format(&plan->target, target);
	(void) fprintf(stream, "target:       %s\n", target);
	time_format_local(backup->finished_us, finished);
	lsn_format(backup->stop_lsn, lsn);
	(void) fprintf(stream, "backup:       %s, ended %s at LSN %s\n", backup->label, finished, lsn);
	path_print(plan, stream);
	wal_names(plan, &first, &last);
	(void) fprintf(stream, "WAL:          %s to %s, %" PRIu64 " segment%s\n", first.text, last.text,
		       plan_segments(plan), plan_segments(plan) == 1 ? "" : "s");
	report_size(backup->stored_bytes, size[0]);
	report_size(plan->wal_stored_size, size[1]);
	(void) fprintf(stream, "to fetch:     %s of base backup, %s of WAL\n", size[0], size[1]);
	commit_print(&plan->reach, stream);
	end_print(plan, stream);
	if (plan->target.kind != TARGET_STANDBY)
		(void) fprintf(stream, "then:         %s\n", target_action_name(plan->target.action));
	(void) fflush(stream);
}

static bool put_time(json_t *json, const char *key, int64_t time_us, struct error *err)
{
	char text[CLOCK_TEXT_SIZE];

	time_format_utc(time_us, text);
	return json_put(json, key, json_string(text), err);
}

static bool encode_target(const struct target *target, json_t *json, struct error *err)
{
	json_t *member = json_object();

	TRY(json_put(json, "target", member, err));
	TRY(json_put(member, "kind", json_string(kind_names[target->kind]), err));
	if (target->kind == TARGET_TIME)
		TRY(put_time(member, "time", target->time_us, err));
	if (target->kind == TARGET_LSN)
		TRY(lsn_put(member, "lsn", target->lsn, err));
	if (target->kind == TARGET_XID)
		TRY(json_put(member, "xid", json_integer(target->xid), err));
	if (target->kind == TARGET_NAME)
		TRY(json_put(member, "name", json_string(target->name), err));
	TRY(json_put(member, "exclusive", json_boolean(target->exclusive), err));
	return target->kind == TARGET_STANDBY
		       ? true
		       : json_put(member, "action", json_string(target_action_name(target->action)), err);
}

static bool encode_path(const struct plan *plan, json_t *json, struct error *err)
{
	const struct timeline_history *path = plan->reach.path;
	json_t *array = json_array();

	TRY(json_put(json, "timeline", json_integer(path_timeline(path)), err));
	TRY(json_put(json, "timeline_path", array, err));
	for (int i = 0; i < path->count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "timeline", json_integer(path->path[i].timeline), err));
		if (i < path->count - 1)
			TRY(lsn_put(member, "end_lsn", path->path[i].end, err));
	}
	return true;
}

static bool encode_commit(const struct wal_commit *commit, json_t *json, struct error *err)
{
	json_t *member = commit->lsn == 0 ? json_null() : json_object();

	TRY(json_put(json, "last_commit", member, err));
	if (commit->lsn == 0)
		return true;
	TRY(put_time(member, "time", commit->time_us, err));
	TRY(lsn_put(member, "lsn", commit->lsn, err));
	TRY(json_put(member, "xid", json_integer(commit->xid), err));
	return json_put(member, "timeline", json_integer(commit->timeline), err);
}

bool report_encode(const struct plan *plan, json_t *json, struct error *err)
{
	const struct reach *reach = &plan->reach;
	struct wal_name first, last;

	wal_names(plan, &first, &last);
	TRY(encode_target(&plan->target, json, err));
	TRY(json_put(json, "label", json_string(reach->backup->label), err));
	TRY(put_time(json, "backup_finished", reach->backup->finished_us, err));
	TRY(encode_path(plan, json, err));
	TRY(json_put(json, "wal_first", json_string(first.text), err));
	TRY(json_put(json, "wal_last", json_string(last.text), err));
	TRY(json_put(json, "wal_segments", json_integer((json_int_t) plan_segments(plan)), err));
	TRY(json_put(json, "backup_bytes", json_integer((json_int_t) reach->backup->stored_bytes), err));
	TRY(json_put(json, "wal_bytes", json_integer((json_int_t) plan->wal_stored_size), err));
	TRY(json_put(json, "fetch_bytes",
		     json_integer((json_int_t) (reach->backup->stored_bytes + plan->wal_stored_size)), err));
	TRY(json_put(json, "database_bytes", json_integer((json_int_t) reach->backup->database_bytes), err));
	if (reach->stop != STOP_NEVER)
		TRY(lsn_put(json, "stop_lsn", reach->lsn, err));
	TRY(lsn_put(json, "end_lsn", reach->end, err));
	TRY(json_put(json, "at_end_of_archive", json_boolean(reach->at_end), err));
	return encode_commit(&reach->last_commit, json, err);
}

/* Debian keeps the servers' programs out of the PATH. */
static void pg_ctl_find(int64_t server_version, char path[PATH_MAX])
{
	struct error ignored = {0};
	bool exists = false;

	(void) snprintf(path, PATH_MAX, "/usr/lib/postgresql/%d/bin/pg_ctl", (int) (server_version / 10000));
	if (!fs_exists(path, &exists, &ignored) || !exists)
		(void) snprintf(path, PATH_MAX, "pg_ctl");
}

static bool next_start(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err)
{
	char path[PATH_MAX], program[PATH_MAX];
	const char *quoted;
	bool exists;
	BUF(word, 64 * KiB);

	TRY(shell_quote(&word, pgdata, err));
	TRY(buf_text(&word, &quoted, err));
	TRY(path_join(path, pgdata, "postgresql.conf", err));
	TRY(fs_exists(path, &exists, err));
	pg_ctl_find(plan->reach.backup->server_version, program);
	(void) fprintf(stream, "Start the server, as the owner of the directory:\n    %s -D %s start%s\n", program,
		       quoted, exists ? "" : " -o \"-c config_file=FILE -c data_directory=DIR\"");
	if (!exists)
		(void) fprintf(
			stream,
			"(There is no postgresql.conf in it: the server's was elsewhere. Give its FILE, and %s as "
			"DIR.)\n",
			quoted);
	return true;
}

bool report_next(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err)
{
	static const char *const outcomes[] = {
		[ACTION_PAUSE] =
			"It replays to the target and pauses there, for you to look. If it is the right point:\n"
			"    SELECT pg_wal_replay_resume();\n"
			"makes it an ordinary server. If it is not, restore again to another one.\n",
		[ACTION_SHUTDOWN] = "It replays to the target and shuts down.\n",
		[ACTION_PROMOTE] = "It replays to the target and becomes an ordinary server.\n",
	};
	static const char archiving[] = "Archiving is off in the restored server (archive_mode = off in "
					"postgresql.auto.conf), so that it cannot\n"
					"write into the archive it came from. When it is to be the production server, "
					"remove that line, restart,\n"
					"and take a new base backup.\n";

	TRY(next_start(plan, pgdata, stream, err));
	if (plan->target.kind == TARGET_STANDBY)
		(void) fprintf(stream,
			       "It follows the archive on timeline %" PRIu32
			       " (restored with --target-timeline=latest, it would also\nfollow a failover). Set "
			       "primary_conninfo to stream from a server too.\n",
			       path_timeline(plan->reach.path));
	else
		(void) fputs(outcomes[plan->target.action], stream);
	(void) fputs(archiving, stream);
	(void) fflush(stream);
	return true;
}
