#include "files/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "files/delta.h"
#include "files/directory.h"
#include "files/in_place.h"
#include "files/marker.h"
#include "files/tablespaces.h"
#include "pg/control_file.h"
#include "pg/postmaster.h"

void place_release(struct place *place)
{
	free(place->tablespaces);
	json_cleanup(&place->marker);
	place->tablespaces = NULL;
}

/* What cannot be read says that there is none: there is no server without its postmaster.pid. */
int place_server_pid(const char *pgdata)
{
	struct postmaster postmaster;
	struct error ignored;

	return postmaster_read(pgdata, &postmaster, &ignored) ? (int) postmaster.pid : 0;
}

static bool fail_in_use(const struct place *place, struct error *err)
{
	int pid = place_server_pid(place->pgdata);
	bool is_data_directory = false;
	struct error ignored;
	char path[PATH_MAX];

	if (path_join(path, place->pgdata, "PG_VERSION", &ignored))
		(void) !fs_exists(path, &is_data_directory, &ignored);
	if (pid != 0)
		(void) fail(err, ERROR_USAGE, "a server is running in \"%s\" (process %d)", place->pgdata, pid);
	else
		(void) fail(err, ERROR_USAGE, "the directory \"%s\" is not empty", place->pgdata);
	if (!is_data_directory)
		return fail_hint(err, "Restore into an empty directory: -D DIR. Nothing was changed.");
	return fail_hint(err,
			 "Restore into an empty directory: -D DIR. Or%s restore in its place: --in-place keeps the "
			 "directory, renamed; --delta changes it, fetching only what differs. Nothing was changed.",
			 pid != 0 ? " stop the server and" : "");
}

/* Nothing is left to do: that must be what is asked for. */
static bool place_check_finished(const struct place *place, const json_t *found, struct error *err)
{
	bool is_same_target = marker_agrees(found, place->marker, "settings");

	if (is_same_target && (place->included_to[0] == '\0' || place->is_included_resumed))
		return true;
	(void) fail(err, ERROR_USAGE, "\"%s\" holds a complete restore %s", place->pgdata,
		    is_same_target ? "with another --included-to" : "to another target");
	return fail_hint(err, "Remove \"%s\" from it to use it, or empty the directory to restore again.",
			 PLACE_MARKER);
}

/* The directory is not empty: it must hold an interrupted restore of this very backup. */
static bool place_resume(struct place *place, struct error *err)
{
	char path[PATH_MAX];
	json_t *found JSON_CLEANUP = NULL;
	const char *label;

	if (!marker_read(place, &found, err))
		return err->kind == ERROR_NOT_FOUND ? fail_in_use(place, err) : false;
	if (place_server_pid(place->pgdata) != 0)
		return fail_in_use(place, err);
	TRY(json_get_text(found, "label", &label, err));
	if (marker_is_delta(found))
		return fail(err, ERROR_USAGE, "\"%s\" holds an interrupted restore with --delta", place->pgdata) ||
		       fail_hint(err, "Go on with --delta, or empty the directory first.");
	if (!marker_is_of_cluster(found, place->marker) || !marker_agrees(found, place->marker, "label") ||
	    !marker_agrees(found, place->marker, "tablespaces"))
		return fail(err, ERROR_USAGE,
			    "\"%s\" holds an interrupted restore of the backup \"%s\" with other settings",
			    place->pgdata, label) ||
		       fail_hint(err, "Resume it with --backup=%s and the same -T, or empty the directory first.",
				 label);

	TRY(path_join(path, place->pgdata, CONTROL_FILE_NAME, err));
	TRY(fs_exists(path, &place->is_finished, err));
	place->is_included_resumed =
		place->included_to[0] != '\0' && marker_agrees(found, place->marker, "included_to");
	place->is_resumed = true;
	return place->is_finished ? place_check_finished(place, found, err) : true;
}

static bool included_check(const struct place *place, struct error *err)
{
	bool exists, is_empty;

	if (place->included_to[0] == '\0')
		return true;
	for (int i = -1; i < place->tablespace_count; i++) {
		const char *other = i < 0 ? place->pgdata : place->tablespaces[i].target;

		if ((i < 0 || place->tablespaces[i].is_linked) &&
		    (directory_contains(other, place->included_to) || directory_contains(place->included_to, other)))
			return fail(err, ERROR_USAGE,
				    "--included-to: the directory \"%s\" would share files with \"%s\"",
				    place->included_to, other);
	}
	if (!directory_look(place->included_to, &exists, &is_empty, err))
		return fail_in(err, "--included-to");
	if (is_empty || place->is_included_resumed)
		return true;
	return fail(err, ERROR_USAGE, "--included-to: the directory \"%s\" is not empty", place->included_to);
}

