/* The library of the extension "bkp": what pitr has in its repository, and whether archiving keeps up, in SQL. Each
 * function is in the file of its name. None of them asks the repository: they read what the programs leave in the data
 * directory (mirror_cache.h), and what the server itself knows. */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "utils/guc.h"

#include "settings.h"

PG_MODULE_MAGIC;

#define STALE_AFTER_S 3600

int setting_stale_after_s = STALE_AFTER_S;

void _PG_init(void);

void _PG_init(void)
{
	DefineCustomIntVariable("bkp.stale_after", "The age from which on the local mirror of the catalog is old.",
				"Functions that read an older one say so in a warning. 0: never.",
				&setting_stale_after_s, STALE_AFTER_S, 0, INT_MAX, PGC_USERSET, GUC_UNIT_S, NULL, NULL,
				NULL);
	MarkGUCPrefixReserved("bkp");
}
