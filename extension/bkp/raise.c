#include "postgres.h"

#include "raise.h"

static int sqlstate_of(enum error_kind kind)
{
	switch (kind) {
	case ERROR_NOT_FOUND:
		return ERRCODE_UNDEFINED_FILE;
	case ERROR_EXISTS:
		return ERRCODE_DUPLICATE_OBJECT;
	case ERROR_UNREACHABLE:
		return ERRCODE_CONNECTION_FAILURE;
	case ERROR_DENIED:
		return ERRCODE_INSUFFICIENT_PRIVILEGE;
	case ERROR_CORRUPT:
		return ERRCODE_DATA_CORRUPTED;
	case ERROR_USAGE:
		return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	case ERROR_SYSTEM:
		return ERRCODE_IO_ERROR;
	case ERROR_NONE:
		break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

void raise_error(const struct error *err)
{
	ereport(ERROR, errcode(sqlstate_of(err->kind)), errmsg_internal("%s", err->text),
		err->hint[0] != '\0' ? errhint("%s", err->hint) : 0);
	pg_unreachable();
}

void raise_warning(const struct error *err)
{
	ereport(WARNING, errcode(sqlstate_of(err->kind)), errmsg_internal("%s", err->text),
		err->hint[0] != '\0' ? errhint("%s", err->hint) : 0);
}
