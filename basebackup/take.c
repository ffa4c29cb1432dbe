#include "take.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/password.h"
#include "damage.h"
#include "include.h"
#include "pg/replication.h"
#include "relations.h"
#include "repo/fact.h"
#include "repo/wal_index_update.h"
#include "server_branch.h"
#include "server_mirror.h"
#include "stream.h"
#include "wal_wait.h"

#define LABEL_DEFAULT	   "pitr-basebackup"
#define PASSWORD_SIZE	   1024
#define CHECKPOINT_MIN_MS  (10 * 60 * 1000)
#define CLOCK_TOLERANCE_US 1000000

struct taking {
	const struct options *options;
	struct backup *backup;
	struct server_address address;
	char password[PASSWORD_SIZE];
	struct server *server;
	struct server_settings settings;
	struct server *primary; /* of a standby, when one was given */
	struct repo *repo;
	struct relations *relations;
	struct base_backup_end end;
	char pgdata[PATH_MAX]; /* of the server; empty: not on this machine */
};

static void taking_release(struct taking *taking)
{
	server_close(taking->server);
	server_close(taking->primary);
	relations_close(taking->relations);
	repo_close(taking->repo);
	secret_wipe(taking->password, sizeof(taking->password));
}

/* --------------------------------------------------------------------------------------------- before it begins */

/* Texts become lines of backup_label and members of the fact. */
static bool text_take(const char *what, const char *text, char *target, size_t size, struct error *err)
{
	if (strlen(text) >= size)
		return fail(err, ERROR_USAGE, "the %s is longer than %zu bytes", what, size - 1);
	for (const char *at = text; *at != '\0'; at++) {
		if (iscntrl((unsigned char) *at))
			return fail(err, ERROR_USAGE, "the %s has a control character in it", what);
	}
	(void) snprintf(target, size, "%s", text);
	return true;
}

static bool take_options(struct taking *taking, struct error *err)
{
	const struct options *options = taking->options;
	struct backup *backup = taking->backup;

	taking->address = (struct server_address){
		.conninfo = options->dbname,
		.host = options->host,
		.port = options->port,
		.user = options->username,
		.program = "pitr-basebackup",
	};
	TRY(text_take("label", options->label != NULL ? options->label : LABEL_DEFAULT, backup->name,
		      sizeof(backup->name), err));
	TRY(text_take("note", options->note != NULL ? options->note : "", backup->note, sizeof(backup->note), err));
	if (gethostname(backup->host, sizeof(backup->host) - 1) != 0)
		return fail_errno(err, "could not get the name of this host");
	backup->started_us = clock_now_us();
	return true;
}

static bool take_connection(struct taking *taking, struct error *err)
{
	const struct options *options = taking->options;
	bool needs_password;

	if (options->password && options->no_password)
		return fail(err, ERROR_USAGE, "--password and --no-password exclude each other");
	if (options->password) {
		TRY(password_ask(taking->password, sizeof(taking->password), err));
		taking->address.password = taking->password;
	}
	if (server_open(&taking->address, SERVER_REPLICATION, &taking->server, &needs_password, err))
		return true;
	if (!needs_password || options->no_password || isatty(STDIN_FILENO) != 1)
		return false;
	TRY(password_ask(taking->password, sizeof(taking->password), err));
	taking->address.password = taking->password;
	*err = (struct error){0};
	return server_open(&taking->address, SERVER_REPLICATION, &taking->server, &needs_password, err);
}

/* A backup whose WAL can never come into the repository is refused before it costs anything. */
static bool take_settings(struct taking *taking, struct error *err)
{
	struct server_settings *settings = &taking->settings;

	TRY(server_read_settings(taking->server, settings, err));
	taking->backup->server_version = settings->version;
	taking->backup->segment_size = settings->wal_segment_size;
	if (strcmp(settings->wal_level, "minimal") == 0)
		return fail(err, ERROR_USAGE,
			    "wal_level of the server is minimal: its WAL is not enough to restore from") ||
		       fail_hint(err, "Set wal_level = replica on the server and restart it.");
	if (!settings->in_recovery && !settings->is_archiving)
		return fail(err, ERROR_USAGE,
			    "archive_mode of the server is off: the WAL that the backup needs would never come") ||
		       fail_hint(err,
				 "Set archive_mode = on and archive_command = 'pitr-archive %%p' on the server and "
				 "restart it.");
	if (!settings->in_recovery && !settings->has_archive_command)
		return fail(err, ERROR_USAGE,
			    "archive_command of the server is empty: the WAL that the backup needs would never come") ||
		       fail_hint(err, "Set archive_command = 'pitr-archive %%p' on the server and reload it with "
				      "\"SELECT pg_reload_conf()\".");
	if (settings->has_data_checksums && settings->block_size != PAGE_SIZE_CHECKED) {
		log_warning("page checksums are not verified: the server has pages of %" PRIu32 " bytes",
			    settings->block_size);
		settings->has_data_checksums = false;
	}
	return true;
}

