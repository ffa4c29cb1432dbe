#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "config/option_value.h"
#include "files/owner.h"
#include "pg/control_file.h"
#include "plan/surviving.h"
#include "recovery/copy.h"
#include "recovery/recovery_conf.h"
#include "recovery/standing.h"
#include "report.h"
#include "start.h"

struct step {
	char pgdata[PATH_MAX];
	struct state state;
	struct postmaster running; /* pid 0: none */
	uint64_t replayed;	   /* LSN */
	struct options options;	   /* ours, with the target of the step, and how the server was started */
	char time[CLOCK_TEXT_SIZE];
	int64_t time_us;
};

static bool options_check(const struct options *options, struct error *err)
{
	if (options->target_time != NULL || options->target_lsn != NULL || options->target_xid != NULL ||
	    options->target_name != NULL || options->target_immediate || options->standby ||
	    options->target_timeline != NULL || options->backup != NULL)
		return fail(err, ERROR_USAGE, "--step is a target of its own") ||
		       fail_hint(err,
				 "It takes -D, --target-action and --target-exclusive, and goes on along the timeline "
				 "and from the base backup of the restore.");
	if (options->pgdata == NULL)
		return fail(err, ERROR_USAGE, "no data directory is given") ||
		       fail_hint(err, "Give the restored one with -D DIR.");
	return true;
}

/* ----------------------------------------------------------------------------------- where the recovery stands */

static bool fail_promoted(const struct step *step, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "the server in \"%s\" has been promoted: its recovery is over", step->pgdata);
	return fail_hint(err, "Restore again, into another directory, to the later point.");
}

static bool replayed_ask(struct step *step, struct error *err)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct standing standing;

	if (step->running.state == POSTMASTER_STARTING)
		return fail(err, ERROR_USAGE, "the server in \"%s\" is not yet consistent", step->pgdata) ||
		       fail_hint(err, "Wait until it has paused.");
	TRY(standing_connect(&step->running, &server, err));
	TRY(standing_read(server, step->state.server_version, &standing, err));
	if (!standing.in_recovery)
		return fail_promoted(step, err);
	step->replayed = standing.lsn;
	return true;
}

static bool is_there(const struct step *step, const char *name, bool *exists, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, step->pgdata, name, err));
	return fs_exists(path, exists, err);
}

/* A server removes recovery.signal when it is promoted, and renames backup_label when its recovery has begun. */
static bool replayed_read(struct step *step, struct error *err)
{
	struct control_file control;
	bool has_signal, has_label;

	TRY(is_there(step, "recovery.signal", &has_signal, err));
	TRY(is_there(step, "backup_label", &has_label, err));
	if (!has_signal)
		return fail_promoted(step, err);
	if (has_label)
		return fail(err, ERROR_USAGE, "the server in \"%s\" has not been started yet", step->pgdata) ||
		       fail_hint(err, "Start it, and step from where it pauses.");
	TRY(control_file_read(step->pgdata, &control, err));
	step->replayed = control.recovery_point;
	return true;
}

static bool step_look(struct step *step, struct error *err)
{
	if (!state_read(step->pgdata, &step->state, err)) {
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		(void) fail(err, ERROR_USAGE, "there is no recovery that could go on in \"%s\": it has no " STATE_FILE,
			    step->pgdata);
		return fail_hint(err, "--step moves what pitr-restore has restored, until it is promoted.");
	}
	TRY(postmaster_read(step->pgdata, &step->running, err));
	return step->running.pid != 0 ? replayed_ask(step, err) : replayed_read(step, err);
}

/* ------------------------------------------------------------------------------------------------- the target */

static bool fail_not_later(const struct step *step, struct error *err)
{
	char wanted[CLOCK_TEXT_SIZE], base[CLOCK_TEXT_SIZE];

	time_format_local(step->time_us, wanted);
	time_format_local(step->state.time_us, base);
	(void) fail(err, ERROR_USAGE, "%s is not later than %s, where the recovery stands (%s)", wanted, base,
		    step->state.target);
	return fail_hint(err, "PostgreSQL cannot go back: for an earlier point, restore again.");
}

/* "+5 min" counts from the target. */
static bool time_take(struct step *step, const char *text, struct error *err)
{
	int64_t duration_ms;

	if (*text == '+') {
		do
			text++;
		while (*text == ' ');
		if (!duration_parse(text, &duration_ms) || duration_ms <= 0 ||
		    duration_ms > (INT64_MAX - step->state.time_us) / 1000)
			return fail(err, ERROR_USAGE, "--step: \"+%s\" is no duration", text) ||
			       fail_hint(err, "It looks like '+5 min', '+30s' or '+2h'.");
		step->time_us = step->state.time_us + duration_ms * 1000;
	} else if (!time_parse(text, clock_now_us(), &step->time_us, err)) {
		return fail_in(err, "--step");
	}
	return step->time_us > step->state.time_us ? true : fail_not_later(step, err);
}

