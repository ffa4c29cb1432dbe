#include "files/in_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "files/directory.h"
#include "repo/server_drain.h"

#define RECORD_SUFFIX	".in-place"
#define RECORD_SIZE_MAX (16 * MiB)
#define MOVES_MAX	(4 * TABLESPACES_MAX)

void in_place_close(struct in_place *in_place)
{
	free(in_place->tablespaces);
	in_place->tablespaces = NULL;
}

static bool path_copy(char target[PATH_MAX], const char *source, const char *suffix, struct error *err)
{
	if ((size_t) snprintf(target, PATH_MAX, "%s%s", source, suffix) < PATH_MAX)
		return true;
	return fail(err, ERROR_USAGE, "the path \"%.200s…\" is too long", source);
}

static bool move_add(struct in_place *in_place, const char *path, const char *aside, struct error *err)
{
	size_t count = (size_t) in_place->tablespace_count;
	struct in_place_move *moves =
		count < MOVES_MAX ? realloc(in_place->tablespaces, (count + 1) * sizeof(*moves)) : NULL;

	if (moves == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory for the tablespaces");
	in_place->tablespaces = moves;
	in_place->tablespace_count++;
	return path_copy(moves[count].path, path, "", err) && path_copy(moves[count].aside, aside, "", err);
}

/* ------------------------------------------------------------------------------------------------- tablespaces */

struct looking {
	struct in_place *in_place;
	const char *directory; /* of a tablespace; or pg_tblspc */
	const char *suffix;
};

/* "PG_15_202209061": of this server's version; others belong to other servers (pg_upgrade leaves two). */
static bool version_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct looking *looking = context;
	char path[PATH_MAX], aside[PATH_MAX], version[24];

	(void) snprintf(version, sizeof(version), "_%" PRIu32, looking->in_place->control.catalog_version);
	size_t length = strlen(name), tail = strlen(version);
	if (!is_directory || strncmp(name, "PG_", 3) != 0 || length <= tail ||
	    strcmp(name + length - tail, version) != 0)
		return true;
	TRY(path_join(path, looking->directory, name, err));
	TRY(path_copy(aside, path, looking->suffix, err));
	return move_add(looking->in_place, path, aside, err);
}

static bool tablespace_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct looking *looking = context;
	char link[PATH_MAX], directory[PATH_MAX];
	struct stat status;

	(void) is_directory;
	TRY(path_join(link, looking->directory, name, err));
	/* One that was made in place, below pg_tblspc, is a part of the data directory. */
	if (lstat(link, &status) != 0 || !S_ISLNK(status.st_mode))
		return true;
	if (realpath(link, directory) == NULL) {
		log_warning("the tablespace \"%s\" leads to what is not there", link);
		return true;
	}
	struct looking inside = {.in_place = looking->in_place, .directory = directory, .suffix = looking->suffix};
	return fs_each(directory, version_visit, &inside, err);
}

static bool tablespaces_find(struct in_place *in_place, const char *suffix, struct error *err)
{
	char directory[PATH_MAX];
	struct looking looking = {.in_place = in_place, .directory = directory, .suffix = suffix};

	TRY(path_join(directory, in_place->old, "pg_tblspc", err));
	return fs_each(directory, tablespace_visit, &looking, err);
}

/* Each is renamed once: one whose new name is there was renamed before, and what has its old name by now is new. */
static bool tablespaces_move(const struct in_place *in_place, struct error *err)
{
	for (int i = 0; i < in_place->tablespace_count; i++) {
		const struct in_place_move *move = &in_place->tablespaces[i];
		bool is_done;

		TRY(fs_exists(move->aside, &is_done, err));
		if (is_done)
			continue;
		TRY(fs_rename(move->path, move->aside, err));
		TRY(fs_sync_parent(move->aside, err));
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------------ record */

static bool record_write(const struct in_place *in_place, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *array = json_array();
	BUF(text, RECORD_SIZE_MAX);

	TRY(json_put(json, "aside", json_string(in_place->aside), err));
	TRY(json_put(json, "tablespaces", array, err));
	for (int i = 0; i < in_place->tablespace_count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "path", json_string(in_place->tablespaces[i].path), err));
		TRY(json_put(member, "aside", json_string(in_place->tablespaces[i].aside), err));
	}
	TRY(json_encode(json, &text, err));
	return fs_replace_file(in_place->record, 0600, buf_bytes(&text), err);
}

static bool record_decode(struct in_place *in_place, const json_t *json, struct error *err)
{
	json_t *array, *member;
	const char *path, *aside;
	size_t index;

	TRY(json_copy_text(json, "aside", in_place->aside, sizeof(in_place->aside), err));
	TRY(json_get_array(json, "tablespaces", &array, err));
	json_array_foreach(array, index, member)
	{
		TRY(json_get_text(member, "path", &path, err));
		TRY(json_get_text(member, "aside", &aside, err));
		TRY(move_add(in_place, path, aside, err));
	}
	return true;
}

