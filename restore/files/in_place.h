/* --in-place: a restore takes the place of the data directory of a stopped server, which is renamed aside, whole.
 *
 * At every moment there is either the old directory in its place, or a new one that cannot be started yet and the old
 * one beside it; a small file beside both ("<directory>.in-place") lets the same command go on. Nothing of the old
 * directory is ever changed but its name, and those of the directories of its version in its tablespaces.
 */
#pragma once

#include "config/options.h"
#include "files/place.h"
#include "pg/control_file.h"

struct in_place_move {
	char path[PATH_MAX], aside[PATH_MAX];
};

struct in_place {
	char pgdata[PATH_MAX];
	char record[PATH_MAX]; /* the small file */
	bool is_resumed; /* a restore that takes the place has begun: the old directory is aside, if it is known where
			  */
	bool has_old;
	char old[PATH_MAX]; /* where the old directory is now */
	char aside[PATH_MAX];
	struct control_file control; /* of the old one */
	int tablespace_count;
	struct in_place_move *tablespaces; /* owned: directories of the server's version in its tablespaces */
};

/* Looks, and writes nothing. USAGE when a server runs there, or when there is nothing whose place could be taken. */
bool in_place_open(const struct options *options, struct in_place *in_place, struct error *err) MUST_CHECK;
void in_place_close(struct in_place *in_place);
#define IN_PLACE_CLEANUP __attribute__((cleanup(in_place_close)))

/* Renames the old directory aside, or goes on doing it. Afterwards the place is an empty directory, or holds the
 * interrupted restore. */
bool in_place_take(struct in_place *in_place, struct error *err) MUST_CHECK;
/* Takes that back when nothing has been laid down yet. */
void in_place_undo(struct in_place *in_place);
/* The restore is complete: the small file goes. */
bool in_place_finish(const struct in_place *in_place, struct error *err) MUST_CHECK;

/* Is that directory the old server's tablespace? Then it is no stranger's. */
bool in_place_has_tablespace(const struct options *options, const char *directory);
/* Lets the place have those directories although what was put aside is in them. */
void in_place_adopt_tablespaces(const struct options *options, struct place *place);
