#include "restore.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "base/fs_sync.h"
#include "config/answer.h"
#include "files/delta.h"
#include "files/lay_down.h"
#include "files/owner.h"
#include "files/tablespace_map.h"
#include "pg/control_file.h"
#include "plan/surviving.h"
#include "recovery/copy.h"
#include "recovery/recovery_conf.h"
#include "recovery/trial.h"
#include "repo/mirror_upkeep.h"
#include "report.h"
#include "start.h"

/* `counts` NULL: everything was fetched. */
static bool answer_encode(const struct plan *plan, const struct prediction *prediction, const char *pgdata,
			  const struct batch_counts *counts, json_t *json, struct error *err)
{
	TRY(report_encode(plan, json, err));
	TRY(report_encode_duration(prediction, json, err));
	TRY(json_put(json, "data_directory", json_string(pgdata), err));
	return counts != NULL ? report_encode_counts(counts, json, err) : true;
}

static mode_t file_mode(const struct laid *laid)
{
	return laid->has_group_access ? 0640 : 0600;
}

/* tablespace_map as the server has to find it. */
static bool map_write(const struct place *place, const struct laid *laid, struct error *err)
{
	char path[PATH_MAX];
	BUF(rewritten, laid->tablespace_map.size_max * 2);

	if (laid->tablespace_map.size == 0)
		return true;
	TRY(tablespace_map_rewrite(buf_bytes(&laid->tablespace_map), place, &rewritten, err));
	TRY(path_join(path, place->pgdata, TABLESPACE_MAP_NAME, err));
	return fs_replace_file(path, file_mode(laid), buf_bytes(&rewritten), err);
}

/* Everything that is going to be written to, so that no failure to write it back is missed. */
static bool sync_prepare(const struct place *place, struct fs_sync *sync, struct error *err)
{
	TRY(fs_sync_open(sync, place->tablespace_count + 2, err));
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(fs_sync_add(sync, place->tablespaces[i].target, err));
	if (place->included_to[0] != '\0')
		TRY(fs_sync_add(sync, place->included_to, err));
	return fs_sync_add(sync, place->pgdata, err);
}

/* The last step: everything else is durable by now. A server that is started without backup_label would begin to replay
 * at the checkpoint that pg_control names, and end up inconsistent: so it names none that could be found. */
static bool control_publish(const struct place *place, struct laid *laid, struct error *err)
{
	char path[PATH_MAX];

	TRY(control_file_disable(laid->control.data, laid->control.size, err));
	TRY(path_join(path, place->pgdata, CONTROL_FILE_NAME, err));
	return fs_replace_file(path, file_mode(laid), buf_bytes(&laid->control), err);
}

static bool mark_put(const struct repo *repo, const struct plan *plan, const struct place *place, mode_t mode,
		     struct error *err)
{
	return branch_mark_write(repo, place->pgdata, mode, &plan->mark, err);
}

/* The command finds its way by the mark, which a directory that is restored onto must not get until it is taken over:
 * there it is tried in a directory of its own. What was there before is put back. */
static bool command_try_in(struct repo *repo, const struct plan *plan, const char *directory, const char *command,
			   struct error *err)
{
	const struct reach *reach = &plan->reach;
	struct wal_name first;
	struct error ignored = {0};
	char path[PATH_MAX];
	BUF(before, BRANCH_MARK_SIZE_MAX);

	TRY(path_join(path, directory, BRANCH_MARK_NAME, err));
	bool is_there = fs_read_file(path, &before, err);
	if (!is_there && err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	wal_range_name(&reach->range, reach->first, &first);
	bool works = branch_mark_write(repo, directory, 0600, &plan->mark, err) &&
		     trial_run(directory, command, first.text, reach->range.segment_size, err);
	if (is_there)
		return fs_replace_file(path, 0600, buf_bytes(&before), works ? err : &ignored) && works;
	return (fs_remove(path, &ignored) || ignored.kind == ERROR_NOT_FOUND) && works;
}

static bool command_try(struct repo *repo, const struct plan *plan, const struct place *place, const char *command,
			struct error *err)
{
	char directory[PATH_MAX];
	struct error ignored = {0};

	if (!place->is_delta)
		return command_try_in(repo, plan, place->pgdata, command, err);
	TRY(delta_open_trial(place, directory, err));
	bool works = command_try_in(repo, plan, directory, command, err);
	return delta_close_trial(directory, works ? err : &ignored) && works;
}

/* Up to here the place can be left as it was; from here on, what was begun is to be finished. */
static bool place_take(struct repo *repo, const struct plan *plan, const struct place *place, const char *command,
		       struct error *err)
{
	bool is_changed = false;