/* *found is false, too, when the old directory is still in its place. */
static bool record_read(struct in_place *in_place, bool *found, struct error *err)
{
	char control[PATH_MAX];
	json_t *json JSON_CLEANUP = NULL;
	BUF(text, RECORD_SIZE_MAX);

	*found = false;
	if (!fs_read_file(in_place->record, &text, err))
		return err->kind == ERROR_NOT_FOUND;
	if (!json_decode(buf_bytes(&text), in_place->record, &json, err) || !record_decode(in_place, json, err))
		return fail_in(err, "\"%s\"", in_place->record);
	TRY(path_join(control, in_place->aside, CONTROL_FILE_NAME, err));
	TRY(fs_exists(control, found, err));
	if (!*found)
		in_place->tablespace_count = 0;
	return true;
}

/* -------------------------------------------------------------------------------------------------------- open */

static bool marker_exists(const struct in_place *in_place, bool *exists, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, in_place->pgdata, PLACE_MARKER, err));
	return fs_exists(path, exists, err);
}

static bool fail_nothing(const struct in_place *in_place, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "there is no data directory in \"%s\" whose place could be taken",
		    in_place->pgdata);
	return fail_hint(err, "Leave --in-place out to restore into an empty directory.");
}

static bool pgdata_resolve(const struct options *options, struct in_place *in_place, struct error *err)
{
	size_t existing_length;

	if (options->pgdata == NULL)
		return fail(err, ERROR_USAGE, "no data directory is given") ||
		       fail_hint(err, "Give -D DIR, or set pgdata in the configuration file.");
	TRY(directory_resolve(options->pgdata, in_place->pgdata, &existing_length, err));
	return path_copy(in_place->record, in_place->pgdata, RECORD_SUFFIX, err);
}

bool in_place_open(const struct options *options, struct in_place *in_place, struct error *err)
{
	bool has_marker, exists, is_empty;

	*in_place = (struct in_place){.is_resumed = false};
	if (options->delta)
		return fail(err, ERROR_USAGE, "--in-place and --delta exclude each other") ||
		       fail_hint(err, "--delta changes the directory itself; --in-place keeps it, renamed.");
	TRY(pgdata_resolve(options, in_place, err));
	TRY(record_read(in_place, &in_place->is_resumed, err));
	if (in_place->is_resumed) {
		in_place->has_old = true;
		TRY(path_copy(in_place->old, in_place->aside, "", err));
		return control_file_read(in_place->old, &in_place->control, err);
	}
	TRY(marker_exists(in_place, &has_marker, err));
	if (has_marker) { /* all but the last step is done, or it never was a restore in place */
		in_place->is_resumed = true;
		return true;
	}
	TRY(directory_look(in_place->pgdata, &exists, &is_empty, err));
	if (is_empty)
		return fail_nothing(in_place, err);
	in_place->has_old = true;
	TRY(path_copy(in_place->old, in_place->pgdata, "", err));
	return server_stopped_check(in_place->pgdata, &in_place->control, err);
}

/* -------------------------------------------------------------------------------------------------------- take */

static bool fail_parent(const struct in_place *in_place, struct error *err)
{
	return fail_hint(
		err,
		"The directory above \"%.300s\" must be writable for this user, and the data directory may not be "
		"a mount point. Nothing was changed.",
		in_place->pgdata);
}

/* What an attempt left that was interrupted before the exchange. */
static bool leftovers_remove(const struct in_place *in_place, struct error *err)
{
	if (in_place->aside[0] != '\0' && rmdir(in_place->aside) != 0 && errno != ENOENT)
		return fail_errno(err, "could not remove \"%s\"", in_place->aside);
	return fs_remove(in_place->record, err) || err->kind == ERROR_NOT_FOUND;
}

static bool names_choose(struct in_place *in_place, struct error *err)
{
	char stamp[CLOCK_TEXT_SIZE], suffix[CLOCK_TEXT_SIZE + 16];

	time_format_basic(clock_now_us(), stamp);
	(void) snprintf(suffix, sizeof(suffix), ".before-%s", stamp);
	TRY(path_copy(in_place->aside, in_place->pgdata, suffix, err));
	return tablespaces_find(in_place, suffix, err);
}

/* Where a file system cannot exchange two names: two renames, and for a moment nothing has the old name. */
static bool place_clear(const struct in_place *in_place, struct error *err)
{
	if (fs_exchange(in_place->aside, in_place->pgdata, err))
		return true;
	if (err->kind != ERROR_USAGE)
		return false;
	if (rmdir(in_place->aside) != 0)
		return fail_errno(err, "could not remove \"%s\"", in_place->aside);
	TRY(fs_rename(in_place->pgdata, in_place->aside, err));
	TRY(fs_sync_parent(in_place->aside, err));
	return directory_make(in_place->pgdata, err);
}

