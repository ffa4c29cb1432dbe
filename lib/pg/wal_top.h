/* Chooses what of the rows that wal_changes.h counts is worth a place in a summary: the transactions that changed most
 * in one relation, and the relations that changed most. Bounded; what it had to leave out while adding up is counted.
 */
#pragma once

#include "pg/wal_summary.h"

struct wal_top;
bool wal_top_open(struct wal_top **top, struct error *err) MUST_CHECK;
void wal_top_close(struct wal_top *top);
/* A wal_change_visit: `top` is the context. */
void wal_top_note(void *top, const struct wal_change *change, bool is_aborted);
/* Fills in changes and relations of *summary with their counts, and adds to other_changes. */
void wal_top_fill(const struct wal_top *top, struct wal_summary *summary);