	if (place_create(place, err) && command_try(repo, plan, place, command, err) &&
	    (!place->is_delta || delta_begin(repo, plan->reach.backup, place, &is_changed, err)))
		return true;
	if (!is_changed)
		place_abandon(place);
	return false;
}

/* What is laid down beside the backup. */
struct recovery {
	const char *command;
	struct bytes conf;
	struct batch_counts counts; /* of the backup's bytes */
	struct measurement measured;
};

/* From which --step goes on; of a standby nothing does. */
static bool state_put(const struct plan *plan, const struct place *place, const struct laid *laid, struct error *err)
{
	struct state state;

	if (plan->target.kind == TARGET_STANDBY)
		return state_remove(place->pgdata, err);
	state_of_plan(plan, laid->has_group_access, &state);
	return state_write(place->pgdata, &state, err);
}

/* What was not fetched whole says nothing about the next restore. */
static void download_measure(const struct plan *plan, const struct place *place, int64_t began_ms,
			     struct measurement *measured)
{
	if (place->is_resumed || place->is_delta)
		return;
	measured->download_bytes = plan->reach.backup->stored_bytes;
	measured->download_ms = clock_monotonic_ms() - began_ms;
}

/* Where nothing better was said. */
static bool hint_damaged(const struct plan *plan, struct error *err)
{
	if (err->kind == ERROR_CORRUPT && err->hint[0] == '\0')
		(void) fail_hint(err,
				 "\"pitr-verify %s\" says what of the backup is damaged; --backup=LABEL restores from "
				 "another one that \"pitr-catalog list\" has.",
				 plan->reach.backup->label);
	return false;
}

static bool restore_into(struct repo *repo, const struct plan *plan, const struct options *options,
			 const struct place *place, struct recovery *recovery, struct error *err)
{
	struct laid laid LAID_CLEANUP = {.file_count = 0};

	struct fs_sync sync FS_SYNC_CLEANUP = {.count = 0};

	TRY(place_take(repo, plan, place, recovery->command, err));
	TRY(sync_prepare(place, &sync, err));
	int64_t began_ms = clock_monotonic_ms();
	TRY(lay_down(repo, plan->reach.backup, options, place, &laid, err) || hint_damaged(plan, err));
	recovery->counts = laid.counts;
	download_measure(plan, place, began_ms, &recovery->measured);
	TRY(map_write(place, &laid, err));
	TRY(mark_put(repo, plan, place, file_mode(&laid), err));
	TRY(recovery_conf_write(place->pgdata, file_mode(&laid), recovery->conf, plan->target.kind == TARGET_STANDBY,
				err));
	TRY(surviving_lay(repo, plan, place->pgdata, err));
	TRY(state_put(plan, place, &laid, err));
	if (laid.has_group_access && chmod(place->pgdata, 0750) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", place->pgdata);
	log_info("syncing %llu files to disk", (unsigned long long) laid.file_count);
	TRY(fs_sync_run(&sync, (int) options->jobs, err));
	TRY(control_publish(place, &laid, err));
	if (laid.included_count > 0 && place->included_to[0] == '\0')
		log_info("the backup also holds %llu files from outside the data directory: --included-to DIR writes "
			 "them",
			 (unsigned long long) laid.included_count);
	return true;
}

/* With --start the server is seen through to its target; otherwise it is said how. */
static bool restore_end(struct starting *starting, const struct place *place, const struct in_place *in_place,
			const struct batch_counts *counts, struct error *err)
{
	const struct options *options = starting->options;
	json_t *json JSON_CLEANUP = options->json ? json_object() : NULL;

	if (options->json) {
		TRY(answer_encode(starting->plan, starting->prediction, place->pgdata, counts, json, err));
		if (in_place->has_old)
			TRY(json_put(json, "old_directory", json_string(in_place->old), err));
	} else {
		(void) printf("Restored into \"%s\".\n", place->pgdata);
		if (in_place->has_old)
			(void) printf("The directory as it was is \"%s\".\n", in_place->old);
		if (counts != NULL)
			report_counts(counts, stdout);
		(void) fflush(stdout);
	}
	starting->json = json;
	if (options->start)
		return launch_place(starting->launch, place->pgdata, err) && start_run(starting, err);
	return options->json ? answer_print(json, err) : report_next(starting->plan, place->pgdata, stdout, err);
}

/* Lays everything down in a place that is free by now. */
static bool place_fill(struct starting *starting, struct place *place, struct recovery *recovery, struct error *err)
{
	struct repo *repo = starting->repo;
	const struct plan *plan = starting->plan;
	const struct options *options = starting->options;
	BUF(command, RECOVERY_COMMAND_MAX);
	BUF(conf, RECOVERY_CONF_SIZE_MAX);
	const char *conf_text;

	TRY(copy_conf_make(repo, options, plan, &command, &conf, err));
	TRY(buf_text(&command, &recovery->command, err));
	TRY(buf_text(&conf, &conf_text, err));
	recovery->conf = buf_bytes(&conf);
	TRY(place_plan(repo, plan->reach.backup, options, conf_text, place, err));
	if (!place->is_finished)
		return restore_into(repo, plan, options, place, recovery, err);
	log_info("\"%s\" was restored already, but for the last step", place->pgdata);
	return true;
}

static bool restore_planned(struct starting *starting, struct in_place *in_place, struct error *err)
{
	struct place place PLACE_CLEANUP = {.exists = false};
	struct recovery recovery = {.command = NULL};

	if (!in_place_take(in_place, err) || !place_fill(starting, &place, &recovery, err)) {
		in_place_undo(in_place); /* as long as nothing has been laid down */
		return false;
	}
	TRY(in_place_finish(in_place, err));
	TRY(place_finish(&place, err));
	mirror_upkeep_try(starting->repo, starting->options, place.pgdata, MIRROR_WHOLE);
	struct starting restored = *starting;
	restored.from = restored.plan->reach.backup->start_lsn;
	restored.measured = &recovery.measured;
	return restore_end(&restored, &place, in_place, restored.options->delta ? &recovery.counts : NULL, err);
}

/* WAL that is not in the archive yet counts: it is stored there first, or only looked at when nothing is to be written.
 */
static bool survivors_take(struct repo *repo, const struct options *options, const struct in_place *in_place,
			   struct plan *plan, struct error *err)
{
	return options->dry_run ? surviving_read(repo, options, &plan->surviving, err)
				: surviving_store(repo, options, in_place, err);
}

/* A host key lists and plans; what it cannot read is found out before anything is written. */
static bool key_check(const struct repo *repo, struct error *err)
{
	if (!repo->secrets->encrypted || repo->secrets->has_recipient_secret)
		return true;
	(void) fail(err, ERROR_DENIED, "the key file \"%s\" is a host key: it cannot read WAL and packs",
		    repo->secrets->key_file);
	return fail_hint(err,
			 "Set key-file to the secret key file that \"pitr-catalog keygen\" wrote, without .host at "
			 "its end.");
}

bool restore_run(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	struct plan plan PLAN_CLEANUP = {.wal_stored_size = 0};
	struct prediction prediction;
	struct launch launch;
	struct starting starting = {.options = options, .plan = &plan, .prediction = &prediction, .launch = &launch};
	struct in_place in_place IN_PLACE_CLEANUP = {.has_old = false};
	struct target target;

	if (options->arguments.count > 0)
		return fail(err, ERROR_USAGE, "\"%s\" is no flag", options->arguments.items[0]) ||
		       fail_hint(err,
				 "A target is given with --target-time, --target-lsn, --target-xid or --target-name.");
	TRY(target_parse(options, clock_now_us(), &target, err));
	TRY(start_check(options, err));
	if (options->pgdata == NULL && !options->dry_run)
		return fail(err, ERROR_USAGE, "no data directory to restore into is given") ||
		       fail_hint(err, "Give -D DIR, or set pgdata in the configuration file.");
	if (!options->dry_run)
		TRY(owner_become(options->pgdata, err));
	if (options->in_place)
		TRY(in_place_open(options, &in_place, err));
	TRY(repo_open(options, in_place.control.system_identifier, &repo, err));
	starting.repo = repo;
	if (!options->dry_run)
		TRY(key_check(repo, err));
	TRY(survivors_take(repo, options, &in_place, &plan, err));
	if (in_place.has_old)
		target_stay(&target, &repo->layout);
	TRY(plan_read_catalog(repo, &plan, &catalog, err));
	TRY(plan_make(repo, &catalog, options, &target, &plan, err));
	if (options->start)
		TRY(start_plan(repo, options, plan.reach.backup, &launch, err));
	if (!options->dry_run)
		TRY(copy_plan(repo, options, &plan, err));
	prediction_read(repo, &plan, &prediction);
	if (!report_intent(&plan, &prediction, options, err))
		return false;
	return options->dry_run ? true : restore_planned(&starting, &in_place, err);
}
