/* The text of --help, made from the tables. */
#pragma once

#include <stdio.h>

#include "config/option_table.h"

void usage_print(enum program program, FILE *out);
