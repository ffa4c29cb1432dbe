/* How a run ended that nobody watched: the fact that a program leaves when it failed, or when it did what leaves no
 * other trace, so that pitr-check on another day, or another host, knows. A record, never a condition: what cannot be
 * written is not written, and the run ends as it would have.
 */
#pragma once

#include "config/options.h"

/* How long the facts about runs stay. pitr-check counts those of 30 days; the parts of a cycle of pitr-verify are put
 * together as long as they are there. What pitr-expire remembers of its own last run stays until the next one. */
#define RUNS_KEPT_US (INT64_C(60) * 86400 * 1000000)

/* `why` NULL: it ended well. Opens the repository itself, and does not try for long: that may be what was out of reach.
 * Writes nothing where a person has to correct the command first. What keeps it from writing is told at the level
 * "debug". */
void run_record(const struct options *options, const struct error *why);
