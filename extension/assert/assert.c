#include "postgres.h"

#include <assert.h>

void assertion_failed(const char *expression, const char *file, int line)
{
	ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR),
		errmsg_internal("assertion failed: %s, %s line %d", expression, file, line));
	pg_unreachable();
}
