/* pitr-prefetch: fetches the segments behind the one that the server was just given, into the spool, from where
 * restore_command hands them over. A process of its own, at most one for a data directory.
 *
 * It only ever saves time. It decides nothing: what it cannot have, the server is given, or refused, by pitr-fetch,
 * which looks for itself. It ends when the server is gone or has opened, the settings or the directory are not what
 * they were, nothing has been taken for as long as a record is believed, or everything that there is has been taken;
 * and leaves nothing behind.
 */
#pragma once

#include "config/options.h"

/* With pitr-fetch's options and arguments; begins behind WAL-NAME. Its threads still run when it returns, whatever it
 * returns: the process is to be ended at once. */
bool prefetch(const struct options *options, struct error *err) MUST_CHECK;
