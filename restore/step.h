/* --step: a recovery that is paused (or was shut down) at its target goes on to a later one, without another restore.
 * PostgreSQL cannot move a target that it waits at (manual, section 20.5.5: it is read at start only), so the server is
 * stopped, told another one, and started again. */
#pragma once

#include "config/options.h"

bool step_run(const struct options *options, struct error *err) MUST_CHECK;
