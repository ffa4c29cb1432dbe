/* --verify-wal: reads all the WAL of a plan before anything is written. Every segment is authenticated and walked
 * through, record by record, from each into the next.
 */
#pragma once

#include "plan/reach.h"

/* CORRUPT or NOT_FOUND, naming the segment, when one is damaged, missing or does not go on where the last one ended. */
bool verify_wal(struct repo *repo, const struct reach *reach, const struct options *options,
		struct error *err) MUST_CHECK;
