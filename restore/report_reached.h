/* How it is said what a started server reached: as lines for people, as JSON for programs. */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "recovery/verdict.h"

bool report_reached(const struct launch *launch, const struct reached *reached, const struct verdict *verdict,
		    FILE *stream, struct error *err) MUST_CHECK;
bool report_reached_encode(const struct launch *launch, const struct reached *reached, const struct verdict *verdict,
			   json_t *json, struct error *err) MUST_CHECK;