static void options_take(struct step *step, const struct options *options)
{
	struct options *taken = &step->options;
	const struct state *state = &step->state;

	*taken = *options;
	time_format_utc(step->time_us, step->time);
	taken->target_time = step->time;
	taken->backup = state->label;
	taken->target_timeline = state->timeline;
	if (taken->target_action == NULL)
		taken->target_action = target_action_name(state->action);
	if (taken->port == NULL && state->port[0] != '\0')
		taken->port = state->port;
	if (taken->pg_bin == NULL && state->pg_bin[0] != '\0')
		taken->pg_bin = state->pg_bin;
	if (taken->server_config == NULL && state->config_file[0] != '\0')
		taken->server_config = state->config_file;
}

/* There has to be something between here and there: a commit, or, where the archive ends before the time, a record. */
static bool plan_is_later(const struct step *step, const struct plan *plan, struct error *err)
{
	const struct reach *reach = &plan->reach;
	char wanted[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

	if (reach->stop == STOP_TIME ? reach->last_commit.lsn >= step->replayed : reach->lsn >= step->replayed)
		return true;
	time_format_local(step->time_us, wanted);
	lsn_format(step->replayed, lsn);
	(void) fail(err, ERROR_USAGE,
		    "nothing lies between LSN %s, up to which the server has replayed, and %s on timeline %s", lsn,
		    wanted, step->state.timeline);
	return fail_hint(err, reach->at_end ? "The archive has no more."
					    : "No transaction was committed in between: step to a later time.");
}

/* ---------------------------------------------------------------------------------------------------- the walk */

static bool settings_write(const struct step *step, const struct repo *repo, const struct plan *plan, struct error *err)
{
	mode_t mode = step->state.has_group_access ? 0640 : 0600;
	struct state state;
	BUF(command, RECOVERY_COMMAND_MAX);
	BUF(conf, RECOVERY_CONF_SIZE_MAX);

	TRY(copy_conf_make(repo, &step->options, plan, &command, &conf, err));
	TRY(recovery_conf_write(step->pgdata, mode, buf_bytes(&conf), false, err));
	state_of_plan(plan, step->state.has_group_access, &state);
	return state_write(step->pgdata, &state, err);
}

static bool step_go(struct step *step, struct repo *repo, const struct plan *plan, const struct prediction *prediction,
		    struct error *err)
{
	json_t *json JSON_CLEANUP = step->options.json ? json_object() : NULL;
	struct launch launch;
	struct starting starting = {.repo = repo,
				    .options = &step->options,
				    .plan = plan,
				    .prediction = prediction,
				    .launch = &launch,
				    .json = json,
				    .from = step->replayed};

	TRY(launch_plan(&step->options, step->state.server_version, &launch, err));
	TRY(launch_place(&launch, step->pgdata, err));
	TRY(launch_check(&launch, err));
	if (step->running.pid != 0)
		TRY(launch_stop(&launch, &step->running, err));
	TRY(surviving_lay(repo, plan, step->pgdata, err));
	TRY(settings_write(step, repo, plan, err));
	if (json != NULL) {
		TRY(report_encode(plan, json, err));
		TRY(report_encode_duration(prediction, json, err));
		TRY(json_put(json, "data_directory", json_string(step->pgdata), err));
	}
	return start_run(&starting, err);
}

static bool step_plan(struct step *step, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	struct plan plan PLAN_CLEANUP = {.is_step = true};
	struct prediction prediction;
	struct target target;

	TRY(target_parse(&step->options, clock_now_us(), &target, err));
	TRY(repo_open(&step->options, 0, &repo, err));
	TRY(plan_read_catalog(repo, &plan, &catalog, err));
	TRY(plan_make(repo, &catalog, &step->options, &target, &plan, err));
	TRY(plan_is_later(step, &plan, err));
	TRY(branch_mark_read(repo, step->pgdata, &plan.mark, err)); /* its branch stays */
	prediction_read(repo, &plan, &prediction);
	TRY(report_intent(&plan, &prediction, &step->options, err));
	return step->options.dry_run ? true : step_go(step, repo, &plan, &prediction, err);
}

bool step_run(const struct options *options, struct error *err)
{
	struct step *step;

	TRY(options_check(options, err));
	TRY(owner_become(options->pgdata, err));
	step = calloc(1, sizeof(*step));
	if (step == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = realpath(options->pgdata, step->pgdata) != NULL
			    ? step_look(step, err) && time_take(step, options->step, err)
			    : fail_errno(err, "could not find the directory \"%s\"", options->pgdata);
	if (done) {
		options_take(step, options);
		done = step_plan(step, err);
	}
	free(step);
	return done;
}
