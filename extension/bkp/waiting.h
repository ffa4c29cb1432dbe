/* What waits to be archived: the *.ready files of pg_wal/archive_status (pgarch.c of PostgreSQL). */
#pragma once

#include "postgres.h"

struct waiting {
	int64 count;
	int64 oldest_age_us; /* since the first of those that are left became ready; 0 when there is none */
};

struct waiting waiting_count(void);
