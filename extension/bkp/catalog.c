/* bkp_catalog(): every base backup there is. */
#include "mirror_cache.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(bkp_catalog);

Datum bkp_catalog(PG_FUNCTION_ARGS)
{
	const struct mirror *mirror = mirror_read();

	rows_begin(fcinfo);
	for (int i = 0; i < mirror->backup_count; i++) {
		const struct mirror_backup *backup = &mirror->backups[i];
		struct row row = {.count = 0};

		row_text(&row, backup->label);
		row_text(&row, backup->kind);
		row_text(&row, backup->status);
		row_time(&row, backup->started);
		row_time(&row, backup->finished);
		row_lsn(&row, backup->start_lsn);
		row_lsn(&row, backup->stop_lsn);
		row_int(&row, backup->start_timeline);
		row_int(&row, backup->server_version);
		row_bigint(&row, backup->database_bytes);
		row_bigint(&row, backup->stored_bytes);
		row_text(&row, mirror->repository);
		row_time(&row, backup->is_pinned ? backup->pinned_until : 0);
		row_text(&row, backup->note[0] != '\0' ? backup->note : NULL);
		row_time(&row, backup->is_verified ? backup->verified : 0);
		row_put(fcinfo, &row);
	}
	return (Datum) 0;
}
