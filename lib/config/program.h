/* The beginning and the end of every program. */
#pragma once

#include "config/options.h"

/* What the program does, with its options read. Returns its exit status; reports its failures with exit_with(). */
typedef int (*program_run)(const struct options *options);

/* All of a main(): signals, messages, options, --help and --version, `run`, and stdout flushed. `audience` is who gets
 * the exit status when the options cannot be read, or stdout cannot be written. */
int program_main(enum program program, enum error_audience audience, int argc, char **argv, program_run run);