static bool old_move(struct in_place *in_place, struct error *err)
{
	if (!leftovers_remove(in_place, err) || !names_choose(in_place, err))
		return false;
	if (!record_write(in_place, err))
		return fail_parent(in_place, err);
	if (mkdir(in_place->aside, 0700) != 0)
		return fail_errno(err, "could not create the directory \"%s\"", in_place->aside) ||
		       fail_parent(in_place, err);
	if (!fs_sync_parent(in_place->aside, err) || !place_clear(in_place, err)) {
		struct error ignored;

		(void) !leftovers_remove(in_place, &ignored);
		return fail_parent(in_place, err);
	}
	return path_copy(in_place->old, in_place->aside, "", err);
}

static void links_warn(const struct in_place *in_place)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct error ignored;
	struct stat status;

	if (path_join(path, in_place->old, "pg_wal", &ignored) && lstat(path, &status) == 0 &&
	    S_ISLNK(status.st_mode) && realpath(path, target) != NULL)
		log_warning("pg_wal of the old directory is a link to \"%s\", which stays as it is; that of the "
			    "restored one "
			    "is an ordinary directory",
			    target);
}

static bool leftover_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct in_place *in_place = context;
	size_t length = strlen(name);
	char path[PATH_MAX];

	if (is_directory || strncmp(name, PLACE_MARKER ".", sizeof(PLACE_MARKER)) != 0 || length < 4 ||
	    strcmp(name + length - 4, ".tmp") != 0)
		return true;
	TRY(path_join(path, in_place->pgdata, name, err));
	return fs_remove(path, err);
}

/* A marker that was not finished makes the directory look used. */
static bool place_sweep_marker(struct in_place *in_place, struct error *err)
{
	return fs_each(in_place->pgdata, leftover_visit, in_place, err) || err->kind == ERROR_NOT_FOUND;
}

bool in_place_take(struct in_place *in_place, struct error *err)
{
	bool was_resumed = in_place->is_resumed;

	if (!in_place->has_old)
		return true;
	TRY(was_resumed ? place_sweep_marker(in_place, err) : old_move(in_place, err));
	in_place->is_resumed = true;
	TRY(tablespaces_move(in_place, err));
	log_info("the directory as it was is now \"%s\"%s", in_place->aside,
		 in_place->tablespace_count > 0 ? ", and in its tablespaces, too, the old files were renamed" : "");
	if (!was_resumed)
		links_warn(in_place);
	return true;
}

void in_place_undo(struct in_place *in_place)
{
	bool exists, is_empty;
	struct error err;

	if (!in_place->has_old || !directory_look(in_place->pgdata, &exists, &is_empty, &err) || !is_empty)
		return;
	for (int i = 0; i < in_place->tablespace_count; i++) {
		struct in_place_move *move = &in_place->tablespaces[i];

		if (!fs_exists(move->path, &exists, &err) || exists || !fs_rename(move->aside, move->path, &err))
			return;
	}
	if (!directory_make(in_place->pgdata, &err) || !place_clear(in_place, &err))
		return;
	(void) !leftovers_remove(in_place, &err);
	log_info("\"%s\" is as it was", in_place->pgdata);
}

bool in_place_finish(const struct in_place *in_place, struct error *err)
{
	char path[PATH_MAX];
	bool has_settings;

	if (!in_place->has_old)
		return true;
	TRY(fs_remove(in_place->record, err) || err->kind == ERROR_NOT_FOUND);
	TRY(path_join(path, in_place->aside, "postgresql.conf", err));
	TRY(fs_exists(path, &has_settings, err)); /* on Debian they are elsewhere, and untouched */
	if (has_settings)
		log_info("postgresql.conf, pg_hba.conf and the like are those of the backup; the ones that were used "
			 "last are in \"%s\"",
			 in_place->aside);
	return fs_sync_parent(in_place->record, err);
}

/* ------------------------------------------------------------------------------------------- for other checks */

static bool is_parent(const char *directory, const char *path)
{
	size_t length = strlen(directory);

	return strncmp(directory, path, length) == 0 && path[length] == '/' && strchr(path + length + 1, '/') == NULL;
}

bool in_place_has_tablespace(const struct options *options, const char *directory)
{
	struct in_place in_place IN_PLACE_CLEANUP = {.is_resumed = false};
	struct error ignored;
	char resolved[PATH_MAX];

	if (!options->in_place || realpath(directory, resolved) == NULL ||
	    !in_place_open(options, &in_place, &ignored) || !in_place.has_old)
		return false;
	if (!in_place.is_resumed && !tablespaces_find(&in_place, "", &ignored))
		return false;
	for (int i = 0; i < in_place.tablespace_count; i++)
		if (is_parent(resolved, in_place.tablespaces[i].path))
			return true;
	return false;
}

void in_place_adopt_tablespaces(const struct options *options, struct place *place)
{
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked && in_place_has_tablespace(options, place->tablespaces[i].target))
			place->tablespaces[i].is_ours = true;
}
