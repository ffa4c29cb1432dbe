/* The file that says, in a data directory, that a restore is under way there, and of what. */
#pragma once

#include "files/place.h"

#define MARKER_SIZE_MAX (4 * MiB)

/* Makes place->marker, what the file will say. */
bool marker_make(const struct repo *repo, const struct backup *backup, const char *settings, struct place *place,
		 struct error *err) MUST_CHECK;
/* From now on a restore onto what was there, which only such a one can go on with. */
bool marker_set_delta(struct place *place, struct error *err) MUST_CHECK;
bool marker_is_delta(const json_t *found);
bool marker_write(const struct place *place, struct error *err) MUST_CHECK;
bool marker_remove(const struct place *place, struct error *err) MUST_CHECK; /* NOT_FOUND when there is none */

/* What the file says that is there; NOT_FOUND when there is none. */
bool marker_read(const struct place *place, json_t **found, struct error *err) MUST_CHECK;
/* Of the same repository and cluster? */
bool marker_is_of_cluster(const json_t *found, const json_t *wanted);
/* Does this member say the same? */
bool marker_agrees(const json_t *found, const json_t *wanted, const char *key);
/* Was the directory `target` one of the tablespaces' of that restore? */
bool marker_has_tablespace(const json_t *found, const char *target);
