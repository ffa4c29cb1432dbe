/* --include: files of the host that a restore would miss (such as /etc/postgresql/15/main), taken as they are.
 * Links stay links; nothing is followed out of the tree.
 */
#pragma once

#include "intake.h"

/* `path` is a file, a directory or a link. What cannot be read is an error: whoever asked for it will miss it.
 * Sockets, pipes and devices are left out with a warning. */
bool include_path(struct intake *intake, const char *path, struct error *err) MUST_CHECK;