static bool parent_of(const char *path, char parent[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t length = slash == path ? 1 : (size_t) (slash - path);

	memcpy(parent, path, length);
	parent[length] = '\0';
	return true;
}

static bool place_check_room(const struct place *place, const struct backup *backup, struct error *err)
{
	struct statvfs room;
	char parent[PATH_MAX];

	(void) parent_of(place->pgdata, parent);
	if (statvfs(place->exists ? place->pgdata : parent, &room) != 0)
		return errno == ENOENT && !place->exists
			       ? fail(err, ERROR_USAGE, "the directory \"%s\" does not exist", parent)
			       : fail_errno(err, "could not tell how much room there is in \"%s\"", parent);
	uint64_t free_size = (uint64_t) room.f_bavail * room.f_frsize;
	/* Tablespaces may be elsewhere, and what an interrupted restore or --delta finds is there already. */
	if (backup->tablespace_count > 0 || place->is_resumed || place->is_delta || free_size >= backup->database_bytes)
		return true;
	return fail(err, ERROR_USAGE, "\"%s\" has room for %" PRIu64 " MB, the backup needs %" PRIu64 " MB",
		    place->pgdata, free_size / MiB, backup->database_bytes / MiB + 1);
}

bool place_plan(struct repo *repo, const struct backup *backup, const struct options *options, const char *settings,
		struct place *place, struct error *err)
{
	size_t existing_length;
	bool is_empty;

	TRY(directory_resolve(options->pgdata, place->pgdata, &existing_length, err));
	if (options->included_to != NULL &&
	    !directory_resolve(options->included_to, place->included_to, &place->included_existing_length, err))
		return fail_in(err, "--included-to");
	TRY(tablespaces_plan(backup, options, place, err));
	in_place_adopt_tablespaces(options, place);
	TRY(marker_make(repo, backup, settings, place, err));
	TRY(directory_look(place->pgdata, &place->exists, &is_empty, err));
	if (!is_empty)
		TRY(options->delta ? delta_adopt(repo, place, err) : place_resume(place, err));
	TRY(tablespaces_check(place, err));
	TRY(included_check(place, err));
	return place_check_room(place, backup, err);
}

static bool sweep_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	char path[PATH_MAX];

	if (is_directory || !fs_name_is_temporary(name))
		return true;
	TRY(path_join(path, context, name, err));
	return fs_remove(path, err);
}

/* Takes away the temporary files of the restore that is resumed. */
static bool place_sweep(const struct place *place, struct error *err)
{
	char pgdata[PATH_MAX], global[PATH_MAX];

	TRY(path_join(pgdata, place->pgdata, "", err));
	TRY(path_join(global, place->pgdata, "global", err));
	TRY(fs_each(pgdata, sweep_visit, pgdata, err));
	return fs_each(global, sweep_visit, global, err) || err->kind == ERROR_NOT_FOUND;
}

bool place_create(const struct place *place, struct error *err)
{
	if (place->is_resumed)
		TRY(place_sweep(place, err));

	TRY(directory_make(place->pgdata, err));
	if (!place->is_delta && chmod(place->pgdata, 0700) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", place->pgdata);
	TRY(marker_write(place, err));
	if (place->included_to[0] != '\0')
		TRY(directory_make(place->included_to, err));
	if (place->is_delta) /* the rest when it is no longer a server's: delta_begin() */
		return true;
	TRY(fs_make_directories(place->pgdata, "pg_wal", err));
	TRY(fs_make_directories(place->pgdata, "pg_tblspc", err));
	return tablespaces_link(place, err);
}

void place_abandon(const struct place *place)
{
	char path[PATH_MAX];
	struct error ignored;

	if (place->is_resumed || place->was_interrupted)
		return;
	if (place->included_to[0] != '\0')
		directory_abandon(place->included_to, place->included_existing_length);
	if (!place->is_delta) {
		tablespaces_abandon(place);
		if (path_join(path, place->pgdata, "pg_tblspc", &ignored))
			(void) rmdir(path);
		if (path_join(path, place->pgdata, "pg_wal", &ignored))
			(void) rmdir(path);
	}
	(void) !marker_remove(place, &ignored);
	if (!place->exists)
		(void) rmdir(place->pgdata);
}

bool place_finish(const struct place *place, struct error *err)
{
	return marker_remove(place, err);
}
