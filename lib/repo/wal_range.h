/* The WAL that is there along one path of timelines: which segments, where the first hole is, and their records.
 *
 * What a listing shows is evidence only; wal_survey.h reads the summary of every segment, authenticated, or the entry
 * of an index that knows that object. Besides the archive's whole segments there may be others that reach further: a
 * .partial in the archive, or a pg_wal that has survived its server. Knows nothing of backups or of what is to be
 * restored.
 */
#pragma once

#include "pg/wal_directory.h"
#include "repo/wal_index.h"

enum wal_source { WAL_FROM_ARCHIVE, WAL_FROM_PARTIAL, WAL_FROM_DIRECTORY };

/* Consecutive segments that are there. */
struct wal_run {
	uint32_t timeline;
	enum wal_source source;
	uint64_t first, last; /* numbers, both included */
	uint32_t *sizes;      /* owned: of each, its bytes in the repository; in a directory: 0 */
	size_t size_capacity;
};

struct wal_range {
	const struct wal_path *path; /* borrowed: must outlive the range */
	uint32_t segment_size;
	uint64_t first; /* number of the segment that was asked from */
	const struct wal_directory
		*directory; /* borrowed: where the segments of WAL_FROM_DIRECTORY lie; NULL: nowhere */
	/* The last .partial of the path's own timeline, whether it is of use or not; text "": there is none. */
	struct wal_name partial;
	uint32_t partial_size; /* its bytes in the repository */
	int run_count;
	size_t run_capacity;
	struct wal_run *runs;	 /* owned; ascending */
	struct wal_index *index; /* owned: what tells of many segments at once; NULL: is not asked */
};

#define WAL_RUNS_MAX 100000
#define WAL_RUN_MAX  (16u << 20) /* segments of one run */

/* Lists what is there from the segment that holds `from` to the end of the path. */
bool wal_range_list(struct repo *repo, const struct wal_path *path, uint32_t segment_size, uint64_t from,
		    struct wal_range *range, struct error *err) MUST_CHECK;
void wal_range_release(struct wal_range *range);
#define WAL_RANGE_CLEANUP __attribute__((cleanup(wal_range_release)))

/* Adds one segment that is not in the range yet. */
bool wal_range_add(struct wal_range *range, enum wal_source source, uint64_t number, uint32_t size,
		   struct error *err) MUST_CHECK;
/* Adds what a directory has of the path and the archive has not. `origin`: the branch that its server wrote to, with
 * its chain; the directory must outlive the range. */
bool wal_range_add_directory(struct wal_range *range, const struct wal_directory *directory,
			     const struct layout *origin, struct error *err) MUST_CHECK;
/* Adds the last .partial of the path's own timeline, when there is one that goes further than everything else. */
bool wal_range_add_partial(struct wal_range *range, struct error *err) MUST_CHECK;

/* The file that PostgreSQL reads on this path for segment `number`. */
void wal_range_name(const struct wal_range *range, uint64_t number, struct wal_name *name);
/* Where that comes from, and its bytes in the repository; false when it is not there. */
bool wal_range_find(const struct wal_range *range, uint64_t number, enum wal_source *source, uint32_t *size);
/* *last is the last segment that is reached from `first` without a hole; false when `first` itself is not there. */
bool wal_range_reach(const struct wal_range *range, uint64_t first, uint64_t *last);
/* The first hole at or behind `first`: *missing to *missing_last are absent although a later one is there. */
bool wal_range_gap(const struct wal_range *range, uint64_t first, uint64_t *missing, uint64_t *missing_last);
int wal_range_gap_count(const struct wal_range *range);
/* How many of the segments from `first` to `last` come from there. */
uint64_t wal_range_count(const struct wal_range *range, enum wal_source source, uint64_t first, uint64_t last);
/* Bytes in the repository of the segments from `first` to `last`. */
uint64_t wal_range_stored_size(const struct wal_range *range, uint64_t first, uint64_t last);

/* Appends the content of a segment, from wherever it is; authenticated where it comes from the archive, and checked
 * against its name. */
bool wal_range_read(struct repo *repo, const struct wal_range *range, uint64_t number, struct buf *content,
		    struct error *err) MUST_CHECK;
/* What a segment says about itself, from wherever it is. Who stored it stays empty where nobody did. */
bool wal_range_entry(struct repo *repo, const struct wal_range *range, uint64_t number, struct wal_entry *entry,
		     struct error *err) MUST_CHECK;
/* The same as the index has it, when that knows the object which the listing showed; by one thread. */
bool wal_range_indexed(const struct wal_range *range, uint64_t number, struct wal_entry *entry, bool *found,
		       struct error *err) MUST_CHECK;
/* From now on every segment is asked itself: an index could have been forged by any host, long after. */
void wal_range_ignore_index(struct wal_range *range);
/* Reads the segments from `first` to `last` and visits every complete record in them. *end_lsn (may be NULL) is how
 * far WAL goes. False with ERROR_NONE when visit returned that ("enough"). */
bool wal_range_walk(struct repo *repo, const struct wal_range *range, uint64_t first, uint64_t last, wal_visit visit,
		    void *context, uint64_t *end_lsn, struct error *err) MUST_CHECK;
