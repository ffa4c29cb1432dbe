/* The directories of the tablespaces of a backup: where -T and the backup put them, whether they are free, and the
 * links to them.
 */
#pragma once

#include "files/place.h"

/* Where each is to be. USAGE when a -T fits none. Reads only. */
bool tablespaces_plan(const struct backup *backup, const struct options *options, struct place *place,
		      struct error *err) MUST_CHECK;
/* USAGE, naming them, when directories are in use, unless they are the place's own. */
bool tablespaces_check(const struct place *place, struct error *err) MUST_CHECK;
/* Makes the directories and the links below pg_tblspc; durable. A link that is there already must be the right one. */
bool tablespaces_link(const struct place *place, struct error *err) MUST_CHECK;
/* Takes back what tablespaces_link() made. */
void tablespaces_abandon(const struct place *place);
