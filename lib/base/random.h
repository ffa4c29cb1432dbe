/* Random bytes from the kernel's generator (getrandom(2)); a failure is an error, never weak bytes. */
#pragma once

#include "base/buf.h"

bool random_bytes(uint8_t *output, size_t size, struct error *err) MUST_CHECK;
/* An independent stream for jitter: not for secrets. Uniform in [0, bound). */
uint32_t random_below(uint32_t bound);
