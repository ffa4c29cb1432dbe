/* A base backup becomes files: every piece comes from an authenticated pack and goes where the manifest says, below the
 * data directory, an approved tablespace directory, or the directory for included files, and nowhere else.
 *
 * Two files are handed back instead of written: global/pg_control, which makes a directory startable and so comes last,
 * and tablespace_map, which has to agree with where the tablespaces are now. Syncing is left to the caller. Onto an old
 * directory (--delta) only what differs is fetched and written.
 */
#pragma once

#include "files/batch.h"
#include "files/place.h"

#define TABLESPACE_MAP_NAME "tablespace_map"

struct laid {
	struct buf control;	   /* global/pg_control as it was backed up; owned */
	struct buf tablespace_map; /* empty: the backup has none; owned */
	bool has_group_access;	   /* the cluster was made with --allow-group-access */
	uint64_t file_count;
	uint64_t included_count;
	struct batch_counts counts;
};

void laid_release(struct laid *laid);
#define LAID_CLEANUP __attribute__((cleanup(laid_release)))

/* Does this file of the data directory get its content from lay_down()? */
bool lay_down_writes(const struct manifest_entry *entry);

/* What --include added is only counted unless the place has a directory for it. */
bool lay_down(struct repo *repo, const struct backup *backup, const struct options *options, const struct place *place,
	      struct laid *laid, struct error *err) MUST_CHECK;
