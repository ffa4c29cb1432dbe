/* When to ask a server again: waits that double, with a random part, until a deadline. Knows no errors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct retry {
	int64_t deadline_ms; /* of base/clock.h */
	int attempts;	     /* begun so far */
};

struct retry retry_begin(int64_t retry_for_ms);
/* Waits before the next attempt, at least `at_least_ms` (what the server asked for; 0 when it did not).
 * False, at once, when that would be behind the deadline. */
bool retry_wait(struct retry *retry, int64_t at_least_ms);
