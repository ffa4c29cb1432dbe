#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "pg/control_file.h"

#define MARKER_SIZE_MAX (4 * MiB)

void place_release(struct place *place)
{
	free(place->tablespaces);
	json_cleanup(&place->marker);
	place->tablespaces = NULL;
}

/* Absolute, and without slashes at the end. */
static bool path_make_absolute(const char *path, char absolute[PATH_MAX], struct error *err)
{
	char here[PATH_MAX];

	if (*path == '/') {
		TRY(path_join(absolute, "/", path + strspn(path, "/"), err));
	} else {
		if (getcwd(here, sizeof(here)) == NULL)
			return fail_errno(err, "could not tell the working directory");
		TRY(path_join(absolute, here, path, err));
	}
	for (size_t length = strlen(absolute); length > 1 && absolute[length - 1] == '/'; length--)
		absolute[length - 1] = '\0';
	return true;
}

/* Appends a part of a path that is not there yet. */
static bool path_append(char path[PATH_MAX], const char *rest, struct error *err)
{
	char component[NAME_MAX + 1], joined[PATH_MAX];

	for (size_t size; *(rest += strspn(rest, "/")) != '\0'; rest += size) {
		size = strcspn(rest, "/");
		if (size > NAME_MAX)
			return fail(err, ERROR_USAGE, "a part of the path \"%.300s\" is too long", rest);
		memcpy(component, rest, size);
		component[size] = '\0';
		if (strcmp(component, ".") == 0)
			continue;
		if (strcmp(component, "..") == 0)
			return fail(err, ERROR_USAGE, "a directory above \"..\" in the path does not exist: \"%.300s\"",
				    path);
		TRY(path_join(joined, path, component, err));
		memcpy(path, joined, strlen(joined) + 1);
	}
	return true;
}

/* Absolute, without slashes at the end; what is there of it is resolved, so that one directory has one name, were it
 * reached by a link or not. */
static bool path_resolve(const char *path, char resolved[PATH_MAX], size_t *existing_length, struct error *err)
{
	char absolute[PATH_MAX], above[PATH_MAX];
	struct stat status;

	TRY(path_make_absolute(path, absolute, err));
	size_t length = strlen(absolute);
	memcpy(above, absolute, length + 1);
	while (realpath(above, resolved) == NULL) {
		if (errno != ENOENT || length <= 1)
			return fail_errno(err, "could not resolve \"%s\"", path);
		if (lstat(above, &status) == 0)
			return fail(err, ERROR_USAGE, "the link \"%s\" leads to what is not there", above);
		while (length > 1 && above[length - 1] != '/')
			length--;
		while (length > 1 && above[length - 1] == '/')
			length--;
		above[length] = '\0';
	}
	*existing_length = strlen(resolved);
	return path_append(resolved, absolute + length, err);
}

/* Is there a directory, and is anything in it? */
static bool directory_look(const char *path, bool *exists, bool *is_empty, struct error *err)
{
	struct stat status;

	*is_empty = true;
	*exists = stat(path, &status) == 0;
	if (!*exists)
		return errno == ENOENT ? true : fail_errno(err, "could not stat \"%s\"", path);
	if (!S_ISDIR(status.st_mode))
		return fail(err, ERROR_USAGE, "\"%s\" is not a directory", path);
	return fs_directory_is_empty(path, is_empty, err);
}

/* The process of a running server from the first line of its postmaster.pid; 0: none. */
static int server_pid(const char *pgdata)
{
	char path[PATH_MAX];
	struct error ignored;
	const char *text;
	BUF(content, 64 * KiB);

	if (!path_join(path, pgdata, "postmaster.pid", &ignored) || !fs_read_file(path, &content, &ignored) ||
	    !buf_text(&content, &text, &ignored))
		return 0;
	long pid = strtol(text, NULL, 10); /* 0 when there is no number */
	return pid > 0 && pid <= INT_MAX && (kill((pid_t) pid, 0) == 0 || errno == EPERM) ? (int) pid : 0;
}

static bool fail_in_use(const struct place *place, struct error *err)
{
	int pid = server_pid(place->pgdata);

	if (pid != 0)
		(void) fail(err, ERROR_USAGE, "a server is running in \"%s\" (process %d)", place->pgdata, pid);
	else
		(void) fail(err, ERROR_USAGE, "the directory \"%s\" is not empty", place->pgdata);
	return fail_hint(err, "Restore into an empty directory: -D DIR. Nothing was changed.");
}

