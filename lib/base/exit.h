/* How a program starts and ends: signals as we need them, and an exit status that answers the caller's question. */
#pragma once

#include "base/error.h"

/* To be called first in every main(). The archiver hands down SIGPIPE, SIGALRM and others as ignored and may hand
 * down SIGTERM blocked: SIGPIPE stays ignored (a closed connection is an error code to us), SIGTERM, SIGINT and
 * SIGALRM kill again. Core dumps are off, so that no secret reaches a disk. umask is 077. */
void process_init(void);

/* Logs *err and returns the status for `audience`: return exit_with(&err, FOR_PROGRAM); from main. */
int exit_with(const struct error *err, enum error_audience audience);

/* Flushes and closes stdout; what was printed there is an answer, and an answer that did not arrive is a failure. */
bool stdout_finish(struct error *err) MUST_CHECK;
