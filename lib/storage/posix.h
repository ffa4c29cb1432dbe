/* Objects as files below one directory; what it promises stands in storage.h, and it needs a file system that can
 * publish a file without replacing another (fs_publish says so when it cannot).
 *
 * A file is written below <root>/tmp/ and gets its name when it is whole and synced; what a killed process leaves
 * behind lies there and is never listed. The root is made by create() alone: a root that is missing or empty is a
 * file system that is not mounted, so it is UNREACHABLE and never NOT_FOUND. Knows no time limits: a hanging NFS
 * server hangs the caller, as it does every program.
 */
#pragma once

#include "storage/storage.h"

/* `root` is an absolute path; it is copied. `limit_rate` is that of struct storage_settings. */
bool posix_open(const char *root, int64_t limit_rate, struct storage **storage, struct error *err) MUST_CHECK;
