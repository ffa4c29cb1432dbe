/* How pitr-catalog prints sizes: as people read them. */
#pragma once

#include <stdint.h>

#define PRINT_SIZE_SIZE 24

void print_size(uint64_t size_bytes, char text[PRINT_SIZE_SIZE]); /* "12 kB", as pg_size_pretty() */
