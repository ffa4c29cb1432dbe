/* How pitr-catalog prints: JSON documents, and sizes as people read them. */
#pragma once

#include "base/json.h"

#define PRINT_SIZE_SIZE 24

void print_size(uint64_t size_bytes, char text[PRINT_SIZE_SIZE]); /* "12 kB", as pg_size_pretty() */
bool print_json(const json_t *json, struct error *err) MUST_CHECK;
