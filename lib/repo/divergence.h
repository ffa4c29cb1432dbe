/* Where the WAL of one server leaves what the repository has under the same names: two servers of one history, each of
 * which went on, a copy by files and its source, or two standbys that were both promoted. Told by the identity of the
 * contents, of the files that are in pg_wal. Reads only.
 */
#pragma once

#include "pg/control_file.h"
#include "repo/wal_store.h"

struct divergence {
	bool is_found;
	/* What from there on is the server's own, as of a branch: all of later timelines, and of this one, when
	 * has_first, what begins with that segment. */
	uint32_t timeline;
	bool has_first;
	uint32_t first_log, first_segment;
	struct wal_name name;	  /* the first file that differs */
	bool is_missing;	  /* … or that the branch it would belong to does not have */
	struct wal_writer writer; /* who stored the other one */
};

/* Compares along the server's own path of timelines, in the order in which they were written; with the chain of
 * branches of repo->layout. */
bool divergence_find(struct repo *repo, const char *pgdata, const struct control_file *control,
		     struct divergence *divergence, struct error *err) MUST_CHECK;
