#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fail(struct error *err, enum error_kind kind, const char *format, ...)
{
	va_list arguments;

	err->kind = kind;
	err->saved_errno = 0;
	err->hint[0] = '\0';
	va_start(arguments, format);
	(void) vsnprintf(err->text, sizeof(err->text), format, arguments);
	va_end(arguments);
	return false;
}

bool fail_errno(struct error *err, const char *format, ...)
{
	int saved = errno;
	va_list arguments;

	err->kind = ERROR_SYSTEM;
	err->saved_errno = saved;
	err->hint[0] = '\0';
	va_start(arguments, format);
	(void) vsnprintf(err->text, sizeof(err->text), format, arguments);
	va_end(arguments);

	size_t used = strlen(err->text);
	(void) snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(saved));
	return false;
}

bool fail_in(struct error *err, const char *format, ...)
{
	char context[sizeof(err->text)];
	char inner[sizeof(err->text)];
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(context, sizeof(context), format, arguments);
	va_end(arguments);
	(void) snprintf(inner, sizeof(inner), "%s", err->text);
	int used = snprintf(err->text, sizeof(err->text), "%s: ", context);
	if (used > 0 && (size_t) used < sizeof(err->text))
		(void) snprintf(err->text + used, sizeof(err->text) - (size_t) used, "%.*s",
				(int) sizeof(err->text) - used - 1, inner);
	return false;
}

bool fail_hint(struct error *err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(err->hint, sizeof(err->hint), format, arguments);
	va_end(arguments);
	return false;
}

int error_exit_status(enum error_kind kind, enum error_audience audience)
{
	static const int statuses[][5] = {
		[ERROR_NONE] = {1, 200, 200, 1, 3}, /* a failure that says nothing is still a failure */
#define KIND(name, archive, recovery, standby, program, check, meaning) \
	[ERROR_##name] = {archive, recovery, standby, program, check},
#include "base/errors.def"
#undef KIND
	};

	assert((size_t) kind < sizeof(statuses) / sizeof(statuses[0]));
	return statuses[kind][audience];
}