static bool marker_make(const struct repo *repo, const struct backup *backup, const char *settings, struct place *place,
			struct error *err)
{
	char id[2 * sizeof(repo->id) + 1], system[24];
	json_t *array = json_array();

	place->marker = json_object();
	TRY(json_put(place->marker, "tablespaces", array, err));
	for (int i = 0; i < place->tablespace_count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "oid", json_integer(place->tablespaces[i].oid), err));
		TRY(json_put(member, "path", json_string(place->tablespaces[i].target), err));
	}
	hex_format(bytes_of(repo->id, sizeof(repo->id)), id);
	(void) snprintf(system, sizeof(system), "%" PRIu64, repo->layout.system_identifier);
	TRY(json_put(place->marker, "repository", json_string(id), err));
	TRY(json_put(place->marker, "system_identifier", json_string(system), err));
	TRY(json_put(place->marker, "label", json_string(backup->label), err));
	TRY(json_put(place->marker, "included_to", json_string(place->included_to), err));
	return json_put(place->marker, "settings", json_string(settings), err);
}

static bool marker_agrees(const json_t *found, const json_t *wanted, const char *key)
{
	return json_equal(json_object_get(found, key), json_object_get(wanted, key)) == 1;
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
	BUF(text, MARKER_SIZE_MAX);

	TRY(path_join(path, place->pgdata, PLACE_MARKER, err));
	if (!fs_read_file(path, &text, err))
		return err->kind == ERROR_NOT_FOUND ? fail_in_use(place, err) : false;
	if (server_pid(place->pgdata) != 0)
		return fail_in_use(place, err);
	TRY(json_decode(buf_bytes(&text), path, &found, err));
	TRY(json_get_text(found, "label", &label, err));
	if (!marker_agrees(found, place->marker, "repository") ||
	    !marker_agrees(found, place->marker, "system_identifier") ||
	    !marker_agrees(found, place->marker, "label") || !marker_agrees(found, place->marker, "tablespaces"))
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

/* "OLD=NEW"; an equals sign in OLD is written "\=", as pg_basebackup takes it. */
static bool mapping_parse(const char *text, char source[PATH_MAX], const char **target, struct error *err)
{
	size_t size = 0;

	for (; *text != '\0' && *text != '=' && size < PATH_MAX - 1; text++) {
		if (text[0] == '\\' && text[1] == '=')
			text++;
		source[size++] = *text;
	}
	while (size > 1 && source[size - 1] == '/')
		size--;
	source[size] = '\0';
	if (*text != '=' || source[0] != '/' || text[1] != '/')
		return fail(err, ERROR_USAGE, "-T takes OLDDIR=NEWDIR, both absolute") ||
		       fail_hint(err, "An equals sign in OLDDIR is written \\=.");
	*target = text + 1;
	return true;
}

static bool fail_no_tablespace(const struct place *place, const char *source, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "-T: the backup has no tablespace in \"%s\"", source);
	if (place->tablespace_count == 0)
		return fail_hint(err, "It has no tablespaces at all.");
	return fail_hint(err, "It has one in \"%.300s\".", place->tablespaces[0].source);
}

static bool tablespaces_map(const struct options *options, struct place *place, struct error *err)
{
	for (int i = 0; i < options->tablespace_mapping.count; i++) {
		char source[PATH_MAX];
		const char *target = NULL;
		bool found = false;

		TRY(mapping_parse(options->tablespace_mapping.items[i], source, &target, err));
		for (int k = 0; k < place->tablespace_count; k++) {
			struct place_tablespace *tablespace = &place->tablespaces[k];

			if (!tablespace->is_linked || strcmp(tablespace->source, source) != 0)
				continue;
			found = tablespace->is_mapped = true;
			TRY(path_resolve(target, tablespace->target, &tablespace->existing_length, err));
		}
		if (!found)
			return fail_no_tablespace(place, source, err);
	}
	return true;
}

static bool tablespaces_resolve(struct place *place, struct error *err)
{
	for (int i = 0; i < place->tablespace_count; i++) {
		struct place_tablespace *tablespace = &place->tablespaces[i];

		if (tablespace->is_linked && !tablespace->is_mapped)
			TRY(path_resolve(tablespace->source, tablespace->target, &tablespace->existing_length, err));
	}
	return true;
}

