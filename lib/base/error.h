/* One error path for everything: a fallible function returns bool and fills the `struct error` passed last.
 *
 * The struct lives on the caller's stack, owns nothing and cannot itself fail. Nothing below a main.c prints or
 * exits; context is added on the way up with fail_in(), a way out with fail_hint().
 */
#pragma once

#include <stdbool.h>

enum error_kind {
	ERROR_NONE = 0,
#define KIND(name, archive, recovery, standby, program, check, meaning) ERROR_##name,
#include "base/errors.def"
#undef KIND
};

/* Whose exit status is asked for: the columns of errors.def. */
enum error_audience { FOR_ARCHIVE, FOR_RECOVERY, FOR_STANDBY, FOR_PROGRAM, FOR_CHECK };

struct error {
	enum error_kind kind;
	int saved_errno;
	char text[1024];
	char hint[512];
};

/* Every fallible function is declared with it: an unread answer does not compile. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Return false from the caller when `call` does. The only control-flow macro. */
#define TRY(call)                     \
	do {                          \
		if (!(call))          \
			return false; \
	} while (0)

/* Fills *err and returns false, so that failing is one sentence: return fail(err, ERROR_CORRUPT, "…"). */
bool fail(struct error *err, enum error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As fail(), kind SYSTEM, with ": <reason of errno>" appended and errno kept in saved_errno. */
bool fail_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<context>: " before the text already in *err; returns false. */
bool fail_in(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets the hint line; returns false, so that both read as one: return fail(…) || fail_hint(…). */
bool fail_hint(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit status that tells `audience` what this kind means. Never 0. */
int error_exit_status(enum error_kind kind, enum error_audience audience);