/* The primary of a standby, proven to be that before the backup rather than after it. */
static bool take_primary(struct taking *taking, uint64_t system_identifier, struct error *err)
{
	struct server_address address = {.conninfo = taking->options->primary, .program = "pitr-basebackup"};
	char expected[32];
	bool needs_password;
	BUF(answer, 64);
	BUF(state, 64);

	if (taking->options->primary == NULL)
		return true;
	if (!taking->settings.in_recovery) {
		log_warning("--primary is not used: the server is no standby");
		return true;
	}
	(void) snprintf(expected, sizeof(expected), "%" PRIu64, system_identifier);
	if (!server_open(&address, SERVER_SQL, &taking->primary, &needs_password, err) ||
	    !server_query(taking->primary, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()", 0,
			  NULL, &answer, err) ||
	    !server_query(taking->primary,
			  "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' WHEN NOT "
			  "pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE') THEN 'denied' "
			  "WHEN pg_catalog.current_setting('archive_mode') = 'off' THEN 'off' ELSE '' END",
			  0, NULL, &state, err))
		return fail_in(err, "--primary");
	if (!bytes_equal(buf_bytes(&answer), bytes_of_text(expected)))
		return fail(err, ERROR_USAGE, "--primary: that server is of another cluster than the standby");
	if (bytes_equal(buf_bytes(&state), bytes_of_text("standby")))
		return fail(err, ERROR_USAGE, "--primary: that server is a standby itself");
	if (bytes_equal(buf_bytes(&state), bytes_of_text("off")))
		return fail(err, ERROR_USAGE,
			    "--primary: archive_mode is off there, so that the WAL would never come") ||
		       fail_hint(err,
				 "Set archive_mode = on and archive_command = 'pitr-archive %%p' on the primary and "
				 "restart it.");
	if (bytes_equal(buf_bytes(&state), bytes_of_text("denied")))
		return fail(err, ERROR_DENIED, "--primary: the role may not switch the WAL segment") ||
		       fail_hint(err, "Allow it with \"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO <role>\".");
	return true;
}

static bool take_preparations(struct taking *taking, struct error *err)
{
	struct server_identity identity;

	TRY(take_options(taking, err));
	TRY(take_connection(taking, err));
	TRY(server_identify(taking->server, &identity, err));
	TRY(take_settings(taking, err));
	TRY(repo_open(taking->options, identity.system_identifier, &taking->repo, err));
	TRY(server_branch_apply(taking->server, taking->repo, err));
	TRY(relations_open(taking->repo, &taking->address, &taking->relations, err));
	return take_primary(taking, identity.system_identifier, err);
}

/* ------------------------------------------------------------------------------------------------- the backup */

static bool take_primary_clock(struct taking *taking, int64_t *ahead_us, struct error *err)
{
	int64_t asked_us = clock_now_us();
	const char *text;
	BUF(answer, 64);

	if (!server_query(
		    taking->primary,
		    "SELECT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000000)::bigint::text", 0,
		    NULL, &answer, err))
		return fail_in(err, "--primary");
	TRY(buf_text(&answer, &text, err));
	int64_t time_us = strtoll(text, NULL, 10);
	if (time_us < POSTGRES_EPOCH_US || time_us > 4 * POSTGRES_EPOCH_US)
		return fail(err, ERROR_CORRUPT, "--primary: its clock says \"%s\"", text);
	*ahead_us = time_us - asked_us;
	return true;
}

/* Targets are times that the server wrote into its WAL, and are compared with the backup's: these must be of the same
 * clock. The protocol does not tell the time, so the server's clock is ours unless it is certainly not. */
