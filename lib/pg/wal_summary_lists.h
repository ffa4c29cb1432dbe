/* The members of a WAL summary's JSON that are lists with a bound: each is there only when there is something in it, as
 * how many there were and as many of them as are kept. Part of wal_summary_json.h, in a file of its own.
 */
#pragma once

#include "base/json.h"
#include "pg/wal_summary.h"

bool wal_summary_lists_encode(const struct wal_summary *summary, json_t *object, struct error *err) MUST_CHECK;
/* Needs start and segment_size of *summary. CORRUPT when a list is not what it should be. */
bool wal_summary_lists_decode(const json_t *object, struct wal_summary *summary, struct error *err) MUST_CHECK;
