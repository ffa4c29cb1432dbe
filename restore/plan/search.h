/* One question at work: can the target be reached along this path? What is common to all sorts of targets: the backups
 * that come into question, what WAL is there behind one of them, and what its summaries say. reach.c asks,
 * reach_why.c explains.
 */
#pragma once

#include "plan/reach.h"

/* The backups of one path, newest first: by where they end. Those that are known to be damaged only when no other one
 * leads to the target, or when they were chosen. */
struct candidates {
	int count;
	const struct backup **backups; /* owned */
};

struct search {
	const struct reaching *asked;
	const struct wal_path *path;
	struct candidates candidates;
	const struct backup *backup; /* from which it is tried */
	struct wal_survey survey;
	uint64_t available; /* the last segment that is there without a hole */
	struct reach *reach;
	char leaf[WAL_PATH_TEXT_SIZE]; /* the path in messages: "timeline 2" */
};

bool search_init(struct search *search, const struct reaching *asked, const struct wal_path *path, bool takes_damaged,
		 struct reach *reach, struct error *err) MUST_CHECK;
void search_release(struct search *search);
/* Lists what is there behind the backup. *is_whole is false (and why_hole() can say more) when not even the backup's
 * own WAL is. */
bool search_open(struct search *search, const struct backup *backup, bool *is_whole, struct error *err) MUST_CHECK;
/* Surveys from the backup's start to `last`; the asked-for members are set by the caller before. */
bool search_survey(struct search *search, uint64_t last, struct error *err) MUST_CHECK;
/* Is anything missing behind the backup, or does WAL break off? */
bool search_has_hole(const struct search *search);
uint64_t search_segment(const struct search *search, uint64_t lsn);
/* The oldest backup that ends behind time_us: the next moment that can be restored. NULL: none does. */
const struct backup *search_backup_after(const struct search *search, int64_t time_us);
