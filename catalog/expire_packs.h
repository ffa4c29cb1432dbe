/* What the manifests of backups that stay refer to: whether it is there, without which a backup is not good, and which
 * packs of other backups have to stay with it. Read once for each, and only when something would go.
 */
#pragma once

#include "expire.h"

/* Reads the manifests of those backups that stay whose manifests have not been read yet; *has_read: of some, so that
 * the plan has to be made again. CORRUPT when one cannot be read, since it may refer to packs of a backup that goes. */
bool expire_packs_read(struct expire *expire, bool *has_read, struct error *err) MUST_CHECK;
/* Does a backup that stays refer to the pack of another one? */
bool expire_packs_refer(const struct expire *expire, const char *key);
