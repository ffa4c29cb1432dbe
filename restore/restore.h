/* The walk of a restore: target, plan, place, files, settings, and last the file that makes it startable. */
#pragma once

#include "config/options.h"

bool restore_run(const struct options *options, struct error *err) MUST_CHECK;
