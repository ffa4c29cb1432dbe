/* Which objects go: those of backups that go, those that earlier runs or broken-off backups have left, and WAL with its
 * index that nothing needs. The catalog's own entries are not among them: expire_remove.h takes those first.
 */
#pragma once

#include "expire.h"

bool expire_going_plan(struct expire *expire, struct error *err) MUST_CHECK;
/* Does any backup go? */
bool expire_backups_go(const struct expire *expire);
