/* How long the restore of a plan will take: repo/prediction.h. */
#pragma once

#include "plan/plan.h"
#include "repo/prediction.h"

/* Of WAL, as a server replays it: from the start of the backup to where the plan stops. */
uint64_t prediction_replay_bytes(const struct reach *reach);
void prediction_read(struct repo *repo, const struct plan *plan, struct prediction *prediction);
