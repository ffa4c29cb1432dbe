#include "files/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

/* One directory that is being swept. */
struct sweeping {
	const struct place *place;
	const struct path_list *wanted;
	const char *path;     /* of the directory */
	const char *relative; /* to the data directory, as in manifests; "": the data directory itself */
	bool is_tablespace;   /* the directory of one itself, where others may keep things */
};

static bool directory_sweep(const struct sweeping *sweeping, struct error *err);

static bool tree_remove_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, context, name, err));
	return is_directory ? sweep_directory(path, err) : fs_remove(path, err);
}

/* What its owner may not do in it, is made possible. */
static bool directory_unlock(const char *path, struct error *err)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		return fail_errno(err, "could not stat \"%s\"", path);
	if (S_ISDIR(status.st_mode) && (status.st_mode & S_IRWXU) != S_IRWXU &&
	    chmod(path, (status.st_mode & 07777) | S_IRWXU) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", path);
	return true;
}

bool sweep_directory(const char *path, struct error *err)
{
	char copy[PATH_MAX];

	TRY(path_join(copy, path, "", err));
	TRY(directory_unlock(path, err));
	TRY(fs_each(copy, tree_remove_visit, copy, err));
	return rmdir(path) == 0 ? true : fail_errno(err, "could not remove the directory \"%s\"", path);
}

/* The linked tablespace that `relative` is the place of; NULL: of none. */
static const struct place_tablespace *tablespace_at(const struct place *place, const char *relative)
{
	char link[32];

	for (int i = 0; i < place->tablespace_count; i++) {
		(void) snprintf(link, sizeof(link), "pg_tblspc/%" PRIu32, place->tablespaces[i].oid);
		if (place->tablespaces[i].is_linked && strcmp(relative, link) == 0)
			return &place->tablespaces[i];
	}
	return NULL;
}

static bool link_sweep(const struct sweeping *sweeping, const char *path, const char *relative, struct error *err)
{
	const struct place_tablespace *tablespace = tablespace_at(sweeping->place, relative);
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0)
		return fail_errno(err, "could not read the link \"%s\"", path);
	target[length] = '\0';
	if (tablespace != NULL && strcmp(target, tablespace->target) == 0)
		return true;
	TRY(fs_remove(path, err));
	log_warning("\"%s\" led to \"%s\", which is left as it is and no longer used", path, target);
	return true;
}

static bool file_sweep(const struct sweeping *sweeping, const char *path, const char *relative, struct error *err)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		return fail_errno(err, "could not stat \"%s\"", path);
	if (S_ISLNK(status.st_mode))
		return link_sweep(sweeping, path, relative, err);
	/* A second name may be a snapshot's, or the cluster's that pg_upgrade --link left: not to be written through.
	 */
	if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || !path_list_has_file(sweeping->wanted, relative))
		return fs_remove(path, err);
	if ((status.st_mode & (S_IRUSR | S_IWUSR)) != (S_IRUSR | S_IWUSR) &&
	    chmod(path, (status.st_mode & 07777) | S_IRUSR | S_IWUSR) != 0)
		return fail_errno(err, "could not set the mode of \"%s\"", path);
	return true;
}

static bool name_sweep(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct sweeping *sweeping = context;
	char path[PATH_MAX], relative[PATH_MAX];
	bool is_root = sweeping->relative[0] == '\0';

	TRY(path_join(path, sweeping->path, name, err));
	if (is_root)
		(void) snprintf(relative, sizeof(relative), "%s", name);
	else
		TRY(path_join(relative, sweeping->relative, name, err));
	if (is_root && strcmp(name, PLACE_MARKER) == 0)
		return true;
	if (sweeping->is_tablespace && !path_list_has_directory(sweeping->wanted, relative))
		return true;
	if (!is_directory)
		return file_sweep(sweeping, path, relative, err);
	if (tablespace_at(sweeping->place, relative) != NULL || !path_list_has_directory(sweeping->wanted, relative))
		return sweep_directory(path, err);

	struct sweeping below = *sweeping;
	below.path = path;
	below.relative = relative;
	below.is_tablespace = false;
	return directory_sweep(&below, err);
}

static bool directory_sweep(const struct sweeping *sweeping, struct error *err)
{
	TRY(directory_unlock(sweeping->path, err));
	return fs_each(sweeping->path, name_sweep, (void *) (uintptr_t) sweeping, err);
}

static bool tablespace_sweep(const struct place *place, const struct place_tablespace *tablespace,
			     const struct path_list *wanted, struct error *err)
{
	char relative[32];
	struct sweeping sweeping = {.place = place,
				    .wanted = wanted,
				    .path = tablespace->target,
				    .relative = relative,
				    .is_tablespace = true};

	bool exists;

	(void) snprintf(relative, sizeof(relative), "pg_tblspc/%" PRIu32, tablespace->oid);
	TRY(fs_exists(tablespace->target, &exists, err));
	return exists ? directory_sweep(&sweeping, err) : true;
}

bool sweep(const struct place *place, const struct path_list *wanted, struct error *err)
{
	struct sweeping sweeping = {.place = place, .wanted = wanted, .path = place->pgdata, .relative = ""};

	TRY(directory_sweep(&sweeping, err));
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(tablespace_sweep(place, &place->tablespaces[i], wanted, err));
	return true;
}
