/* The one way from an error of lib/ to an ERROR of SQL: its sentence, its hint, and a SQLSTATE that fits its kind.
 */
#pragma once

#include "base/error.h"

_Noreturn void raise_error(const struct error *err);
/* The same as a WARNING: what was asked can be answered without. */
void raise_warning(const struct error *err);
