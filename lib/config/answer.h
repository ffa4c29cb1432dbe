/* How a program prints an answer as JSON. */
#pragma once

#include "base/json.h"

/* One document and a line break, to stdout. */
bool answer_print(const json_t *json, struct error *err) MUST_CHECK;
