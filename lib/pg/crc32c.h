/* CRC-32C as PostgreSQL computes it (pg_crc32c.h), from libpgport. */
#pragma once

#include "base/buf.h"

#define CRC32C_INIT 0xFFFFFFFFu
uint32_t crc32c_add(uint32_t crc, struct bytes bytes);
static inline uint32_t crc32c_final(uint32_t crc)
{
	return crc ^ 0xFFFFFFFFu;
}
