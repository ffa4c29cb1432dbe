/* Messages for people, on stderr, in PostgreSQL's style. Used by commands; lib/ reports through struct error and,
 * for things that are worth saying although nothing failed (a retry, a correction of the clock), through here.
 * The program name and the level are the only state, set once by main.
 */
#pragma once

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(const char *program, enum log_level level);
/* "pitr-archive: error: could not …", then "pitr-archive: hint: …" when there is one. */
void log_error(const struct error *err);
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "pitr-archive: hint: …", behind a warning. */
void log_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool log_shows(enum log_level level);
