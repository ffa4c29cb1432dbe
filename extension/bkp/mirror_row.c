/* bkp_mirror(): of what, by whom and when the other functions' answers were written. */
#include "mirror_cache.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(bkp_mirror);

Datum bkp_mirror(PG_FUNCTION_ARGS)
{
	const struct mirror *mirror = mirror_read_quietly();
	struct row row = {.count = 0};

	row_text(&row, mirror->repository);
	row_text(&row, mirror->cluster);
	row_text(&row, mirror->branch);
	row_time(&row, mirror->written);
	row_interval(&row, mirror_age_us(mirror));
	row_text(&row, mirror->written_by);
	row_int(&row, mirror->backup_count);
	row_int(&row, mirror->window_count);
	row_bool(&row, mirror_is_stale(mirror));
	rows_begin(fcinfo);
	row_put(fcinfo, &row);
	return (Datum) 0;
}
