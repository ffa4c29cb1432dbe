/* Can a target be reached along one path of timelines, from which backup, and where exactly would replay stop? Proved
 * from the repository: every segment from the backup's first to the last that is needed has been looked at.
 */
#pragma once

#include "plan/target.h"
#include "repo/lineage.h"
#include "repo/wal_needed.h"
#include "repo/wal_survey.h"

/* What PostgreSQL will be told to stop at. */
enum stop_kind { STOP_NEVER, STOP_IMMEDIATE, STOP_TIME, STOP_LSN, STOP_XID, STOP_NAME };

struct reach {
	bool reached;
	struct error why; /* why not, with the nearest points that can be reached */

	const struct wal_path *path;
	struct wal_range range;	     /* owned: what is there along it from the backup on */
	const struct backup *backup; /* NULL: no backup comes into question */
	enum stop_kind stop;
	bool exclusive;
	bool at_end;	      /* nothing behind the target is in the archive: everything in it will be replayed */
	bool contains;	      /* the path goes on behind the target; false of a time that is behind its last commit */
	uint64_t lsn;	      /* the record at which replay stops; of a standby: the last one in the archive */
	uint64_t end;	      /* how far WAL was found to go */
	uint64_t first, last; /* segments that are needed */
	uint64_t point;	      /* what tells two targets apart: the LSN of the last thing that is restored … */
	uint32_t point_timeline;       /* … and the timeline it was written on */
	struct wal_commit last_commit; /* before the stop; lsn 0: none since the backup began */
	struct wal_commit next;	       /* the first commit or abort that is not restored; lsn 0: none is known */
	uint64_t behind;	       /* nothing that begins here or behind is replayed */
	uint64_t available;	       /* the last segment that is there without a hole */
	int newer_backups;	       /* on the path, which end behind the target */
	/* A newer one that would have been taken, but that pitr-verify found damaged; NULL: none. */
	const struct backup *passed_over;
	bool is_ambiguous; /* not reached, because the target is there more than once */
	/* The key does not let records be read (`denial`): commits are known to the segment only. */
	bool is_coarse;
	struct error denial;
	bool understood; /* false only of a standby: nothing is known of the WAL behind its backup */
	/* Of which replay may create a few less: see tablespace_created.h. */
	struct wal_tablespaces tablespaces;
};

/* WAL outside of the archive that a plan counts on. */
struct surviving {
	bool is_used;
	struct wal_directory directory; /* owned */
	struct layout origin;		/* the branch that its server wrote to */
};

/* What is asked; borrowed. */
struct reaching {
	struct repo *repo;
	const struct catalog *catalog;
	const struct backup *chosen; /* --backup; NULL: any */
	const struct target *target;
	const struct surviving *surviving; /* NULL: none */
	const struct wal_needed *retired;  /* WAL that was removed on purpose */
	bool uses_partial;		   /* a .partial at the end of the path counts, too */
	bool ignores_index;
	int jobs;
};

/* False only when it could not be found out. */
bool reach_find(const struct reaching *asked, const struct wal_path *path, struct reach *reach,
		struct error *err) MUST_CHECK;
void reach_release(struct reach *reach);
uint64_t reach_segments(const struct reach *reach); /* how many are needed */
/* Fills in reach->next, unless it is known. */
bool reach_find_next(const struct reaching *asked, struct reach *reach, struct error *err) MUST_CHECK;
