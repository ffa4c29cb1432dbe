/* Takes from an old data directory, and from the directories of its tablespaces, what a backup does not have, so that
 * nothing of another time is left between what is laid down. Links are removed and never followed; what a link led to
 * stays as it is. Beside the directories of PostgreSQL's files, a tablespace's directory is not ours: the rest of it
 * stays too.
 */
#pragma once

#include "files/path_list.h"
#include "files/place.h"

/* Only the marker is kept beside what `wanted` lists. Of that, there are only ordinary files and directories
 * afterwards, which their owner can read and write, and no file has a second name elsewhere. `wanted` is sorted. */
bool sweep(const struct place *place, const struct path_list *wanted, struct error *err) MUST_CHECK;
/* Removes a directory with all that is in it. */
bool sweep_directory(const char *path, struct error *err) MUST_CHECK;