static bool take_clock(struct taking *taking, const struct stream *stream, struct error *err)
{
	struct backup *backup = taking->backup;
	int64_t ahead_us = stream_clock_ahead_us(stream);

	if (taking->primary != NULL) /* a standby replays what the primary wrote */
		TRY(take_primary_clock(taking, &ahead_us, err));
	if (llabs(ahead_us) > CLOCK_TOLERANCE_US)
		log_warning("the clock of the server is %.1f s %s that of this host; the backup is recorded with the "
			    "server's times",
			    (double) llabs(ahead_us) / 1000000, ahead_us > 0 ? "ahead of" : "behind");
	backup->started_us = backup->started_us + ahead_us > 0 ? backup->started_us + ahead_us : 0;
	backup->finished_us += ahead_us;
	if (backup->finished_us < 0)
		backup->finished_us = 0;
	if (backup->started_us > backup->finished_us) /* a clock was set meanwhile */
		backup->started_us = backup->finished_us;
	return true;
}

static bool take_files(struct taking *taking, struct stream *stream, struct error *err)
{
	const struct options *options = taking->options;
	bool shows_progress = options->progress || isatty(STDERR_FILENO) == 1;
	struct base_backup_request request = {
		.label = taking->backup->name,
		.is_fast = strcmp(options->checkpoint, "fast") == 0,
		.wants_sizes = shows_progress,
		.rate_max = options->max_rate,
		/* A checkpoint that is spread may take the whole interval, and begin behind another one. */
		.start_wait_ms = 2 * taking->settings.checkpoint_timeout_ms + CHECKPOINT_MIN_MS,
	};
	struct base_backup_visitor visitor = stream_visitor(stream);

	if (!request.is_fast)
		log_info("waiting for a checkpoint, which may take %" PRId64 " s (--checkpoint=fast makes one at once)",
			 taking->settings.checkpoint_timeout_ms / 1000);
	TRY(server_base_backup(taking->server, &request, &visitor, &taking->end, err));
	taking->backup->finished_us = clock_now_us();
	TRY(stream_check(stream, err));
	TRY(take_clock(taking, stream, err));
	taking->backup->stop_lsn = taking->end.lsn;
	taking->backup->stop_timeline = taking->end.timeline;
	if (taking->backup->stop_lsn <= taking->backup->start_lsn)
		return fail(err, ERROR_CORRUPT, "the server ended the backup before it began");
	taking->backup->database_bytes = stream->intake.content_size;
	return true;
}

static bool take_included(struct taking *taking, struct stream *stream, struct error *err)
{
	for (int i = 0; i < taking->options->include.count; i++)
		TRY(include_path(&stream->intake, taking->options->include.items[i], err));
	return true;
}

/* Ends the segment in which the backup stopped. A primary has done so itself at the end of the backup. */
static bool take_switch(struct taking *taking, struct error *err)
{
	BUF(answer, 64);

	if (taking->primary == NULL) {
		if (taking->backup->from_standby)
			log_info("the WAL of the backup comes when the primary ends its segment (--primary CONNINFO "
				 "asks "
				 "it to)");
		return true;
	}
	if (server_query(taking->primary, "SELECT pg_catalog.pg_switch_wal()", 0, NULL, &answer, err))
		return true;
	return fail_in(err, "--primary");
}

static bool take_wal(struct taking *taking, struct error *err)
{
	struct wal_wait wait = {
		.repo = taking->repo,
		.backup = taking->backup,
		.timeout_ms = taking->options->wal_timeout,
		.has_primary = taking->primary != NULL,
		.address = &taking->address,
	};

	TRY(take_switch(taking, err));
	server_mirror_find(taking->server, taking->repo, taking->options, taking->pgdata);
	/* Nothing more is asked of it, and its slot is one of few. */
	server_close(taking->server);
	taking->server = NULL;
	return wal_wait_all(&wait, err);
}

static void take_report(const struct taking *taking, const struct stream *stream, int64_t streamed_ms, int64_t whole_ms)
{
	const struct backup *backup = taking->backup;

	log_info("backup %s: %" PRIu64 " files, %" PRIu64 " MB stored as %" PRIu64 " MB in %" PRIu32
		 " pack%s, in %.1f s (%" PRIu64 " MB/s), of which %.1f s for its WAL to arrive",
		 backup->label, backup->file_count, backup->database_bytes / MiB, backup->stored_bytes / MiB,
		 stream->intake.pack_count, stream->intake.pack_count == 1 ? "" : "s", (double) whole_ms / 1000,
		 backup->database_bytes / MiB * 1000 / (uint64_t) (streamed_ms + 1),
		 (double) (whole_ms - streamed_ms) / 1000);
}

