#include "rows.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "common/string.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

void rows_begin(FunctionCallInfo fcinfo)
{
	InitMaterializedSRF(fcinfo, 0);
}

static void row_add(struct row *row, Datum value, bool is_null)
{
	if (row->count >= ROW_COLUMNS_MAX)
		elog(ERROR, "a row has more than %d columns", ROW_COLUMNS_MAX);
	row->values[row->count] = value;
	row->nulls[row->count++] = is_null;
}

/* pg_any_to_server() raises an ERROR for one character that the encoding lacks, and the whole answer would be lost for
 * a note in another language. */
static const char *text_to_server(const char *text)
{
	int encoding = GetDatabaseEncoding(), left = (int) strlen(text);
	StringInfoData converted;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || pg_is_ascii(text))
		return text;
	Oid conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	char *part = palloc((Size) left * MAX_CONVERSION_GROWTH + 1);
	initStringInfo(&converted);
	while (left > 0) {
		int taken = !OidIsValid(conversion)
				    ? 0
				    : pg_do_encoding_conversion_buf(
					      conversion, PG_UTF8, encoding, (unsigned char *) text, left,
					      (unsigned char *) part, left * MAX_CONVERSION_GROWTH + 1, true);
		if (taken > 0) {
			appendStringInfoString(&converted, part);
		} else {
			taken = Min(pg_encoding_mblen(PG_UTF8, text), left);
			appendStringInfoChar(&converted, taken == 1 ? *text : '?');
		}
		text += taken;
		left -= taken;
	}
	return converted.data;
}

void row_server_text(struct row *row, const char *text)
{
	row_add(row, CStringGetTextDatum(text), false);
}

void row_text(struct row *row, const char *text)
{
	if (text == NULL)
		row_null(row);
	else
		row_server_text(row, text_to_server(text));
}

void row_time(struct row *row, TimestampTz time)
{
	row_add(row, TimestampTzGetDatum(time), time == 0);
}

void row_lsn(struct row *row, XLogRecPtr lsn)
{
	row_add(row, LSNGetDatum(lsn), lsn == InvalidXLogRecPtr);
}

void row_int(struct row *row, int32 value)
{
	row_add(row, Int32GetDatum(value), false);
}

void row_bigint(struct row *row, int64 value)
{
	row_add(row, Int64GetDatum(value), false);
}

void row_float(struct row *row, double value)
{
	row_add(row, Float8GetDatum(value), false);
}

void row_bool(struct row *row, bool value)
{
	row_add(row, BoolGetDatum(value), false);
}

void row_xid(struct row *row, TransactionId xid)
{
	row_add(row, TransactionIdGetDatum(xid), xid == InvalidTransactionId);
}

/* In hours and less, as the difference of two times is before justify_hours(). */
void row_interval(struct row *row, int64 duration_us)
{
	Interval *interval = palloc0(sizeof(*interval));

	interval->time = duration_us;
	row_add(row, IntervalPGetDatum(interval), false);
}

void row_null(struct row *row)
{
	row_add(row, (Datum) 0, true);
}

void row_put(FunctionCallInfo fcinfo, struct row *row)
{
	const ReturnSetInfo *result = (const ReturnSetInfo *) fcinfo->resultinfo;

	if (row->count != result->setDesc->natts)
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the library of the extension \"bkp\" is of another version than its functions"),
			errhint("Run ALTER EXTENSION bkp UPDATE."));
	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
}
