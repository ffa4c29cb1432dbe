/* The WAL that the archive holds along one path of timelines: which segments are there, where the first hole is, and
 * what the summaries stored with the segments say about the stretch between two of them.
 *
 * "On the path" follows PostgreSQL: of a segment in which the path changes timeline, the file of the youngest one is
 * read (XLogFileReadAnyTLI, xlogrecovery.c). What a listing shows is evidence only; wal_survey.h
 * reads the summary of every segment, authenticated. Knows nothing of backups or of what is to be restored.
 */
#pragma once

#include "pg/timeline.h"
#include "pg/wal_record.h"
#include "repo/repo.h"

/* Consecutive segments that are there. */
struct wal_run {
	uint32_t timeline;
	uint64_t first, last; /* numbers, both included */
	uint64_t stored_size; /* bytes in the repository */
};

struct wal_range {
	const struct timeline_history *history; /* borrowed: must outlive the range */
	uint32_t segment_size;
	uint64_t first; /* number of the segment that was asked from */
	int run_count, run_capacity;
	struct wal_run *runs; /* owned; ascending */
};

#define WAL_RUNS_MAX 100000

/* Lists what is there from the segment that holds `from` to the end of the path. */
bool wal_range_list(struct repo *repo, const struct timeline_history *history, uint32_t segment_size, uint64_t from,
		    struct wal_range *range, struct error *err) MUST_CHECK;
void wal_range_release(struct wal_range *range);
#define WAL_RANGE_CLEANUP __attribute__((cleanup(wal_range_release)))

/* The file that PostgreSQL reads on this path for segment `number`. */
void wal_range_name(const struct wal_range *range, uint64_t number, struct wal_name *name);
/* *last is the last segment that is reached from `first` without a hole; false when `first` itself is not there. */
bool wal_range_reach(const struct wal_range *range, uint64_t first, uint64_t *last);
/* The first hole at or behind `first`: *missing to *missing_last are absent although a later one is there. */
bool wal_range_gap(const struct wal_range *range, uint64_t first, uint64_t *missing, uint64_t *missing_last);
int wal_range_gap_count(const struct wal_range *range);
/* Bytes in the repository of the segments from `first` to `last` (lists them again). */
bool wal_range_stored_size(struct repo *repo, const struct wal_range *range, uint64_t first, uint64_t last,
			   uint64_t *stored_size, struct error *err) MUST_CHECK;

/* Fetches the segments from `first` to `last` and visits every complete record in them. *end_lsn (may be NULL) is how
 * far WAL goes. False with ERROR_NONE when visit returned that ("enough"). */
bool wal_range_walk(struct repo *repo, const struct wal_range *range, uint64_t first, uint64_t last, wal_visit visit,
		    void *context, uint64_t *end_lsn, struct error *err) MUST_CHECK;
