/* --delta: a data directory of the same cluster becomes the place of a restore. It has to prove whose it is; from then
 * on until the restore is complete no server starts in it; and what the backup does not have is gone before anything is
 * laid down. Which of the files' bytes can stay is decided by lay_down().
 */
#pragma once

#include "files/place.h"

/* The directory of the place is not empty. Sets what the place knows of it. USAGE, saying why, when it is not a stopped
 * data directory of the repository's cluster, nor what an interrupted restore of that cluster left. Reads only. */
bool delta_adopt(struct repo *repo, struct place *place, struct error *err) MUST_CHECK;

/* A directory like an empty data directory, to try things in, which cannot harm a server that is started again after
 * all; it is in the place, and taken away again. `directory` holds PATH_MAX bytes. */
bool delta_open_trial(const struct place *place, char *directory, struct error *err) MUST_CHECK;
bool delta_close_trial(const char *directory, struct error *err) MUST_CHECK;

/* After place_create(): takes the control file away, then what `backup` does not have, and links the tablespaces.
 * The manifest is read and sound before anything is touched; until then *is_changed stays false. */
bool delta_begin(struct repo *repo, const struct backup *backup, const struct place *place, bool *is_changed,
		 struct error *err) MUST_CHECK;
