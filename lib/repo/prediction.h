/* How long a restore will take: from how long earlier ones took, or from a guess that is called one. Pure, but for
 * prediction_of().
 */
#pragma once

#include "repo/measurement.h"

#define PREDICTION_MEASUREMENTS_MAX 5

struct prediction {
	int download_count, replay_count;    /* of measurements that the rates come from; 0: a guess */
	uint64_t download_rate, replay_rate; /* bytes a second: of the stored base backup, and of WAL */
	int64_t download_s, replay_s;
};

/* For `download_bytes` of a base backup and `replay_bytes` of WAL. The median counts: one slow disk is no rule. */
void prediction_make(const struct measurement *measurements, int count, uint64_t download_bytes, uint64_t replay_bytes,
		     struct prediction *prediction);
/* From what the repository knows; nothing that goes wrong is worth more than a line in the log. */
void prediction_of(struct repo *repo, uint64_t download_bytes, uint64_t replay_bytes, struct prediction *prediction);
