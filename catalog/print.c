#include "print.h"

#include <inttypes.h>
#include <stdio.h>

void print_size(uint64_t size_bytes, char text[PRINT_SIZE_SIZE])
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
	size_t unit = 0;

	while (size_bytes >= 10240 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		size_bytes = (size_bytes + 512) / 1024;
		unit++;
	}
	(void) snprintf(text, PRINT_SIZE_SIZE, "%" PRIu64 " %s", size_bytes, units[unit]);
}
