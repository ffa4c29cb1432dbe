#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static const char *log_program = "pitr";
static enum log_level log_level_shown = LOG_LEVEL_INFO;

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_level_shown = level;
}

bool log_shows(enum log_level level)
{
	return level <= log_level_shown;
}

/* One write per line, so that lines of several processes or threads do not mix in a server's log. */
static void log_line(const char *tag, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

static void log_line(const char *tag, const char *format, va_list arguments)
{
	char text[2048];

	(void) vsnprintf(text, sizeof(text), format, arguments);
	(void) fprintf(stderr, "%s: %s%s\n", log_program, tag, text);
}

void log_error(const struct error *err)
{
	(void) fprintf(stderr, "%s: error: %s\n", log_program, err->text[0] != '\0' ? err->text : "unknown failure");
	if (err->hint[0] != '\0')
		(void) fprintf(stderr, "%s: hint: %s\n", log_program, err->hint);
}

void log_warning(const char *format, ...)
{
	va_list arguments;

	if (!log_shows(LOG_LEVEL_WARNING))
		return;
	va_start(arguments, format);
	log_line("warning: ", format, arguments);
	va_end(arguments);
}

void log_hint(const char *format, ...)
{
	va_list arguments;

	if (!log_shows(LOG_LEVEL_WARNING))
		return;
	va_start(arguments, format);
	log_line("hint: ", format, arguments);
	va_end(arguments);
}

void log_info(const char *format, ...)
{
	va_list arguments;

	if (!log_shows(LOG_LEVEL_INFO))
		return;
	va_start(arguments, format);
	log_line("", format, arguments);
	va_end(arguments);
}

void log_debug(const char *format, ...)
{
	va_list arguments;

	if (!log_shows(LOG_LEVEL_DEBUG))
		return;
	va_start(arguments, format);
	log_line("debug: ", format, arguments);
	va_end(arguments);
}
