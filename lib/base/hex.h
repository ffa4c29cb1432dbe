/* Bytes as hexadecimal text, and back. */
#pragma once

#include "base/buf.h"

/* Lower-case hexadecimal with a terminating zero: `text` holds 2 * bytes.size + 1. */
void hex_format(struct bytes bytes, char *text);
/* Exactly `size` bytes from exactly 2 * size hexadecimal digits; false when it is anything else. */
bool hex_parse(const char *text, uint8_t *bytes, size_t size);