/* The backup is complete: what fails here is done by the next one. */
static void take_index(const struct taking *taking)
{
	struct error err = {0};

	if (wal_index_update_recent(taking->repo, taking->backup->segment_size, (int) taking->options->jobs, &err))
		return;
	if (err.kind == ERROR_DENIED)
		log_debug("the WAL index was not continued: %s", err.text);
	else
		log_warning("the WAL index was not continued: %s", err.text);
}

static bool take_pin(const struct taking *taking, struct error *err)
{
	const struct backup *backup = taking->backup;
	struct fact fact = {.kind = FACT_PIN, .time_us = clock_now_us()};

	if (taking->options->pin == 0)
		return true;
	memcpy(fact.label, backup->label, sizeof(fact.label));
	fact.until_us = fact_pin_until(fact.time_us, taking->options->pin);
	return fact_put(taking->repo, &fact, err) ||
	       fail_in(err, "the backup \"%s\" is complete, but could not be pinned", backup->label);
}

/* pitr-expire takes a backup for broken off that has not ended long after a later one has, says that it retires it,
 * sees that it is not complete, and removes its manifest first. So it is asked before it is complete, and once more
 * behind that: either it is seen here, or the backup there. */
static bool take_check(const struct taking *taking, struct error *err)
{
	const struct layout *layout = &taking->repo->layout;
	const char *label = taking->backup->label;
	char key[LAYOUT_KEY_SIZE];
	bool is_retired, have = false;

	layout_manifest(layout, layout_branch(layout), label, 0, key);
	TRY(fact_is_retired(taking->repo, layout_branch(layout), label, &is_retired, err));
	TRY(is_retired || repo_have(taking->repo, key, OBJECT_MANIFEST, &have, err));
	if (have)
		return true;
	(void) fail(err, ERROR_NOT_FOUND,
		    "the backup \"%s\" took so long that pitr-expire has taken it for broken off and removed it",
		    label);
	return fail_hint(err,
			 "It cannot be restored. Take another one. That happens only when a backup that began later "
			 "has been complete for a week.");
}

static bool take_entry(const struct taking *taking, struct error *err)
{
	TRY(take_check(taking, err));
	TRY(catalog_add(taking->repo, taking->backup, err));
	return take_check(taking, err) || fail_in(err, "it is in the catalog, but is not to be relied on");
}

static bool take_stream(struct taking *taking, struct error *err)
{
	const struct options *options = taking->options;
	struct backup *backup = taking->backup;
	struct stream stream STREAM_CLEANUP;
	int64_t started_ms = clock_monotonic_ms();

	stream_init(&stream, taking->repo, backup, &taking->settings, pack_sizing_plan(options->memory, options->jobs),
		    options->progress);
	stream.relations = taking->relations;
	TRY(take_files(taking, &stream, err));
	TRY(take_included(taking, &stream, err));
	TRY(intake_finish(&stream.intake, err));
	backup->file_count = stream.intake.file_count;
	backup->stored_bytes = stream.intake.stored_size;
	backup->manifest_parts = stream.intake.manifest_parts;
	damage_read_again(&stream, &taking->address);
	damage_report(&stream);
	backup->checksum_failures = stream.damaged_count;

	int64_t streamed_ms = clock_monotonic_ms() - started_ms;
	TRY(take_wal(taking, err));
	relations_finish(taking->relations, &backup->relation_map);
	TRY(take_entry(taking, err));
	TRY(take_pin(taking, err));
	take_report(taking, &stream, streamed_ms, clock_monotonic_ms() - started_ms);
	take_index(taking);
	server_mirror_refresh(taking->repo, options, taking->pgdata);
	return true;
}

bool take_backup(const struct options *options, struct backup *backup, struct error *err)
{
	struct taking taking = {.options = options, .backup = backup};
	bool done = take_preparations(&taking, err) && take_stream(&taking, err);

	taking_release(&taking);
	return done;
}
