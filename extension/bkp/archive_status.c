/* bkp_archive_status(): does archiving keep up, and what did it last fail of? */
#include "postgres.h"

#include "pgstat.h"
#include "utils/timestamp.h"

#include "document.h"
#include "mirror.h"
#include "raise.h"
#include "repo/archive_failure.h"
#include "rows.h"
#include "waiting.h"

PG_FUNCTION_INFO_V1(bkp_archive_status);

#define FAILURE_TEXT_SIZE 4096

/* Archived since, or before the server began to count: then it is over, or it cannot be told. */
static bool is_over(TimestampTz failed, const PgStat_ArchiverStats *counted)
{
	return failed <= counted->last_archived_timestamp || failed < counted->stat_reset_timestamp;
}

/* Nothing is raised in here: what Jansson has allocated is released. */
static bool failure_decode(struct bytes text, struct archive_failure *failure, TimestampTz *failed, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;

	TRY(local_document_decode(&LOCAL_ARCHIVE_FAILURE, text, LOCAL_ARCHIVE_FAILURE.name, &json, err));
	TRY(mirror_get_time(json, "time_us", failed, err));
	return archive_failure_decode(json, failure, err);
}

static bool failure_read(struct archive_failure *failure, TimestampTz *failed, struct error *err)
{
	struct bytes text;

	TRY(document_read_file(LOCAL_ARCHIVE_FAILURE.name, LOCAL_DOCUMENT_SIZE_MAX, &text, err));
	return failure_decode(text, failure, failed, err);
}

/* In pitr-archive's own words, where it has left them. */
static bool failure_told(const PgStat_ArchiverStats *counted, char text[FAILURE_TEXT_SIZE])
{
	struct archive_failure failure;
	TimestampTz failed;
	struct error err = {0};

	if (!failure_read(&failure, &failed, &err)) {
		if (err.kind != ERROR_NOT_FOUND)
			raise_warning(&err);
		return false;
	}
	if (is_over(failed, counted))
		return false;
	(void) snprintf(text, FAILURE_TEXT_SIZE, "%s%s%s%s%s", failure.file, failure.file[0] != '\0' ? ": " : "",
			failure.text, failure.hint[0] != '\0' ? "\nhint: " : "", failure.hint);
	return true;
}

/* What the server has counted: another archive_command, or one that could not even be started. */
static bool failure_counted(const PgStat_ArchiverStats *counted, char text[FAILURE_TEXT_SIZE])
{
	if (counted->failed_count == 0 || counted->last_failed_timestamp <= counted->last_archived_timestamp)
		return false;
	(void) snprintf(text, FAILURE_TEXT_SIZE,
			"%s: archiving failed at %s, " INT64_FORMAT " times in all; the server's log says why",
			counted->last_failed_wal, timestamptz_to_str(counted->last_failed_timestamp),
			counted->failed_count);
	return true;
}

Datum bkp_archive_status(PG_FUNCTION_ARGS)
{
	struct waiting waiting = waiting_count();
	const PgStat_ArchiverStats *counted = pgstat_fetch_stat_archiver();
	struct row row = {.count = 0};
	char failure[FAILURE_TEXT_SIZE];

	row_bigint(&row, waiting.count);
	row_text(&row, counted->last_archived_wal[0] != '\0' ? counted->last_archived_wal : NULL);
	row_time(&row, counted->last_archived_timestamp);
	row_interval(&row, waiting.oldest_age_us);
	if (failure_told(counted, failure) || failure_counted(counted, failure))
		row_text(&row, failure);
	else
		row_null(&row);
	rows_begin(fcinfo);
	row_put(fcinfo, &row);
	return (Datum) 0;
}
