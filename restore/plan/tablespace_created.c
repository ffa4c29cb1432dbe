#include "plan/tablespace_created.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "files/in_place.h"

struct checking {
	const struct reach *reach;
	const struct options *options;
};

/* An LSN that is included stops replay behind the first record that begins at it or behind it (recoveryStopsAfter() of
 * xlogrecovery.c). Everything else stops at a record that creates no tablespace. */
static bool is_replayed(const struct reach *reach, const struct wal_tablespace *created)
{
	if (created->lsn < reach->backup->start_lsn)
		return false;
	if (reach->stop == STOP_NEVER || created->lsn < reach->lsn)
		return true;
	return reach->stop == STOP_LSN && !reach->exclusive &&
	       (created->lsn == reach->lsn || created->previous < reach->lsn);
}

/* Is `path` what stands before the equals sign of an OLDDIR=NEWDIR? In OLDDIR that sign is written "\=". */
static bool mapping_moves(const char *mapping, const char *path)
{
	for (; *mapping != '\0' && *mapping != '=' && *path != '\0'; mapping++, path++) {
		if (mapping[0] == '\\' && mapping[1] == '=')
			mapping++;
		if (*mapping != *path)
			return false;
	}
	while (*mapping == '/')
		mapping++;
	return *mapping == '=' && *path == '\0';
}

static bool is_moved(const struct options *options, const char *path)
{
	for (int i = 0; i < options->tablespace_mapping.count; i++)
		if (mapping_moves(options->tablespace_mapping.items[i], path))
			return true;
	return false;
}

/* Does -T put another tablespace there? */
static bool is_mapped_to(const struct options *options, const char *path)
{
	for (int i = 0; i < options->tablespace_mapping.count; i++) {
		const char *mapping = options->tablespace_mapping.items[i];
		size_t at = strlen(mapping), length = strlen(path);

		while (at > 1 && mapping[at - 1] == '/')
			at--;
		if (at > length && mapping[at - length - 1] == '=' && memcmp(mapping + at - length, path, length) == 0)
			return true;
	}
	return false;
}

static bool is_of_backup(const struct backup *backup, const char *path)
{
	for (int i = 0; i < backup->tablespace_count; i++)
		if (strcmp(backup->tablespaces[i].path, path) == 0)
			return true;
	return false;
}

/* Refuses with the reason, "a directory that …", and the ways that are left. */
static bool fail_created(const struct checking *checking, const struct wal_tablespace *created, const char *reason,
			 const char *first_way, struct error *err)
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(created->lsn, lsn);
	(void) fail(err, ERROR_USAGE, "replay would create tablespace %" PRIu32 " in \"%.800s\" (LSN %s), %s",
		    created->oid, created->path, lsn, reason);
	/* A target before a record inside of the backup is none that this backup reaches. */
	if (created->lsn >= checking->reach->backup->stop_lsn)
		return fail_hint(
			err,
			"%s, or to a target before it: --target-lsn=%s --target-exclusive. -T does not move it: "
			"the WAL names the directory. Nothing was changed.",
			first_way, lsn);
	return fail_hint(
		err,
		"%s, or from a base backup taken since: of that, -T moves it. Here the WAL names the directory, "
		"and -T does not move it. Nothing was changed.",
		first_way);
}

static bool fail_in_use(const struct checking *checking, const struct wal_tablespace *created, const char *reason,
			struct error *err)
{
	return fail_created(checking, created, reason,
			    "Restore on another machine or in a container, where that directory is empty", err);
}

/* A recovery that goes on has created it before: the link is that of the data directory itself. */
static bool is_created(const struct checking *checking, const struct wal_tablespace *created)
{
	char name[32], path[PATH_MAX], found[PATH_MAX];
	struct error ignored;

	(void) snprintf(name, sizeof(name), "pg_tblspc/%" PRIu32, created->oid);
	if (checking->options->step == NULL || !path_join(path, checking->options->pgdata, name, &ignored))
		return false;
	ssize_t length = readlink(path, found, sizeof(found));
	return length >= 0 && (size_t) length == strlen(created->path) &&
	       memcmp(found, created->path, (size_t) length) == 0;
}

/* Replay sets the mode of the directory, which only its owner may. Who plans as root has not become anybody yet. */
static bool directory_check(const struct checking *checking, const struct wal_tablespace *created, struct error *err)
{
	struct stat status;
	struct error ignored;
	bool is_empty;

	if (stat(created->path, &status) != 0 && errno == ENOENT)
		return fail_created(checking, created, "a directory that does not exist",
				    "Create it, empty, for the server's user, and restore", err);
	if (stat(created->path, &status) != 0 || !S_ISDIR(status.st_mode))
		return fail_in_use(checking, created, "which is no directory that can be looked at", err);
	if (!fs_directory_is_empty(created->path, &is_empty, &ignored))
		return fail_in_use(checking, created, "a directory that cannot be looked at", err);
	if (!is_empty && !in_place_has_tablespace(checking->options, created->path))
		return fail_in_use(checking, created, "a directory that is in use on this machine", err);
	if (geteuid() != 0 && status.st_uid != geteuid())
		return fail_created(checking, created, "a directory that belongs to another user",
				    "Make it the server's user's, and restore", err);
	return true;
}

static bool created_check(const struct checking *checking, const struct wal_tablespace *created, struct error *err)
{
	if (!is_replayed(checking->reach, created) || is_created(checking, created))
		return true;
	if (is_of_backup(checking->reach->backup, created->path) && !is_moved(checking->options, created->path))
		return true;
	if (is_mapped_to(checking->options, created->path))
		return fail_created(checking, created, "where -T puts another tablespace", "Give -T another directory",
				    err);
	return directory_check(checking, created, err);
}

static bool event_check(void *context, const struct wal_event *event, struct error *err)
{
	struct wal_tablespace created;

	if (event->kind != WAL_TABLESPACE)
		return true;
	wal_tablespace_take(event, &created);
	return created_check(context, &created, err);
}

bool tablespaces_created_check(struct repo *repo, const struct reach *reach, const struct options *options,
			       struct error *err)
{
	struct checking checking = {.reach = reach, .options = options};
	const struct wal_tablespaces *found = &reach->tablespaces;

	if (!reach->understood)
		log_warning("the WAL is of a version that this program does not know: whether replay would create "
			    "tablespaces on this machine cannot be told");
	for (int i = 0; i < found->count; i++)
		TRY(created_check(&checking, &found->items[i], err));
	if (!found->has_unread)
		return true;
	return wal_range_walk(repo, &reach->range, found->unread_first, found->unread_last, event_check, &checking,
			      NULL, err);
}
