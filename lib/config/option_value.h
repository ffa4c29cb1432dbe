/* What a user writes for a value, read: switches, counts, sizes, times, words from a list.
 * Each refuses with USAGE and says how to write it. Knows nothing of where the text stood.
 */
#pragma once

#include "config/option_table.h"

/* "256MB", "20 MB", "32k": always with a unit, of 1024 as PostgreSQL counts. */
bool size_parse(const char *text, int64_t *size);
/* "5 min", "30s", "1h", "500ms", "2 days": always with a unit; "forever": INT64_MAX. */
bool duration_parse(const char *text, int64_t *duration_ms);

/* Sets the option's member in *options. Texts are borrowed. */
bool option_value_parse(enum option_id id, const char *text, struct options *options, struct error *err) MUST_CHECK;
