/* pitr-archive --drain: what a stopped server has not archived, for somebody who is about to lose the machine, restore
 * over it, or hand its place to a standby.
 */
#pragma once

#include "base/error.h"
#include "config/options.h"

/* Prints what it did. True only when all WAL of the server is in the repository. */
bool drain_run(const struct options *options, struct error *err) MUST_CHECK;
