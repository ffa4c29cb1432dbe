/* Can a target be reached along one path of timelines, from which backup, and where exactly would replay stop? Proved
 * from the repository: every segment from the backup's first to the last that is needed has been looked at.
 */
#pragma once

#include "lineage.h"
#include "repo/wal_survey.h"
#include "target.h"

/* What PostgreSQL will be told to stop at. */
enum stop_kind { STOP_NEVER, STOP_IMMEDIATE, STOP_TIME, STOP_LSN, STOP_XID, STOP_NAME };

struct reach {
	bool reached;
	struct error why; /* why not, with the nearest points that can be reached */

	const struct timeline_history *path;
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
	bool understood;	       /* false only of a standby: nothing is known of the WAL behind its backup */
	/* Of which replay may create a few less: see tablespace_created.h. */
	struct wal_tablespaces tablespaces;
};

/* What is asked; borrowed. */
struct reaching {
	struct repo *repo;
	const struct catalog *catalog;
	const struct backup *chosen; /* --backup; NULL: any */
	const struct target *target;
	int jobs;
};

/* False only when it could not be found out. */
bool reach_find(const struct reaching *asked, const struct timeline_history *path, struct reach *reach,
		struct error *err) MUST_CHECK;
