/* bkp_create_restore_point(): PostgreSQL's own function, for a name that is not taken yet. */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "mirror_cache.h"
#include "raise.h"

PG_FUNCTION_INFO_V1(bkp_create_restore_point);

static void name_check(const char *name)
{
	if (name[0] == '\0')
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a restore point must have a name"),
			errhint("Name what comes next, such as \"before migration 42\"."));
	if (strlen(name) >= MAXFNAMELEN)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("the name of a restore point has at most %d bytes, and this one has %zu",
			       MAXFNAMELEN - 1, strlen(name)),
			errhint("Give it a shorter one."));
}

/* pitr-restore --target-name does not know which of two is meant. */
static void fail_taken(const struct mirror_restore_point *point, const char *name)
{
	ereport(ERROR, errcode(ERRCODE_DUPLICATE_OBJECT),
		errmsg("there is a restore point \"%s\" already, of %s at LSN %X/%X", name,
		       timestamptz_to_str(point->created), LSN_FORMAT_ARGS(point->lsn)),
		errhint("Choose another name: a restore by a name that is there twice is refused."));
}

/* The WAL holds a name as its bytes are in the encoding of the database that it was made from, and recovery compares
 * bytes (recoveryStopsAfter() of xlogrecovery.c): another database's name of the same letters may be another one. */
static void taken_check(const char *name)
{
	const struct mirror *mirror;
	struct error err = {0};

	if (!mirror_try(&mirror, &err)) {
		(void) fail_in(&err, "could not find out whether the name is taken");
		raise_warning(&err);
		return;
	}
	for (int i = 0; i < mirror->restore_point_count; i++) {
		const struct mirror_restore_point *point = &mirror->restore_points[i];

		if (strcmp(point->bytes, name) == 0)
			fail_taken(point, name);
	}
}

Datum bkp_create_restore_point(PG_FUNCTION_ARGS)
{
	text *argument = PG_GETARG_TEXT_PP(0);
	const char *name = text_to_cstring(argument);

	if (RecoveryInProgress())
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("a server in recovery cannot make a restore point"),
			errhint("Make it on the primary: it is a record in the WAL."));
	name_check(name);
	taken_check(name);
	PG_RETURN_DATUM(DirectFunctionCall1(pg_create_restore_point, PointerGetDatum(argument)));
}
