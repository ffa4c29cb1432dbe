/* bkp_restore_points(): the named points in the archive, of what pitr-restore chooses from by itself. */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "mirror_cache.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(bkp_restore_points);

/* One that is not UTF-8 is taken for what this database's encoding has, if that can be. */
static void row_name(struct row *row, const struct mirror_restore_point *point)
{
	if (point->bytes != point->name && pg_verifymbstr(point->bytes, (int) strlen(point->bytes), true))
		row_server_text(row, point->bytes);
	else
		row_text(row, point->name);
}

Datum bkp_restore_points(PG_FUNCTION_ARGS)
{
	const struct mirror *mirror = mirror_read();

	rows_begin(fcinfo);
	for (int i = 0; i < mirror->restore_point_count; i++) {
		const struct mirror_restore_point *point = &mirror->restore_points[i];
		struct row row = {.count = 0};

		if (!mirror_branch_is_proposed(mirror, point->branch))
			continue;
		row_name(&row, point);
		row_lsn(&row, point->lsn);
		row_time(&row, point->created);
		row_int(&row, point->timeline);
		row_put(fcinfo, &row);
	}
	return (Datum) 0;
}
