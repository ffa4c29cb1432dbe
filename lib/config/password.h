/* Asks the person at the terminal for a password. */
#pragma once

#include <stddef.h>

#include "base/error.h"

bool password_ask(char *password, size_t size, struct error *err) MUST_CHECK;
