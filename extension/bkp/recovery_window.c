/* bkp_recovery_window(): from when to when can be restored. */
#include "mirror_cache.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(bkp_recovery_window);

/* Rows say nothing of branches, so they are of what pitr-restore chooses from by itself: a copy of the server that went
 * on on its own must not be taken for this one. */
Datum bkp_recovery_window(PG_FUNCTION_ARGS)
{
	const struct mirror *mirror = mirror_read();

	rows_begin(fcinfo);
	for (int i = 0; i < mirror->window_count; i++) {
		const struct mirror_window *window = &mirror->windows[i];
		struct row row = {.count = 0};

		if (!window->is_proposed)
			continue;
		row_int(&row, window->timeline);
		row_time(&row, window->earliest);
		row_time(&row, window->latest);
		row_lsn(&row, window->earliest_lsn);
		row_lsn(&row, window->latest_lsn);
		row_int(&row, window->gaps);
		row_put(fcinfo, &row);
	}
	return (Datum) 0;
}
