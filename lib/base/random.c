#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

bool random_bytes(uint8_t *output, size_t size, struct error *err)
{
	while (size > 0) {
		ssize_t filled = getrandom(output, size, 0);

		if (filled < 0 && errno != EINTR)
			return fail_errno(err, "could not obtain %zu random bytes", size);
		if (filled > 0) {
			output += filled;
			size -= (size_t) filled;
		}
	}
	return true;
}

uint32_t random_below(uint32_t bound)
{
	struct error ignored = {0};
	uint8_t bytes[8];

	if (bound == 0 || !random_bytes(bytes, sizeof(bytes), &ignored))
		return 0;
	return (uint32_t) (load_u64(bytes) % bound);
}
