#include "plan/prediction.h"

uint64_t prediction_replay_bytes(const struct reach *reach)
{
	uint64_t end = reach->stop == STOP_NEVER ? reach->end : reach->lsn;

	return end > reach->backup->start_lsn ? end - reach->backup->start_lsn : 0;
}

void prediction_read(struct repo *repo, const struct plan *plan, struct prediction *prediction)
{
	prediction_of(repo, plan->is_step ? 0 : plan->reach.backup->stored_bytes, prediction_replay_bytes(&plan->reach),
		      prediction);
}
