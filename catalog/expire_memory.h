/* What earlier runs remember: what they left, in their own facts, and the mirror of --pgdata. Whatever one of them
 * names is there, or is proven not to be. No clock says which of them is the last: all that can be read are asked.
 */
#pragma once

#include "expire.h"

/* UNREACHABLE when something is there that no listing has shown. */
bool expire_memory_check(struct expire *expire, struct error *err) MUST_CHECK;
/* The same of pins, after facts were read again: those that any listing has shown. */
bool expire_memory_check_pins(struct expire *expire, struct error *err) MUST_CHECK;
/* What the next runs are to remember: backups that stay, pins, and of each timeline a segment that stays. */
bool expire_memory_encode(const struct expire *expire, json_t *json, struct error *err) MUST_CHECK;
