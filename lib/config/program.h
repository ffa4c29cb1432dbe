/* The beginning and the end of every program, and where the others are that belong to it.
 *
 * bin/ holds what people and PostgreSQL run. What PostgreSQL runs for every segment is a front there, which answers at
 * once what it can and links no library for that; the whole program has the same name in libexec/pitr/ beside bin/.
 */
#pragma once

#include <limits.h>

#include "config/options.h"

/* What the program does, with its options read. Returns its exit status; reports its failures with exit_with(). */
typedef int (*program_run)(const struct options *options);

/* All of a main(): signals, messages, options, --help and --version, `run`, and stdout flushed. `audience` is who gets
 * the exit status when the options cannot be read, or stdout cannot be written. */
int program_main(enum program program, enum error_audience audience, int argc, char **argv, program_run run);
/* The same for a program that wants to know that its options cannot be read, before that is reported. Of the options
 * there is what had been read until then. */
typedef void (*program_refused)(const struct options *options, const struct error *why);
int program_main_or(enum program program, enum error_audience audience, int argc, char **argv, program_run run,
		    program_refused refused);

/* The full path of a program of ours: PROGRAM_BIN as people run it, PROGRAM_WHOLE as the fronts do. SYSTEM when it is
 * not there. */
enum program_place { PROGRAM_BIN, PROGRAM_WHOLE };
bool program_path(enum program_place place, const char *name, char path[PATH_MAX], struct error *err) MUST_CHECK;

/* Goes on as the whole program, with the same arguments and environment. Returns only when it could not. */
bool program_become_whole(const struct options *options, struct error *err) MUST_CHECK;