static bool tablespaces_take(const struct backup *backup, struct place *place, struct error *err)
{
	place->tablespaces = calloc((size_t) backup->tablespace_count + 1, sizeof(*place->tablespaces));
	if (place->tablespaces == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	place->tablespace_count = backup->tablespace_count;
	for (int i = 0; i < backup->tablespace_count; i++) {
		struct place_tablespace *tablespace = &place->tablespaces[i];

		*tablespace = (struct place_tablespace){.oid = backup->tablespaces[i].oid};
		tablespace->is_linked = backup->tablespaces[i].path[0] == '/';
		memcpy(tablespace->source, backup->tablespaces[i].path, sizeof(tablespace->source));
		(void) snprintf(tablespace->target, sizeof(tablespace->target), "%s", backup->tablespaces[i].path);
	}
	return true;
}

/* Is `path` the directory itself, or below it? */
static bool path_within(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool tablespace_check(const struct place *place, int index, struct error *err)
{
	const struct place_tablespace *tablespace = &place->tablespaces[index];

	if (path_within(tablespace->target, place->pgdata))
		return fail(err, ERROR_USAGE, "the tablespace directory \"%s\" is inside of the data directory",
			    tablespace->target);
	if (path_within(place->pgdata, tablespace->target))
		return fail(err, ERROR_USAGE, "the data directory is inside of the tablespace directory \"%s\"",
			    tablespace->target);
	for (int i = 0; i < index; i++) {
		if (place->tablespaces[i].is_linked && (path_within(place->tablespaces[i].target, tablespace->target) ||
							path_within(tablespace->target, place->tablespaces[i].target)))
			return fail(err, ERROR_USAGE, "two tablespaces would share the directory \"%s\"",
				    tablespace->target);
	}
	return true;
}

/* All that are in use are named at once: each needs a -T. */
static bool tablespaces_check(const struct place *place, struct error *err)
{
	BUF(used, 64 * KiB);
	const char *text;
	const char *first = NULL;

	for (int i = 0; i < place->tablespace_count; i++) {
		bool exists, is_empty;

		if (!place->tablespaces[i].is_linked)
			continue;
		TRY(tablespace_check(place, i, err));
		TRY(directory_look(place->tablespaces[i].target, &exists, &is_empty, err));
		if (is_empty || place->is_resumed)
			continue;
		if (used.size < 600)
			TRY(buf_format(&used, err, "%s\"%s\"", first != NULL ? ", " : "",
				       place->tablespaces[i].target));
		if (first == NULL)
			first = place->tablespaces[i].source;
	}
	if (first == NULL)
		return true;
	TRY(buf_text(&used, &text, err));
	(void) fail(err, ERROR_USAGE, "tablespace directories are in use: %s", text);
	return fail_hint(err, "Put them elsewhere, as in -T '%.200s=NEWDIR'. Nothing was changed.", first);
}

static bool included_check(const struct place *place, struct error *err)
{
	bool exists, is_empty;

	if (place->included_to[0] == '\0')
		return true;
	for (int i = -1; i < place->tablespace_count; i++) {
		const char *other = i < 0 ? place->pgdata : place->tablespaces[i].target;

		if ((i < 0 || place->tablespaces[i].is_linked) &&
		    (path_within(place->included_to, other) || path_within(other, place->included_to)))
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
	/* Tablespaces may be elsewhere, and what an interrupted restore wrote is there already. */
	if (backup->tablespace_count > 0 || place->is_resumed || free_size >= backup->database_bytes)
		return true;
	return fail(err, ERROR_USAGE, "\"%s\" has room for %" PRIu64 " MB, the backup needs %" PRIu64 " MB",
		    place->pgdata, free_size / MiB, backup->database_bytes / MiB + 1);
}

bool place_plan(const struct repo *repo, const struct backup *backup, const struct options *options,
		const char *settings, struct place *place, struct error *err)
{
	size_t existing_length;
	bool is_empty;

	TRY(path_resolve(options->pgdata, place->pgdata, &existing_length, err));
	if (options->included_to != NULL &&
	    !path_resolve(options->included_to, place->included_to, &place->included_existing_length, err))
		return fail_in(err, "--included-to");
	TRY(tablespaces_take(backup, place, err));
	TRY(tablespaces_map(options, place, err));
	TRY(tablespaces_resolve(place, err));
	TRY(marker_make(repo, backup, settings, place, err));
	TRY(directory_look(place->pgdata, &place->exists, &is_empty, err));
	if (!is_empty)
		TRY(place_resume(place, err));
	TRY(tablespaces_check(place, err));
	TRY(included_check(place, err));
	return place_check_room(place, backup, err);
}

/* mkdir -p with mode 0700, each durable in its parent. */
static bool directory_make(const char *path, struct error *err)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? true : fs_make_directories("/", path + 1, err);
}

static bool tablespace_link(const struct place *place, const struct place_tablespace *tablespace, struct error *err)
{
	char name[32], path[PATH_MAX], found[PATH_MAX];

	(void) snprintf(name, sizeof(name), "pg_tblspc/%" PRIu32, tablespace->oid);
	TRY(path_join(path, place->pgdata, name, err));
	TRY(directory_make(tablespace->target, err));
	if (chmod(tablespace->target, 0700) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", tablespace->target);
	if (symlink(tablespace->target, path) == 0)
		return true;
	if (errno != EEXIST || !place->is_resumed)
		return fail_errno(err, "could not create the link \"%s\"", path);
	ssize_t length = readlink(path, found, sizeof(found));
	if (length >= 0 && (size_t) length == strlen(tablespace->target) &&
	    memcmp(found, tablespace->target, (size_t) length) == 0)
		return true;
	return fail(err, ERROR_USAGE, "\"%s\" does not lead to \"%s\"", path, tablespace->target);
}

/* "pg_control.437e3d16f8cf0436.tmp": what fs_replace_file() leaves when it is killed. */
static bool name_is_temporary(const char *name)
{
	size_t length = strlen(name);
	const size_t tail = sizeof(".0123456789abcdef.tmp") - 1;

	if (length <= tail || strcmp(name + length - 4, ".tmp") != 0 || name[length - tail] != '.')
		return false;
	return strspn(name + length - tail + 1, "0123456789abcdef") == 16;
}

static bool sweep_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	char path[PATH_MAX];

	if (is_directory || !name_is_temporary(name))
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
	char path[PATH_MAX];
	BUF(text, MARKER_SIZE_MAX);

	if (place->is_resumed)
		TRY(place_sweep(place, err));

	TRY(directory_make(place->pgdata, err));
	if (chmod(place->pgdata, 0700) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", place->pgdata);
	TRY(json_encode(place->marker, &text, err));
	TRY(path_join(path, place->pgdata, PLACE_MARKER, err));
	TRY(fs_replace_file(path, 0600, buf_bytes(&text), err));
	if (place->included_to[0] != '\0')
		TRY(directory_make(place->included_to, err));
	TRY(fs_make_directories(place->pgdata, "pg_tblspc", err));
	TRY(fs_make_directories(place->pgdata, "pg_wal", err));
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(tablespace_link(place, &place->tablespaces[i], err));
	return true;
}

/* Takes back what directory_make() made: only what is empty. */
static void directory_abandon(const char *directory, size_t existing_length)
{
	char path[PATH_MAX];
	size_t length = strlen(directory);

	memcpy(path, directory, length + 1);
	while (length > existing_length && length > 1 && rmdir(path) == 0) {
		length = (size_t) (strrchr(path, '/') - path);
		path[length] = '\0';
	}
}

static void tablespace_abandon(const struct place *place, const struct place_tablespace *tablespace)
{
	char name[32], path[PATH_MAX];
	struct error ignored;

	if (!tablespace->is_linked)
		return;
	(void) snprintf(name, sizeof(name), "pg_tblspc/%" PRIu32, tablespace->oid);
	if (path_join(path, place->pgdata, name, &ignored))
		(void) !fs_remove(path, &ignored);
	directory_abandon(tablespace->target, tablespace->existing_length);
}

void place_abandon(const struct place *place)
{
	char path[PATH_MAX];
	struct error ignored;

	if (place->is_resumed)
		return;
	for (int i = 0; i < place->tablespace_count; i++)
		tablespace_abandon(place, &place->tablespaces[i]);
	if (place->included_to[0] != '\0')
		directory_abandon(place->included_to, place->included_existing_length);
	if (path_join(path, place->pgdata, "pg_tblspc", &ignored))
		(void) rmdir(path);
	if (path_join(path, place->pgdata, "pg_wal", &ignored))
		(void) rmdir(path);
	if (path_join(path, place->pgdata, PLACE_MARKER, &ignored))
		(void) !fs_remove(path, &ignored);
	if (!place->exists)
		(void) rmdir(place->pgdata);
}

bool place_finish(const struct place *place, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, place->pgdata, PLACE_MARKER, err));
	TRY(fs_remove(path, err));
	return fs_sync_file(place->pgdata, err);
}
