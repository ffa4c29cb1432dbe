#include "pg/crc32c.h"

/* PostgreSQL's headers define MIN, MAX and the like on their own; this file sees nothing else. */
#include "postgres_fe.h"

#include "port/pg_crc32c.h"

uint32_t crc32c_add(uint32_t crc, struct bytes bytes)
{
	return COMP_CRC32C(crc, bytes.data, bytes.size);
}
