#include "storage/retry.h"

#include "base/clock.h"
#include "base/random.h"

#define WAIT_FIRST_MS 100
#define WAIT_MAX_MS   20000

struct retry retry_begin(int64_t retry_for_ms)
{
	return (struct retry){deadline_in(retry_for_ms), 1};
}

bool retry_wait(struct retry *retry, int64_t at_least_ms)
{
	int doublings = retry->attempts < 9 ? retry->attempts - 1 : 8;
	int64_t wait_ms = (int64_t) WAIT_FIRST_MS << doublings;

	if (wait_ms > WAIT_MAX_MS)
		wait_ms = WAIT_MAX_MS;
	/* Half of it is random, so that those who failed together do not come back together. */
	wait_ms = wait_ms / 2 + random_below((uint32_t) wait_ms / 2 + 1);
	if (wait_ms < at_least_ms)
		wait_ms = at_least_ms + random_below(100);
	if (wait_ms >= deadline_left_ms(retry->deadline_ms))
		return false;
	clock_sleep_ms(wait_ms);
	retry->attempts++;
	return true;
}
