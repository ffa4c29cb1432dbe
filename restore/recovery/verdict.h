/* Is what a server reached what the plan had said? Pure. */
#pragma once

#include "recovery/follow.h"

#define VERDICT_DIFFERENCES_MAX 8
#define VERDICT_TEXT_SIZE	600

struct verdict {
	int count; /* 0: as planned */
	char differences[VERDICT_DIFFERENCES_MAX][VERDICT_TEXT_SIZE];
};

void verdict_find(const struct plan *plan, const struct reached *reached, struct verdict *verdict);
