/* The assert() of lib/ inside a server process: a mistake of ours becomes an ERROR of one statement, where abort()
 * would take the whole server through crash recovery. Found before the C library's <assert.h>, which it replaces; knows
 * nothing of PostgreSQL's headers, so that the files of lib/ can be compiled with it.
 */
#pragma once

_Noreturn void assertion_failed(const char *expression, const char *file, int line);

#define assert(expression) ((expression) ? (void) 0 : assertion_failed(#expression, __FILE__, __LINE__))

#undef static_assert
#define static_assert _Static_assert
