/* Which WAL was removed on purpose: said by pitr-expire, before it removes it, in a fact of the kind "retired", so that
 * nobody takes it for a hole. docs/format.md, "Facts of the catalog".
 */
#pragma once

#include "repo/fact.h"
#include "repo/wal_needed.h"

/* Adds what the facts say, as far as it is about segments of ranges->segment_size. */
bool retired_wal_gather(const struct facts *facts, struct wal_needed *ranges, struct error *err) MUST_CHECK;
/* The same of all facts that there are; the caller releases it. */
bool retired_wal_read(struct repo *repo, uint32_t segment_size, struct wal_needed *ranges,
		      struct error *err) MUST_CHECK;
/* Says it, in one fact. */
bool retired_wal_put(struct repo *repo, const struct wal_needed *ranges, struct error *err) MUST_CHECK;
/* Was every segment of the path from `first` to `last` removed on purpose? */
bool retired_wal_has(const struct wal_needed *ranges, const struct wal_path *path, uint64_t first, uint64_t last);
