#include "files/delta.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "files/lay_down.h"
#include "files/marker.h"
#include "files/sweep.h"
#include "files/tablespaces.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"
#include "repo/wal_store.h"

/* Where the control file is while it is found out whether a server has just been started. */
#define CONTROL_FILE_ASIDE CONTROL_FILE_NAME ".old"
#define TRIAL_DIRECTORY	   "pitr_restore_trial"

static bool fail_refused(struct error *err)
{
	return fail_hint(err, "Restore into an empty directory: -D DIR. Nothing was changed.");
}

static bool fail_running(const struct place *place, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "a server is running in \"%s\" (process %d)", place->pgdata,
		    place_server_pid(place->pgdata));
	return fail_hint(err, "Stop it before restoring onto it: pg_ctl -D '%.300s' stop. Nothing was changed.",
			 place->pgdata);
}

/* ------------------------------------------------------------------------------------------------- whose it is */

struct archived {
	struct repo *repo;
	struct layout layout; /* of the branch of the directory */
	char first[WAL_NAME_MAX + 1];
};

static bool ready_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	struct archived *archived = context;
	struct wal_name segment;
	struct error ignored;
	char text[WAL_NAME_MAX + 1];
	size_t length = strlen(name);
	bool have;

	if (is_directory || archived->first[0] != '\0' || length < 7 || length - 6 >= sizeof(text) ||
	    strcmp(name + length - 6, ".ready") != 0)
		return true;
	memcpy(text, name, length - 6);
	text[length - 6] = '\0';
	if (!wal_name_parse(text, &segment, &ignored) || segment.kind != WAL_SEGMENT)
		return true;
	TRY(wal_store_have(archived->repo, &archived->layout, &segment, &have, err));
	if (!have)
		memcpy(archived->first, text, sizeof(text));
	return true;
}

