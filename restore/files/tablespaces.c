#include "files/tablespaces.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "files/directory.h"

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
			TRY(directory_resolve(target, tablespace->target, &tablespace->existing_length, err));
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
			TRY(directory_resolve(tablespace->source, tablespace->target, &tablespace->existing_length,
					      err));
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

static bool tablespace_check(const struct place *place, int index, struct error *err)
{
	const struct place_tablespace *tablespace = &place->tablespaces[index];

	if (directory_contains(place->pgdata, tablespace->target))
		return fail(err, ERROR_USAGE, "the tablespace directory \"%s\" is inside of the data directory",
			    tablespace->target);
	if (directory_contains(tablespace->target, place->pgdata))
		return fail(err, ERROR_USAGE, "the data directory is inside of the tablespace directory \"%s\"",
			    tablespace->target);
	for (int i = 0; i < index; i++) {
		if (place->tablespaces[i].is_linked &&
		    (directory_contains(tablespace->target, place->tablespaces[i].target) ||
		     directory_contains(place->tablespaces[i].target, tablespace->target)))
			return fail(err, ERROR_USAGE, "two tablespaces would share the directory \"%s\"",
				    tablespace->target);
	}
	return true;
}

bool tablespaces_plan(const struct backup *backup, const struct options *options, struct place *place,
		      struct error *err)
{
	TRY(tablespaces_take(backup, place, err));
	TRY(tablespaces_map(options, place, err));
	return tablespaces_resolve(place, err);
}

/* All that are in use are named at once: each needs a -T. */
bool tablespaces_check(const struct place *place, struct error *err)
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
		if (is_empty || place->is_resumed || place->tablespaces[i].is_ours)
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
	if (errno != EEXIST || !(place->is_resumed || place->is_delta))
		return fail_errno(err, "could not create the link \"%s\"", path);
	ssize_t length = readlink(path, found, sizeof(found));
	if (length >= 0 && (size_t) length == strlen(tablespace->target) &&
	    memcmp(found, tablespace->target, (size_t) length) == 0)
		return true;
	return fail(err, ERROR_USAGE, "\"%s\" does not lead to \"%s\"", path, tablespace->target);
}

bool tablespaces_link(const struct place *place, struct error *err)
{
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(tablespace_link(place, &place->tablespaces[i], err));
	return true;
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

void tablespaces_abandon(const struct place *place)
{
	for (int i = 0; i < place->tablespace_count; i++)
		tablespace_abandon(place, &place->tablespaces[i]);
}
