/* A segment that was fetched ahead of the server goes from the spool to where the server wants it.
 *
 * Links no library: this is most of what restore_command does during a recovery.
 */
#pragma once

#include "config/options.h"

/* Has the file been put at `destination`, whole and proven unchanged since it was authenticated? One that is just being
 * fetched ahead is waited for, as long as somebody is alive who does that, at most for `wait_ms`. False for whatever
 * cannot be found out: the whole program sees to it then. */
bool hand_over(const struct options *options, const char *name, const char *destination, int64_t wait_ms);
