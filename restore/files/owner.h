/* Who the restored files belong to. PostgreSQL refuses to be run by root, and to use a data directory of another user:
 * a restore that root starts becomes the owner of the (existing) data directory before it opens anything else.
 */
#pragma once

#include "base/error.h"

/* Nothing for anybody but root. USAGE when the directory does not say who that owner is. */
bool owner_become(const char *pgdata, struct error *err) MUST_CHECK;
