/* A segment that the server asks for, and then those it will ask for next, in parallel: stored over kept connections,
 * and remembered, so that the server's next calls need nothing but a look at the record (archived.h).
 *
 * Bounded in number, memory and time, ended by the first failure, and nothing outlives the call. Whether it succeeds
 * is decided by the segment that was asked for alone: the others come to their turn, and then content decides about
 * those that are not remembered.
 */
#pragma once

#include "config/options.h"
#include "ready.h"
#include "repo/repo.h"
#include "repo/spool.h"
#include "segment_file.h"

struct ahead {
	struct repo *repo;	    /* writes to the server's branch */
	const char *path;	    /* PostgreSQL's %p */
	struct segment_file *asked; /* read from there; afterwards its memory holds another one */
	const struct ready *ready;  /* those behind it */
	const struct spool *spool;  /* NULL: nothing is remembered, so only the asked one is stored */
	const char *record;	    /* the file of the spool: archived_record() */
	int workers;
};

/* As many workers as there are settings, memory and file descriptors for. A worker holds a segment and its object. */
int ahead_workers(const struct options *options, uint32_t segment_size);
/* Takes out what is remembered already, or empties the record when nothing of it is of use any more. Takes out all when
 * what is remembered of the asked one is not believed: more of that would be of no use either. */
bool ahead_pass_over(const struct spool *spool, const char *record, const char *path, struct ready *ready,
		     struct error *err) MUST_CHECK;
/* True when the asked segment is stored durably. */
bool ahead_run(const struct ahead *ahead, struct error *err) MUST_CHECK;
