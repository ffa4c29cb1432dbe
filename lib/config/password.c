#include "config/password.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool password_ask(char *password, size_t size, struct error *err)
{
	/* Reads from the terminal without echo; its static buffer is wiped below. */
	char *typed = getpass("Password: ");

	if (typed == NULL)
		return fail_errno(err, "could not read a password from the terminal");
	bool fits = strlen(typed) < size;
	if (fits)
		(void) snprintf(password, size, "%s", typed);
	explicit_bzero(typed, strlen(typed));
	return fits ? true : fail(err, ERROR_USAGE, "the password is longer than %zu bytes", size - 1);
}
