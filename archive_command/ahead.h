/* A segment that the server asks for, and then those it will ask for next, in parallel: stored over kept connections,
 * and remembered, so that the server's next calls need nothing but a look at the record (archived.h).
 *
 * Bounded in number, memory and time, ended by the first failure. Whether the asked one is stored is decided by itself
 * alone: the others come to their turn, and then content decides about those that are not remembered. They are stored
 * behind the caller's back until ahead_finish(), which it is to call before it touches anything of *ahead.
 */
#pragma once

#include "config/options.h"
#include "ready.h"
#include "repo/repo.h"
#include "repo/spool.h"
#include "segment_file.h"

struct ahead {
	struct repo *repo;	   /* writes to the server's branch */
	const char *path;	   /* PostgreSQL's %p of the asked one */
	const struct ready *ready; /* those behind it */
	const struct spool *spool; /* NULL: nothing is remembered, so only the asked one is stored */
	const char *record;	   /* the file of the spool: archived_record() */
	int workers;
	struct batch *batch; /* of our own */
};

/* As many workers as there are settings, memory and file descriptors for. A worker holds a segment and its object. */
int ahead_workers(const struct options *options, uint32_t segment_size);
/* Takes out what is remembered already, or empties the record when nothing of it is of use any more. Takes out all when
 * what is remembered of the asked one is not believed: more of that would be of no use either. */
bool ahead_pass_over(const struct spool *spool, const char *record, const char *path, struct ready *ready,
		     struct error *err) MUST_CHECK;
/* True when the asked segment, which has been read from ahead->path, is stored durably. Begins with those behind it
 * then; what was read is gone. */
bool ahead_run(struct ahead *ahead, struct segment_file *asked, struct error *err) MUST_CHECK;
/* Waits for the file of that name, if it is among those that are being stored. Whether it is stored, the record says.
 */
void ahead_await(struct ahead *ahead, const char *name);
/* No further one is begun. */
void ahead_end(struct ahead *ahead);
/* Waits until all that are stored, or will be, are. Fine when none ever was. */
void ahead_finish(struct ahead *ahead);
