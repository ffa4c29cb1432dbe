/* Takes one base backup: from the server's BASE_BACKUP into packs, manifest and, when its WAL is proven to be in the
 * repository, the fact that makes it a backup. Until then nothing that it leaves behind can be taken for one.
 */
#pragma once

#include "config/options.h"
#include "repo/catalog.h"

/* `backup` is released by the caller, also after a failure. Pages that fail their checksum are no failure: they are
 * named in warnings and counted in backup->checksum_failures. */
bool take_backup(const struct options *options, struct backup *backup, struct error *err) MUST_CHECK;
