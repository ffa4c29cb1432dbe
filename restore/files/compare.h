/* Which pieces of a file are not what the backup has: told from their content alone, never from times or sizes.
 */
#pragma once

#include "codec/piece.h"

struct comparison {
	uint64_t size; /* of the file, as in the backup and in the tree */
	size_t piece_size;
	size_t digest_count; /* pieces behind them differ: nothing is known of them */
	uint8_t *digests;    /* owned */
	size_t piece_count;
	bool *differs; /* of each piece; owned */
};

/* With a copy of the digests. All pieces differ until they are compared. */
bool comparison_init(struct comparison *comparison, uint64_t size, size_t piece_size, size_t digest_count,
		     const uint8_t *digests, struct error *err) MUST_CHECK;
void comparison_release(struct comparison *comparison);

/* Reads the file, which is open, and fills in `differs`. Several threads may do so at once, each with a digester of its
 * own. */
bool comparison_run(struct comparison *comparison, int fd, const char *path, struct piece_digester *digester,
		    struct error *err) MUST_CHECK;

/* The next range of the file within [*begin, end) that differs; false when there is none. */
bool comparison_next(const struct comparison *comparison, uint64_t *begin, uint64_t end, uint64_t *size);
