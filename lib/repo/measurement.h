/* How long restores took: a small fact written at the end of each that was followed, from which the next one's duration
 * is predicted. docs/format.md, "Restore facts". */
#pragma once

#include "repo/repo.h"

struct measurement {
	char label[BACKUP_LABEL_SIZE]; /* of the backup */
	char host[256];		       /* where it was restored */
	int64_t finished_us;
	uint64_t download_bytes; /* stored bytes of the base backup; 0: it was not measured */
	int64_t download_ms;
	uint64_t replay_bytes; /* of WAL; 0: it was not measured */
	int64_t replay_ms;
};

/* Fills in the host; DENIED and the like where the credentials may not write. */
bool measurement_put(struct repo *repo, struct measurement *measurement, struct error *err) MUST_CHECK;
/* The newest of the repository's branch, newest first, at most `room`: those of this host, or, when there is none, of
 * all. What cannot be read is left out. */
bool measurement_read(struct repo *repo, int room, struct measurement *measurements, int *count,
		      struct error *err) MUST_CHECK;
