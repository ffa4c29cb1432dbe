/* The summary of a WAL segment as JSON. Part of the repository format: docs/format.md says what every member means and
 * which are there only when there is something to say.
 */
#pragma once

#include "base/json.h"
#include "pg/wal_summary.h"

bool wal_summary_encode(const struct wal_summary *summary, json_t *object, struct error *err) MUST_CHECK;
/* CORRUPT when a field is missing, of another type, or impossible. */
bool wal_summary_decode(const json_t *object, struct wal_summary *summary, struct error *err) MUST_CHECK;