/* WAL that is nowhere else is not ours to throw away: it holds the last commits. */
static bool archived_check(struct repo *repo, const struct place *place, struct error *err)
{
	struct archived archived = {.repo = repo};
	struct branch_mark mark;
	char path[PATH_MAX];

	TRY(branch_mark_read(repo, place->pgdata, &mark, err));
	archived.layout = mark.layout;
	TRY(path_join(path, place->pgdata, "pg_wal/archive_status", err));
	if (!fs_each(path, ready_visit, &archived, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	if (archived.first[0] == '\0')
		return true;
	(void) fail(err, ERROR_USAGE, "the server in \"%s\" has WAL that is not in the archive: \"%s\" is the first",
		    place->pgdata, archived.first);
	return fail_hint(err,
			 "Store it: pitr-archive --drain '%.300s'. To give it up, remove the files *.ready in "
			 "pg_wal/archive_status. Nothing was changed.",
			 place->pgdata);
}

/* A directory with a backup label has not been a running server's since it was restored. */
static bool shutdown_check(const struct place *place, const struct control_file *control, struct error *err)
{
	char path[PATH_MAX];
	bool has_label;

	TRY(path_join(path, place->pgdata, "backup_label", err));
	TRY(fs_exists(path, &has_label, err));
	if (control->state == CONTROL_IN_PRODUCTION && !has_label)
		log_warning("the server in \"%s\" was not shut down in order: what it wrote last is given up, unless "
			    "\"pitr-archive --drain\" has stored it",
			    place->pgdata);
	return true;
}

static bool control_check(struct repo *repo, const struct place *place, const struct control_file *control,
			  struct error *err)
{
	if (control->system_identifier == repo->layout.system_identifier)
		return place->was_interrupted ||
		       (archived_check(repo, place, err) && shutdown_check(place, control, err));
	(void) fail(err, ERROR_USAGE,
		    "\"%s\" is a data directory of another cluster: its system identifier is %" PRIu64
		    ", the backup's is %" PRIu64,
		    place->pgdata, control->system_identifier, repo->layout.system_identifier);
	return fail_refused(err);
}

/* There is neither a control file that can be read nor a marker. */
static bool fail_unproven(const struct place *place, const struct error *reason, struct error *err)
{
	char path[PATH_MAX];
	bool is_data_directory;

	TRY(path_join(path, place->pgdata, "PG_VERSION", err));
	TRY(fs_exists(path, &is_data_directory, err));
	if (!is_data_directory)
		return fail(err, ERROR_USAGE, "\"%s\" is neither empty nor a data directory", place->pgdata) ||
		       fail_refused(err);
	(void) fail(err, ERROR_USAGE, "\"%s\" does not prove which cluster it belongs to: %.300s", place->pgdata,
		    reason->text);
	return fail_hint(err, "Remove the directory, or restore into another one: -D DIR. Nothing was changed.");
}

static bool directory_is_real(const struct place *place, const char *name, bool *is_real, struct error *err)
{
	char path[PATH_MAX];
	struct stat status;

	TRY(path_join(path, place->pgdata, name, err));
	*is_real = lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
	return true;
}

/* The control file says whose the directory is, or the marker of a restore that has taken it away. */
static bool owner_check(struct repo *repo, const struct place *place, bool has_marker, struct error *err)
{
	struct control_file control;
	struct error reason = {0};
	bool is_real;

	TRY(directory_is_real(place, "global", &is_real, err));
	if (is_real && control_file_read(place->pgdata, &control, &reason))
		return control_check(repo, place, &control, err);
	if (!is_real)
		(void) fail(&reason, ERROR_NOT_FOUND, "it has no directory \"global\" of its own");
	return has_marker ? true : fail_unproven(place, &reason, err);
}

/* A restore of this cluster was interrupted here, of whichever backup. */
static bool interrupted_take(struct place *place, const json_t *found, struct error *err)
{
	if (!marker_is_of_cluster(found, place->marker)) {
		(void) fail(err, ERROR_USAGE, "\"%s\" holds an interrupted restore of another cluster", place->pgdata);
		return fail_refused(err);
	}
	place->was_interrupted = true;
	place->is_included_resumed = place->included_to[0] != '\0' &&
				     marker_agrees(found, place->marker, "included_to") &&
				     marker_agrees(found, place->marker, "label");
	for (int i = 0; i < place->tablespace_count; i++)
		place->tablespaces[i].is_ours = marker_has_tablespace(found, place->tablespaces[i].target);
	return true;
}

/* A tablespace's directory that the data directory itself leads to. */
static bool tablespace_take(const struct place *place, struct place_tablespace *tablespace, struct error *err)
{
	char name[32], path[PATH_MAX], resolved[PATH_MAX];

	(void) snprintf(name, sizeof(name), "pg_tblspc/%" PRIu32, tablespace->oid);
	TRY(path_join(path, place->pgdata, name, err));
	if (realpath(path, resolved) != NULL && strcmp(resolved, tablespace->target) == 0)
		tablespace->is_ours = true;
	return true;
}

bool delta_adopt(struct repo *repo, struct place *place, struct error *err)
{
	json_t *found JSON_CLEANUP = NULL;

	if (place_server_pid(place->pgdata) != 0)
		return fail_running(place, err);
	if (!marker_read(place, &found, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	if (found != NULL)
		TRY(interrupted_take(place, found, err));
	TRY(owner_check(repo, place, found != NULL, err));
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(tablespace_take(place, &place->tablespaces[i], err));
	place->is_delta = true;
	return marker_set_delta(place, err);
}

/* ------------------------------------------------------------------------------------------------- taking over */

bool delta_open_trial(const struct place *place, char *directory, struct error *err)
{
	TRY(path_join(directory, place->pgdata, TRIAL_DIRECTORY, err));
	return fs_make_directories(place->pgdata, TRIAL_DIRECTORY "/pg_wal", err);
}

bool delta_close_trial(const char *directory, struct error *err)
{
	return sweep_directory(directory, err);
}

static bool control_sync(const struct place *place, struct error *err)
{
	char global[PATH_MAX];

	TRY(path_join(global, place->pgdata, "global", err));
	return fs_sync_file(global, err);
}

/* A server makes its postmaster.pid before it reads the control file (PostmasterMain): who started in this moment is
 * seen now, and who starts later finds no control file. */
static bool control_disable(const struct place *place, struct error *err)
{
	char path[PATH_MAX], aside[PATH_MAX];
	bool exists;

	TRY(path_join(path, place->pgdata, CONTROL_FILE_NAME, err));
	TRY(path_join(aside, place->pgdata, CONTROL_FILE_ASIDE, err));
	TRY(fs_exists(path, &exists, err));
	if (!exists)
		return true;
	TRY(fs_rename(path, aside, err));
	if (place_server_pid(place->pgdata) != 0)
		return fs_rename(aside, path, err) && fail_running(place, err);
	return control_sync(place, err);
}

static bool path_collect(void *context, const struct manifest_entry *entry, struct error *err)
{
	struct path_list *wanted = context;

	if (entry->root != MANIFEST_DATA || (entry->type == MANIFEST_FILE && !lay_down_writes(entry)))
		return true;
	return path_list_add(wanted, entry->path, entry->type == MANIFEST_DIRECTORY, err);
}

bool delta_begin(struct repo *repo, const struct backup *backup, const struct place *place, bool *is_changed,
		 struct error *err)
{
	struct path_list wanted PATH_LIST_CLEANUP;

	path_list_init(&wanted);
	TRY(manifest_each(repo, backup, path_collect, &wanted, err));
	TRY(path_list_sort(&wanted, err));
	TRY(control_disable(place, err));
	*is_changed = true;
	if (chmod(place->pgdata, 0700) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", place->pgdata);
	TRY(sweep(place, &wanted, err));
	TRY(fs_make_directories(place->pgdata, "pg_tblspc", err));
	TRY(fs_make_directories(place->pgdata, "pg_wal", err));
	return tablespaces_link(place, err);
}
