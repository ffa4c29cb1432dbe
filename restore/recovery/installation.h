/* Where the programs of a server of one major version are on this machine. */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "base/error.h"

/* The directory of a `postgres` of the major version of `server_version` (150020): `wanted` (--pg-bin) and nothing
 * else, or, where that is NULL, the first of the usual places, of pg_config and of the PATH. Each is asked what it is.
 * USAGE, naming what was looked at, when there is none. */
bool installation_find(const char *wanted, int64_t server_version, char directory[PATH_MAX],
		       struct error *err) MUST_CHECK;
