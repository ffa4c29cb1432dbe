/* The restore_command is run once, as the server will run it, before a restore begins: in the data directory, by a
 * shell, with no more of an environment than a server gets that is started at boot.
 */
#pragma once

#include "base/buf.h"

/* Runs `command` for the WAL file `name`, and takes the file away again. USAGE when it does not bring one of `size`
 * bytes. One that does so only with the whole of this environment is warned about: a server that is started from here
 * has that too. */
bool trial_run(const char *pgdata, const char *command, const char *name, uint64_t size, struct error *err) MUST_CHECK;
