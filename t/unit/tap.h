/* The Test Anything Protocol for the unit tests: ok() and is_…() print one line each, done_testing() the plan and the
 * exit status. A test names the promise it holds.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int tap_count;
static int tap_failed;

__attribute__((format(printf, 2, 3), unused)) static bool ok(bool passed, const char *format, ...)
{
	va_list arguments;

	printf("%s %d - ", passed ? "ok" : "not ok", ++tap_count);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	if (!passed)
		tap_failed++;
	return passed;
}

__attribute__((unused)) static bool is_text(const char *got, const char *expected, const char *name)
{
	bool same = got == expected || (got != NULL && expected != NULL && strcmp(got, expected) == 0);

	ok(same, "%s", name);
	if (!same)
		printf("#      got: %s\n# expected: %s\n", got ? got : "(null)", expected ? expected : "(null)");
	return same;
}

__attribute__((unused)) static bool is_number(int64_t got, int64_t expected, const char *name)
{
	ok(got == expected, "%s", name);
	if (got != expected)
		printf("#      got: %lld\n# expected: %lld\n", (long long) got, (long long) expected);
	return got == expected;
}

/* return done_testing(); from main. */
__attribute__((unused)) static int done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed == 0 ? 0 : 1;
}
