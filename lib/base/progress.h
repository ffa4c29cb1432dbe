/* How far a long work has come, on stderr: bytes, rate, time left. On a terminal from two seconds on, rewriting one
 * line; elsewhere only when asked for, as a line now and then. May be used from several threads.
 */
#pragma once

#include <pthread.h>

#include <stdint.h>

#include "base/error.h"

struct progress {
	pthread_mutex_t lock;
	const char *what; /* "laying down" */
	bool is_terminal, is_shown, has_line;
	uint64_t done, total; /* total 0: not known */
	int64_t started_ms, next_ms;
};

void progress_init(struct progress *progress, const char *what, uint64_t total, bool wanted);
void progress_add(struct progress *progress, uint64_t size);
/* Is it time to say something? Then progress_say() says it instead of the bytes: for work that is not measured so. */
bool progress_is_due(const struct progress *progress);
void progress_say(struct progress *progress, const char *text);
void progress_finish(struct progress *progress); /* ends the line */
