#include "start.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "config/answer.h"
#include "recovery/follow.h"
#include "recovery/server_log.h"
#include "repo/manifest.h"
#include "report.h"
#include "report_reached.h"

bool start_check(const struct options *options, struct error *err)
{
	bool has_flags = options->port != NULL || options->pg_bin != NULL || options->server_config != NULL;

	if (options->start && options->standby)
		return fail(err, ERROR_USAGE, "--start follows a recovery to its target, and a standby has none") ||
		       fail_hint(err, "Start the standby as usual.");
	if (options->start || !has_flags)
		return true;
	return fail(err, ERROR_USAGE, "--port, --pg-bin and --config-file are for a server that is started") ||
	       fail_hint(err, "Give --start as well.");
}

struct configuration {
	bool is_there;
	char included[MANIFEST_PATH_MAX]; /* one that --include added; empty: none */
};

static bool configuration_visit(void *context, const struct manifest_entry *entry, struct error *err)
{
	static const char name[] = "postgresql.conf";
	struct configuration *found = context;
	const char *slash = strrchr(entry->path, '/');

	(void) err;
	if (entry->type == MANIFEST_FILE && entry->root == MANIFEST_DATA && strcmp(entry->path, name) == 0)
		found->is_there = true;
	if (entry->root == MANIFEST_INCLUDED && slash != NULL && strcmp(slash + 1, name) == 0)
		memcpy(found->included, entry->path, sizeof(found->included));
	return true;
}

/* Debian keeps it in /etc, where a base backup does not look by itself. */
static bool configuration_check(struct repo *repo, const struct backup *backup, struct error *err)
{
	struct configuration found = {.is_there = false};

	TRY(manifest_each(repo, backup, configuration_visit, &found, err));
	if (found.is_there)
		return true;
	(void) fail(err, ERROR_USAGE,
		    "the backup has no postgresql.conf in its data directory to start the server with");
	if (found.included[0] != '\0')
		return fail_hint(err,
				 "It holds \"/%.200s\": give --included-to DIR, and with --config-file the file "
				 "DIR/%.200s.",
				 found.included, found.included);
	return fail_hint(err, "Give one with --config-file, such as /etc/postgresql/%d/main/postgresql.conf.",
			 (int) (backup->server_version / 10000));
}

bool start_plan(struct repo *repo, const struct options *options, const struct backup *backup, struct launch *launch,
		struct error *err)
{
	bool exists;

	TRY(launch_plan(options, backup->server_version, launch, err));
	if (options->server_config == NULL)
		return configuration_check(repo, backup, err);
	if (options->included_to != NULL) /* it may be among what is not there yet */
		return true;
	TRY(fs_exists(launch->config_file, &exists, err));
	return exists ? true : fail(err, ERROR_USAGE, "--config-file: there is no \"%s\"", launch->config_file);
}

/* What --step needs to start it the same way again. */
static bool state_note(const struct starting *asked, struct error *err)
{
	const struct launch *launch = asked->launch;
	struct state state;

	TRY(state_read(launch->pgdata, &state, err));
	(void) snprintf(state.port, sizeof(state.port), "%s", launch->port);
	(void) snprintf(state.config_file, sizeof(state.config_file), "%s", launch->config_file);
	(void) snprintf(state.pg_bin, sizeof(state.pg_bin), "%s", asked->options->pg_bin != NULL ? launch->bin : "");
	return state_write(launch->pgdata, &state, err);
}

static bool server_follow(const struct starting *asked, struct reached *reached, struct error *err)
{
	struct server_log log;
	struct following following = {.launch = asked->launch,
				      .plan = asked->plan,
				      .log = &log,
				      .from = asked->from,
				      .wants_progress = asked->options->progress,
				      .retry_for_ms = asked->options->retry_for};

	TRY(server_log_open(&log, asked->launch->log, err));
	TRY(launch_start(asked->launch, &following.pid, err));
	log_info("the server is started (process %d); its log is \"%s\"", (int) following.pid, asked->launch->log);
	return follow_run(&following, reached, err);
}

/* It is for later restores alone, so that nothing that goes wrong here is a failure of this one. */
static void measurement_note(const struct starting *asked, const struct reached *reached)
{
	struct measurement *measured = asked->measured;
	struct error err = {0};

	if (measured == NULL)
		return;
	(void) snprintf(measured->label, sizeof(measured->label), "%s", asked->plan->reach.backup->label);
	measured->finished_us = clock_now_us();
	measured->replay_bytes = reached->lsn > asked->from ? reached->lsn - asked->from : 0;
	measured->replay_ms = reached->replay_ms;
	if (!measurement_put(asked->repo, measured, &err))
		log_info("how long this restore took was not stored: %s", err.text);
}

static bool start_report(const struct starting *asked, const struct reached *reached, const struct verdict *verdict,
			 struct error *err)
{
	if (asked->json != NULL) {
		TRY(report_reached_encode(asked->launch, reached, verdict, asked->json, err));
		return answer_print(asked->json, err);
	}
	TRY(report_reached(asked->launch, reached, verdict, stdout, err));
	return report_archiving(asked->plan, asked->launch->pgdata, stdout, err);
}

bool start_run(const struct starting *asked, struct error *err)
{
	struct reached reached;
	struct verdict verdict;

	TRY(state_note(asked, err));
	TRY(server_follow(asked, &reached, err));
	verdict_find(asked->plan, &reached, &verdict);
	if (reached.state == REACHED_PROMOTED)
		TRY(state_remove(asked->launch->pgdata, err));
	if (verdict.count == 0)
		measurement_note(asked, &reached);
	TRY(start_report(asked, &reached, &verdict, err));
	if (verdict.count == 0)
		return true;
	(void) fail(err, ERROR_SYSTEM, "the server did not reach what was planned: %.700s", verdict.differences[0]);
	return fail_hint(err, "Look at its log, \"%.400s\".", asked->launch->log);
}
