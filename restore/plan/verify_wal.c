#include "plan/verify_wal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/progress.h"
#include "base/workers.h"

#define BATCH_MAX 64
/* Buffers of a job: the object as it is fetched, and the segment. */
#define BUFFERS_PER_JOB 2

struct reading {
	struct repo *repo;
	const struct wal_range *range;
	uint64_t number;
	struct progress *progress;
	struct buf content;
};

struct verifying {
	struct repo *repo;
	const struct reach *reach;
	int jobs;
	struct progress progress;
	struct wal_walk *walk;
	uint64_t records;
	int count; /* of readings */
	struct reading readings[BATCH_MAX];
};

static bool reading_run(void *job, bool cancelled, struct error *err)
{
	struct reading *reading = job;

	if (cancelled)
		return true;
	TRY(wal_range_read(reading->repo, reading->range, reading->number, &reading->content, err));
	progress_add(reading->progress, reading->content.size);
	return true;
}

/* As many segments as there are jobs are in memory at once. */
static bool batch_read(struct verifying *verifying, uint64_t first, int count, struct error *err)
{
	struct workers *workers = NULL;
	struct error ignored;
	bool done = true;

	TRY(workers_open(verifying->jobs, BATCH_MAX, &workers, err));
	for (int i = 0; i < count && done; i++) {
		struct reading *reading = &verifying->readings[i];

		reading->number = first + (uint64_t) i;
		buf_clear(&reading->content);
		done = workers_submit(workers, reading_run, reading, err);
	}
	return workers_finish(workers, done ? err : &ignored) && done;
}

static bool record_count(void *context, const struct wal_event *event, struct error *err)
{
	struct verifying *verifying = context;

	(void) event;
	(void) err;
	verifying->records++;
	return true;
}

/* Where replay stops there has to be a record; behind it WAL may end. */
static bool end_check(const struct verifying *verifying, const struct wal_name *name, uint64_t number, uint64_t end,
		      struct error *err)
{
	const struct reach *reach = verifying->reach;
	bool is_enough = reach->stop == STOP_IMMEDIATE ? end >= reach->lsn : end > reach->lsn;
	char lsn[LSN_TEXT_SIZE];

	if (number == reach->last && is_enough)
		return true;
	lsn_format(end, lsn);
	return fail(err, ERROR_CORRUPT, "the WAL in segment \"%s\" breaks off at LSN %s, before the target", name->text,
		    lsn);
}

static bool segment_walk(struct verifying *verifying, const struct reading *reading, struct error *err)
{
	struct wal_segment segment;
	struct wal_name name;
	uint64_t end;

	wal_range_name(reading->range, reading->number, &name);
	TRY(wal_segment_check(buf_bytes(&reading->content), &name, &segment, err));
	TRY(wal_walk_segment(verifying->walk, buf_bytes(&reading->content), &segment, err));
	return !wal_walk_ended(verifying->walk, &end) || end_check(verifying, &name, reading->number, end, err);
}

static bool range_verify(struct verifying *verifying, struct error *err)
{
	const struct reach *reach = verifying->reach;

	for (uint64_t next = reach->first; next <= reach->last;) {
		uint64_t left = reach->last - next + 1;
		int count = left < (uint64_t) verifying->count ? (int) left : verifying->count;

		TRY(batch_read(verifying, next, count, err));
		for (int i = 0; i < count; i++)
			TRY(segment_walk(verifying, &verifying->readings[i], err));
		next += (uint64_t) count;
	}
	return true;
}

static void readings_init(struct verifying *verifying, const struct options *options)
{
	const struct wal_range *range = &verifying->reach->range;
	uint64_t fits = (uint64_t) options->memory / (BUFFERS_PER_JOB * (uint64_t) range->segment_size);

	verifying->jobs = options->jobs < 1 ? 1 : (int) options->jobs;
	verifying->count = verifying->jobs < BATCH_MAX ? verifying->jobs : BATCH_MAX;
	if (fits < (uint64_t) verifying->count)
		verifying->count = fits < 1 ? 1 : (int) fits;
	for (int i = 0; i < verifying->count; i++)
		verifying->readings[i] = (struct reading){.repo = verifying->repo,
							  .range = range,
							  .progress = &verifying->progress,
							  .content = {.size_max = range->segment_size}};
}

bool verify_wal(struct repo *repo, const struct reach *reach, const struct options *options, struct error *err)
{
	struct verifying *verifying = calloc(1, sizeof(*verifying));
	uint64_t size = reach_segments(reach) * reach->range.segment_size;

	if (verifying == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	verifying->repo = repo;
	verifying->reach = reach;
	readings_init(verifying, options);
	progress_init(&verifying->progress, "reading WAL", size, options->progress);
	bool done = wal_walk_open(record_count, verifying, &verifying->walk, err) && range_verify(verifying, err);
	progress_finish(&verifying->progress);
	if (done)
		log_info("all WAL of the plan was read: %" PRIu64 " segments with %" PRIu64 " records",
			 reach_segments(reach), verifying->records);
	wal_walk_close(verifying->walk);
	for (int i = 0; i < verifying->count; i++)
		buf_release(&verifying->readings[i].content);
	free(verifying);
	return done || fail_in(err, "the WAL of the plan");
}
