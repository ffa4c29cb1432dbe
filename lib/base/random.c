#include "base/random.h"

#include <limits.h>
#include <openssl/rand.h>

bool random_bytes(uint8_t *output, size_t size, struct error *err)
{
	if (size > INT_MAX || RAND_bytes(output, (int) size) != 1)
		return fail(err, ERROR_SYSTEM, "could not obtain %zu random bytes", size);
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
