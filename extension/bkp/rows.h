/* Rows of a set-returning function, written value by value in the order of its columns. */
#pragma once

#include "postgres.h"

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "fmgr.h"

#define ROW_COLUMNS_MAX 16

struct row {
	int count;
	Datum values[ROW_COLUMNS_MAX];
	bool nulls[ROW_COLUMNS_MAX];
};

void rows_begin(FunctionCallInfo fcinfo);
/* UTF-8, turned into the database's encoding, with '?' for what that has no character for; NULL: null */
void row_text(struct row *row, const char *text);
void row_server_text(struct row *row, const char *text); /* in the database's encoding */
void row_time(struct row *row, TimestampTz time);	 /* 0, the year 2000: null, as PostgreSQL has it for "never" */
void row_lsn(struct row *row, XLogRecPtr lsn);		 /* 0: null */
void row_int(struct row *row, int32 value);
void row_bigint(struct row *row, int64 value);
void row_float(struct row *row, double value);
void row_bool(struct row *row, bool value);
void row_xid(struct row *row, TransactionId xid); /* 0: null */
void row_interval(struct row *row, int64 duration_us);
void row_null(struct row *row);
/* Adds the row to the function's answer; an ERROR when it has not as many values as the function has columns. */
void row_put(FunctionCallInfo fcinfo, struct row *row);
