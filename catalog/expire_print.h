/* The plan, or what came of it, for people and as JSON. */
#pragma once

#include "expire.h"

bool expire_print(const struct expire *expire, struct error *err) MUST_CHECK;
