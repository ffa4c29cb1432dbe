#include "report.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "config/answer.h"
#include "recovery/copy.h"
#include "recovery/installation.h"

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
	const struct wal_path *path = plan->reach.path;
	char lsn[LSN_TEXT_SIZE];

	(void) fprintf(stream, "timeline:     ");
	for (int i = 0; i < path->history.count - 1; i++) {
		if (path->history.path[i].end <= plan->reach.backup->start_lsn)
			continue;
		lsn_format(path->history.path[i].end, lsn);
		(void) fprintf(stream, "%" PRIu32 " to %s, then ", path->history.path[i].timeline, lsn);
	}
	(void) fprintf(stream, "%" PRIu32, wal_path_timeline(path));
	if (path->layout.branch_count > 1)
		(void) fprintf(stream, " of the branch \"%s\"", layout_branch(&path->layout));
	(void) fprintf(stream, "\n");
}

static void wal_names(const struct plan *plan, struct wal_name *first, struct wal_name *last)
{
	wal_range_name(&plan->reach.range, plan->reach.first, first);
	wal_range_name(&plan->reach.range, plan->reach.last, last);
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

static void next_print(const struct reach *reach, FILE *stream)
{
	char local[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

	if (reach->next.lsn == 0) {
		(void) fprintf(stream, "next:         none: no commit behind it is in the archive\n");
		return;
	}
	time_format_local(reach->next.time_us, local);
	lsn_format(reach->next.lsn, lsn);
	if (reach->is_coarse)
		(void) fprintf(
			stream,
			"next:         %s, in the segment of LSN %s\n"
			"              (the key does not let WAL be read, so this is exact to the segment only)\n",
			local, lsn);
	else
		(void) fprintf(stream,
			       "next:         %s of transaction %" PRIu32 ", %s at LSN %s, which is not restored\n",
			       reach->next.is_abort ? "rollback" : "commit", reach->next.xid, local, lsn);
}

static const char *backup_reason(const struct plan *plan)
{
	if (plan->is_backup_given)
		return plan->is_step ? "the one that was restored" : "chosen with --backup";
	switch (plan->target.kind) {
	case TARGET_LATEST:
	case TARGET_STANDBY:
	case TARGET_IMMEDIATE:
		return "the newest of its timeline";
	default:
		return "the newest that ends before the target";
	}
}

#define DAMAGE_TEXT_SIZE (CLOCK_TEXT_SIZE + 64)

static void damage_format(const struct backup *backup, char text[DAMAGE_TEXT_SIZE])
{
	char time[CLOCK_TEXT_SIZE] = "";

	if (backup->damaged_us != 0)
		time_format_local(backup->damaged_us, time);
	(void) snprintf(text, DAMAGE_TEXT_SIZE, "pitr-verify found it damaged%s%s", time[0] != '\0' ? " on " : "",
			time);
}

/* What a step goes on from has been laid down already. */
static bool has_damaged(const struct plan *plan)
{
	return plan->reach.backup->is_damaged && !plan->is_step;
}

static void damage_warn(const struct plan *plan)
{
	char damage[DAMAGE_TEXT_SIZE];

	if (!has_damaged(plan))
		return;
	damage_format(plan->reach.backup, damage);
	log_warning("the restore from \"%s\" may fail: %s%s", plan->reach.backup->label, damage,
		    plan->is_backup_given ? "" : "; no other one leads to the target");
}

static void reason_print(const struct plan *plan, FILE *stream)
{
	int newer = plan->reach.newer_backups;
	char damage[DAMAGE_TEXT_SIZE];

	(void) fprintf(stream, "              %s", backup_reason(plan));
	if (newer > 0)
		(void) fprintf(stream, "; %d newer one%s behind it", newer, newer == 1 ? " ends" : "s end");
	(void) fprintf(stream, "\n");
	if (plan->reach.passed_over != NULL) {
		damage_format(plan->reach.passed_over, damage);
		(void) fprintf(stream, "              the newer backup %s is passed over: %s\n",
			       plan->reach.passed_over->label, damage);
	}
	if (has_damaged(plan)) {
		damage_format(plan->reach.backup, damage);
		(void) fprintf(stream, "              %s\n", damage);
	}
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

/* Of the segments those that are no whole ones in the archive. */
static uint64_t segments_from(const struct plan *plan, enum wal_source source)
{
	return wal_range_count(&plan->reach.range, source, plan->reach.first, plan->reach.last);
}

static void sources_print(const struct plan *plan, FILE *stream)
{
	uint64_t surviving = segments_from(plan, WAL_FROM_DIRECTORY);

	if (surviving > 0)
		(void) fprintf(stream, "              %" PRIu64 " of them from \"%s\", not in the archive yet\n",
			       surviving, plan->surviving.directory.path);
	if (segments_from(plan, WAL_FROM_PARTIAL) > 0)
		(void) fprintf(stream, "              the last of them, which is not whole, from \"%s\"\n",
			       plan->reach.range.partial.text);
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
	reason_print(plan, stream);
	path_print(plan, stream);
	wal_names(plan, &first, &last);
	(void) fprintf(stream, "WAL:          %s to %s, %" PRIu64 " segment%s\n", first.text, last.text,
		       reach_segments(&plan->reach), reach_segments(&plan->reach) == 1 ? "" : "s");
	sources_print(plan, stream);
	report_size(backup->stored_bytes, size[0]);
	report_size(plan->wal_stored_size, size[1]);
	if (plan->is_step)
		(void) fprintf(stream, "to fetch:     %s of WAL at most\n", size[1]);
	else
		(void) fprintf(stream, "to fetch:     %s of base backup, %s of WAL\n", size[0], size[1]);
	commit_print(&plan->reach, stream);
	if (plan->target.kind != TARGET_STANDBY)
		next_print(&plan->reach, stream);
	end_print(plan, stream);
	if (plan->target.kind != TARGET_STANDBY)
		(void) fprintf(stream, "then:         %s\n", target_action_name(plan->target.action));
	if (plan->needs_secret_key)
		(void) fputs("key:          a host key, which only plans: restoring needs the secret key\n", stream);
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

/* What the plan reads of one timeline of its path. */
static bool encode_part(const struct reach *reach, uint32_t timeline, json_t *member, struct error *err)
{
	uint64_t segments = 0, stored_size = 0;
	struct wal_name last = {.text = ""};

	for (int i = 0; i < reach->range.run_count; i++) {
		const struct wal_run *run = &reach->range.runs[i];
		uint64_t from = run->first > reach->first ? run->first : reach->first;
		uint64_t to = run->last < reach->last ? run->last : reach->last;

		if (run->timeline != timeline || from > to)
			continue;
		segments += to - from + 1;
		stored_size += wal_range_stored_size(&reach->range, from, to);
		wal_range_name(&reach->range, to, &last);
	}
	if (segments > 0)
		TRY(json_put(member, "branch", json_string(layout_owner(&reach->path->layout, &last)->name), err));
	TRY(json_put(member, "wal_segments", json_integer((json_int_t) segments), err));
	return json_put(member, "wal_bytes", json_integer((json_int_t) stored_size), err);
}

static bool encode_path(const struct plan *plan, json_t *json, struct error *err)
{
	const struct wal_path *path = plan->reach.path;
	json_t *array = json_array();

	TRY(json_put(json, "branch", json_string(layout_branch(&path->layout)), err));
	if (copy_is_new(plan))
		TRY(json_put(json, "new_branch", json_string(copy_branch(plan)), err));
	TRY(json_put(json, "timeline", json_integer(wal_path_timeline(path)), err));
	TRY(json_put(json, "timeline_path", array, err));
	for (int i = 0; i < path->history.count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "timeline", json_integer(path->history.path[i].timeline), err));
		TRY(encode_part(&plan->reach, path->history.path[i].timeline, member, err));
		if (i < path->history.count - 1)
			TRY(lsn_put(member, "end_lsn", path->history.path[i].end, err));
	}
	return true;
}

static bool encode_commit(const struct wal_commit *commit, const char *key, json_t *json, struct error *err)
{
	json_t *member = commit->lsn == 0 ? json_null() : json_object();

	TRY(json_put(json, key, member, err));
	if (commit->lsn == 0)
		return true;
	TRY(put_time(member, "time", commit->time_us, err));
	TRY(lsn_put(member, "lsn", commit->lsn, err));
	TRY(json_put(member, "xid", json_integer(commit->xid), err));
	TRY(json_put(member, "rollback", json_boolean(commit->is_abort), err));
	return json_put(member, "timeline", json_integer(commit->timeline), err);
}

bool report_encode(const struct plan *plan, json_t *json, struct error *err)
{
	const struct reach *reach = &plan->reach;
	struct wal_name first, last;

	wal_names(plan, &first, &last);
	TRY(encode_target(&plan->target, json, err));
	TRY(json_put(json, "label", json_string(reach->backup->label), err));
	TRY(json_put(json, "backup_reason", json_string(backup_reason(plan)), err));
	TRY(json_put(json, "backups_newer", json_integer(reach->newer_backups), err));
	TRY(json_put(json, "backup_damaged", json_boolean(reach->backup->is_damaged), err));
	if (reach->passed_over != NULL)
		TRY(json_put(json, "backup_passed_over", json_string(reach->passed_over->label), err));
	TRY(put_time(json, "backup_finished", reach->backup->finished_us, err));
	TRY(encode_path(plan, json, err));
	TRY(json_put(json, "wal_first", json_string(first.text), err));
	TRY(json_put(json, "wal_last", json_string(last.text), err));
	TRY(json_put(json, "wal_segments", json_integer((json_int_t) reach_segments(&plan->reach)), err));
	TRY(json_put(json, "wal_from_directory", json_integer((json_int_t) segments_from(plan, WAL_FROM_DIRECTORY)),
		     err));
	if (segments_from(plan, WAL_FROM_PARTIAL) > 0)
		TRY(json_put(json, "wal_partial", json_string(reach->range.partial.text), err));
	TRY(json_put(json, "backup_bytes", json_integer((json_int_t) reach->backup->stored_bytes), err));
	TRY(json_put(json, "wal_bytes", json_integer((json_int_t) plan->wal_stored_size), err));
	TRY(json_put(json, "fetch_bytes",
		     json_integer((json_int_t) (reach->backup->stored_bytes + plan->wal_stored_size)), err));
	TRY(json_put(json, "database_bytes", json_integer((json_int_t) reach->backup->database_bytes), err));
	if (reach->stop != STOP_NEVER)
		TRY(lsn_put(json, "stop_lsn", reach->lsn, err));
	TRY(lsn_put(json, "end_lsn", reach->end, err));
	TRY(json_put(json, "at_end_of_archive", json_boolean(reach->at_end), err));
	TRY(json_put(json, "exact", json_boolean(!reach->is_coarse), err));
	TRY(json_put(json, "needs_secret_key", json_boolean(plan->needs_secret_key), err));
	TRY(encode_commit(&reach->last_commit, "last_commit", json, err));
	return encode_commit(&reach->next, "next", json, err);
}

void report_counts(const struct batch_counts *counts, FILE *stream)
{
	char kept[REPORT_SIZE_SIZE], written[REPORT_SIZE_SIZE], fetched[REPORT_SIZE_SIZE];

	report_size(counts->kept, kept);
	report_size(counts->written, written);
	report_size(counts->fetched, fetched);
	(void) fprintf(stream,
		       "Of its files, %s were as in the backup and %s were written; %s were fetched for that.\n", kept,
		       written, fetched);
}

bool report_encode_counts(const struct batch_counts *counts, json_t *json, struct error *err)
{
	json_t *member = json_object();

	TRY(json_put(json, "delta", member, err));
	TRY(json_put(member, "kept_bytes", json_integer((json_int_t) counts->kept), err));
	TRY(json_put(member, "written_bytes", json_integer((json_int_t) counts->written), err));
	return json_put(member, "fetched_bytes", json_integer((json_int_t) counts->fetched), err);
}

void report_duration(const struct prediction *prediction, FILE *stream)
{
	char whole[CLOCK_TEXT_SIZE], part[2][CLOCK_TEXT_SIZE], rate[2][REPORT_SIZE_SIZE];
	bool is_guess = prediction->download_count == 0 && prediction->replay_count == 0;
	bool is_half_guess = prediction->download_count == 0 || prediction->replay_count == 0;
	int64_t whole_s = prediction->download_s + prediction->replay_s;

	duration_format(whole_s < 1 ? 1 : whole_s, whole);
	duration_format(prediction->download_s, part[0]);
	duration_format(prediction->replay_s, part[1]);
	report_size(prediction->download_rate, rate[0]);
	report_size(prediction->replay_rate, rate[1]);
	(void) fprintf(stream, "duration:     about %s (base backup %s at %s/s, replay %s at %s/s", whole, part[0],
		       rate[0], part[1], rate[1]);
	if (is_guess)
		(void) fputs("; a guess: no restore has been measured yet)\n", stream);
	else if (is_half_guess)
		(void) fprintf(stream, "; the rate of %s is a guess: it has not been measured yet)\n",
			       prediction->download_count == 0 ? "the base backup" : "replay");
	else
		(void) fprintf(stream, "; as measured by the last %d)\n",
			       prediction->download_count > prediction->replay_count ? prediction->download_count
										     : prediction->replay_count);
	(void) fflush(stream);
}

bool report_encode_duration(const struct prediction *prediction, json_t *json, struct error *err)
{
	json_t *member = json_object();
	const struct {
		const char *key;
		json_int_t value;
	} members[] = {
		{"seconds", prediction->download_s + prediction->replay_s},
		{"download_seconds", prediction->download_s},
		{"replay_seconds", prediction->replay_s},
		{"download_bytes_per_second", (json_int_t) prediction->download_rate},
		{"replay_bytes_per_second", (json_int_t) prediction->replay_rate},
		{"downloads_measured", prediction->download_count},
		{"replays_measured", prediction->replay_count},
	};

	TRY(json_put(json, "duration", member, err));
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		TRY(json_put(member, members[i].key, json_integer(members[i].value), err));
	return true;
}

bool report_intent(const struct plan *plan, const struct prediction *prediction, const struct options *options,
		   struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	FILE *stream = options->dry_run ? stdout : stderr;

	damage_warn(plan);
	if (options->dry_run && options->json) {
		TRY(report_encode(plan, json, err));
		TRY(report_encode_duration(prediction, json, err));
		return answer_print(json, err);
	}
	if (!options->dry_run && !log_shows(LOG_LEVEL_INFO))
		return true;
	report_plan(plan, stream);
	report_duration(prediction, stream);
	return true;
}

/* Debian keeps the servers' programs out of the PATH. */
static void pg_ctl_find(int64_t server_version, char path[PATH_MAX])
{
	struct error ignored;
	char directory[PATH_MAX];

	if (!installation_find(NULL, server_version, directory, &ignored) ||
	    !path_join(path, directory, "pg_ctl", &ignored))
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
			"DIR.\n"
			"A service that is set up for this directory, as on Debian, knows both.)\n",
			quoted);
	return true;
}

bool report_archiving(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err)
{
	const char *branch = copy_branch(plan), *parent = layout_branch(&plan->reach.path->layout), *quoted;
	BUF(word, 64 * KiB);

	TRY(shell_quote(&word, pgdata, err));
	TRY(buf_text(&word, &quoted, err));
	if (copy_is_new(plan))
		(void) fprintf(
			stream,
			"It archives to a branch of its own, \"%s\", and cannot touch the history of \"%s\", which it "
			"came from.\n"
			"When it is to be the production server, this makes restores take the latest from its branch; "
			"then take a base\nbackup of it:\n"
			"    pitr-catalog adopt -D %s\n",
			branch, parent, quoted);
	else if (branch != NULL)
		(void) fprintf(stream, "It belongs to the branch \"%s\".\n", branch);
	(void) fflush(stream);
	return true;
}

bool report_next(const struct plan *plan, const char *pgdata, FILE *stream, struct error *err)
{
	static const char *const outcomes[] = {
		[ACTION_PAUSE] =
			"It replays to the target and pauses there, for you to look. If it is the right point:\n"
			"    SELECT pg_wal_replay_resume();\n"
			"makes it an ordinary server. If a later one is wanted, \"pitr-restore --step '+5 min'\" goes "
			"on to it.\n",
		[ACTION_SHUTDOWN] = "It replays to the target and shuts down.\n",
		[ACTION_PROMOTE] = "It replays to the target and becomes an ordinary server.\n",
	};

	TRY(next_start(plan, pgdata, stream, err));
	if (plan->target.kind == TARGET_STANDBY)
		(void) fprintf(stream,
			       "It follows the archive on timeline %" PRIu32
			       " (restored with --target-timeline=latest, it would also\nfollow a failover). Set "
			       "primary_conninfo to stream from a server too.\n",
			       wal_path_timeline(plan->reach.path));
	else
		(void) fputs(outcomes[plan->target.action], stream);
	return report_archiving(plan, pgdata, stream, err);
}
