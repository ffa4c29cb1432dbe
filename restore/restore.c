#include "restore.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "config/program.h"
#include "lay_down.h"
#include "owner.h"
#include "pg/control_file.h"
#include "recovery_conf.h"
#include "report.h"
#include "tablespace_map.h"
#include "trial.h"

static bool print_json(const struct plan *plan, const char *pgdata, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(report_encode(plan, json, err));
	if (pgdata != NULL)
		TRY(json_put(json, "data_directory", json_string(pgdata), err));
	return program_print(json, err);
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

static bool tree_sync(const struct place *place, struct error *err)
{
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(fs_sync_tree(place->tablespaces[i].target, err));
	if (place->included_to[0] != '\0')
		TRY(fs_sync_tree(place->included_to, err));
	return fs_sync_tree(place->pgdata, err);
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

static bool command_try(const struct plan *plan, const struct place *place, const char *command, struct error *err)
{
	const struct reach *reach = &plan->reach;
	struct wal_range range = {.history = reach->path, .segment_size = reach->backup->segment_size};
	struct wal_name first;

	wal_range_name(&range, reach->first, &first);
	return trial_run(place->pgdata, command, first.text, range.segment_size, err);
}

static bool restore_into(struct repo *repo, const struct plan *plan, const struct options *options,
			 const struct place *place, const char *command, struct bytes conf, struct error *err)
{
	struct laid laid LAID_CLEANUP = {.file_count = 0};

	if (!place_create(place, err) || !command_try(plan, place, command, err)) {
		place_abandon(place);
		return false;
	}
	TRY(lay_down(repo, plan->reach.backup, options, place, &laid, err));
	TRY(map_write(place, &laid, err));
	TRY(recovery_conf_write(place->pgdata, file_mode(&laid), conf, plan->target.kind == TARGET_STANDBY, err));
	if (laid.has_group_access && chmod(place->pgdata, 0750) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", place->pgdata);
	log_info("syncing %llu files to disk", (unsigned long long) laid.file_count);
	TRY(tree_sync(place, err));
	TRY(control_publish(place, &laid, err));
	if (laid.included_count > 0 && place->included_to[0] == '\0')
		log_info("the backup also holds %llu files from outside the data directory: --included-to DIR writes "
			 "them",
			 (unsigned long long) laid.included_count);
	return true;
}

static bool restore_planned(struct repo *repo, const struct plan *plan, const struct options *options,
			    struct error *err)
{
	struct place place PLACE_CLEANUP = {.exists = false};
	BUF(command, RECOVERY_COMMAND_MAX);
	BUF(conf, RECOVERY_CONF_SIZE_MAX);
	const char *command_text, *conf_text;

	TRY(recovery_command_make(options, &command, err));
	TRY(buf_text(&command, &command_text, err));
	TRY(recovery_conf_make(plan, command_text, &conf, err));
	TRY(buf_text(&conf, &conf_text, err));
	TRY(place_plan(repo, plan->reach.backup, options, conf_text, &place, err));
	if (place.is_finished)
		log_info("\"%s\" was restored already, but for the last step", place.pgdata);
	else
		TRY(restore_into(repo, plan, options, &place, command_text, buf_bytes(&conf), err));
	TRY(place_finish(&place, err));
	if (options->json)
		return print_json(plan, place.pgdata, err);
	(void) printf("Restored into \"%s\".\n", place.pgdata);
	return report_next(plan, place.pgdata, stdout, err);
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
	struct target target;

	if (options->arguments.count > 0)
		return fail(err, ERROR_USAGE, "\"%s\" is no flag", options->arguments.items[0]) ||
		       fail_hint(err,
				 "A target is given with --target-time, --target-lsn, --target-xid or --target-name.");
	TRY(target_parse(options, clock_now_us(), &target, err));
	if (options->pgdata == NULL && !options->dry_run)
		return fail(err, ERROR_USAGE, "no data directory to restore into is given") ||
		       fail_hint(err, "Give -D DIR, or set pgdata in the configuration file.");
	if (!options->dry_run)
		TRY(owner_become(options->pgdata, err));
	TRY(repo_open(options, 0, &repo, err));
	if (!options->dry_run)
		TRY(key_check(repo, err));
	TRY(catalog_read(repo, &catalog, err));
	TRY(plan_make(repo, &catalog, options, &target, &plan, err));
	if (options->dry_run && options->json)
		return print_json(&plan, NULL, err);
	if (log_shows(LOG_LEVEL_INFO) || options->dry_run)
		report_plan(&plan, options->dry_run ? stdout : stderr);
	return options->dry_run ? true : restore_planned(repo, &plan, options, err);
}
