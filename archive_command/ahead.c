#include "ahead.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "archived.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/workers.h"
#include "repo/wal_store.h"

/* No segment is begun later than this after the first. The server waits for pitr-archive meanwhile, and so does a fast
 * shutdown. */
#define AHEAD_TIME_MAX_MS 5000

/* Workers for each job: while one sends, another computes (repo_put() lets no more of them do that than there are
 * jobs). */
#define JOB_WORKERS 2

/* A network over which one segment takes longer than this has no room for several at once: all of them would miss their
 * deadlines together, again and again. */
#define ASKED_TIME_MAX_MS 2000

/* What a worker holds besides the segment and its object: summary, meta, the connection's buffers. */
#define WORKER_SIZE (4 * MiB)
/* File descriptors of a worker (connection, segment, record), and of the program. */
#define WORKER_FILES  4
#define PROGRAM_FILES 12

struct batch {
	const struct ahead *ahead;
	struct workers *workers;
	int64_t deadline_ms;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	int next; /* of those that are ready */
	bool is_over;
	bool is_settled[READY_MAX]; /* which of them are stored, or have failed */
};

int ahead_workers(const struct options *options, uint32_t segment_size)
{
	int64_t count = options->memory / (2 * (int64_t) segment_size + (int64_t) WORKER_SIZE);
	struct rlimit files;

	if (count > JOB_WORKERS * options->jobs)
		count = JOB_WORKERS * options->jobs;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
	    count > ((int64_t) files.rlim_cur - PROGRAM_FILES) / WORKER_FILES)
		count = ((int64_t) files.rlim_cur - PROGRAM_FILES) / WORKER_FILES;
	return count < 1 ? 1 : (int) count;
}

/* The path of another segment in the same directory. */
static bool beside(const char *asked_path, const struct wal_name *name, char path[PATH_MAX], struct error *err)
{
	const char *slash = strrchr(asked_path, '/');
	char directory[PATH_MAX];

	(void) snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : (int) (slash - asked_path),
			slash == NULL ? "." : asked_path);
	return path_join(path, directory, name->text, err);
}

/* ---------------------------------------------------------------------------------------------------- record */

static bool is_remembered(const struct spool *spool, struct bytes lines, const char *asked_path,
			  const struct wal_name *name)
{
	char path[PATH_MAX], stamp[SPOOL_STAMP_SIZE];
	struct spool_line line = {.name = name->text, .stamp = stamp};
	struct error ignored = {0};

	return beside(asked_path, name, path, &ignored) && spool_stamp(path, stamp, &ignored) &&
	       spool_find(spool, lines, &line);
}

static bool is_mentioned(struct bytes lines, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;

	return lines.size > 0 && memmem(lines.data, lines.size, name, strlen(name)) != NULL;
}

bool ahead_pass_over(const struct spool *spool, const char *record, const char *path, struct ready *ready,
		     struct error *err)
{
	int kept = 0;
	BUF(lines, SPOOL_RECORD_SIZE_MAX);

	if (!spool_read(spool, record, &lines, err)) {
		*err = (struct error){0};
		return spool_forget(spool, record, err);
	}
	if (is_mentioned(buf_bytes(&lines), path)) {
		ready->count = 0;
		return true;
	}
	for (int i = 0; i < ready->count; i++)
		if (!is_remembered(spool, buf_bytes(&lines), path, &ready->names[i]))
			ready->names[kept++] = ready->names[i];
	bool is_useless = kept == ready->count || lines.size > SPOOL_RECORD_SIZE_MAX / 2;
	ready->count = kept;
	return is_useless ? spool_forget(spool, record, err) : true;
}

/* ----------------------------------------------------------------------------------------------------- batch */

static bool batch_take(struct batch *batch, int *at)
{
	(void) pthread_mutex_lock(&batch->lock);
	if (batch->next >= batch->ahead->ready->count || deadline_left_ms(batch->deadline_ms) <= 0)
		batch->is_over = true;
	bool taken = !batch->is_over;
	if (taken)
		*at = batch->next++;
	(void) pthread_cond_broadcast(&batch->changed);
	(void) pthread_mutex_unlock(&batch->lock);
	return taken;
}

static void batch_settle(struct batch *batch, int at)
{
	(void) pthread_mutex_lock(&batch->lock);
	batch->is_settled[at] = true;
	(void) pthread_cond_broadcast(&batch->changed);
	(void) pthread_mutex_unlock(&batch->lock);
}

static void batch_end(struct batch *batch)
{
	(void) pthread_mutex_lock(&batch->lock);
	batch->is_over = true;
	(void) pthread_cond_broadcast(&batch->changed);
	(void) pthread_mutex_unlock(&batch->lock);
}

/* What is as it was when it was read needs no second look when the server asks for it. Where that cannot be written
 * down there is no use in going on: false. */
static bool segment_remember(const struct ahead *ahead, const struct segment_file *file)
{
	struct spool_line line = {.name = file->name.text, .stamp = file->stamp};
	struct error failure = {0};

	if (segment_file_is_same(file) && spool_remember(ahead->spool, ahead->record, &line, &failure))
		return true;
	if (failure.kind != ERROR_NONE)
		log_warning("could not write down what is archived: %s", failure.text);
	return false;
}

static bool segment_store(const struct ahead *ahead, const struct segment_file *file, struct error *err)
{
	TRY(wal_store_put(ahead->repo, &file->name, buf_bytes(&file->content), &file->segment, err));
	log_info("stored \"%s\" in \"%s\"", file->name.text, storage_url(ahead->repo->storage));
	return true;
}

/* One that the server has not asked for yet. */
static bool next_store(struct batch *batch, struct segment_file *file, const struct wal_name *name, struct error *err)
{
	const struct ahead *ahead = batch->ahead;
	char path[PATH_MAX];

	TRY(beside(ahead->path, name, path, err));
	TRY(segment_file_read(file, path, name, err));
	if (!file->is_at_rest) {
		batch_end(batch); /* could not be remembered; those behind it are younger still */
		return true;
	}
	if (file->segment.system_identifier != ahead->repo->layout.system_identifier)
		return fail(err, ERROR_USAGE, "\"%s\" belongs to another cluster", path);
	TRY(segment_store(ahead, file, err));
	if (!segment_remember(ahead, file))
		batch_end(batch);
	return true;
}

/* What each worker does, with one buffer for all of its segments. */
static void batch_work(struct batch *batch)
{
	struct segment_file file SEGMENT_FILE_CLEANUP = {.is_at_rest = false};
	const struct ready *ready = batch->ahead->ready;
	int at;

	while (batch_take(batch, &at)) {
		struct error failure = {0};

		if (!next_store(batch, &file, &ready->names[at], &failure)) {
			log_info("did not store \"%s\" ahead: %s", ready->names[at].text, failure.text);
			batch_end(batch);
		}
		batch_settle(batch, at);
	}
}

static bool batch_work_job(void *job, bool cancelled, struct error *err)
{
	(void) err;
	if (!cancelled)
		batch_work(job);
	return true;
}

static struct workers *workers_begin(struct batch *batch)
{
	int count = batch->ahead->workers;
	struct workers *workers = NULL;
	struct error failure = {0};

	if (count > batch->ahead->ready->count)
		count = batch->ahead->ready->count;
	if (!workers_open(count, count, &workers, &failure)) {
		log_info("storing one segment at a time: %s", failure.text);
		return NULL;
	}
	for (int i = 0; i < count; i++)
		(void) !workers_submit(workers, batch_work_job, batch, &failure);
	return workers;
}

/* Those behind the asked one. What threads cannot be had for is done without them. */
static struct batch *batch_begin(const struct ahead *ahead)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (batch == NULL)
		return NULL;
	batch->ahead = ahead;
	batch->deadline_ms = deadline_in(AHEAD_TIME_MAX_MS);
	(void) pthread_mutex_init(&batch->lock, NULL);
	(void) pthread_cond_init(&batch->changed, NULL);
	batch->workers = workers_begin(batch);
	if (batch->workers == NULL)
		batch_work(batch);
	return batch;
}

bool ahead_run(struct ahead *ahead, struct segment_file *asked, struct error *err)
{
	int64_t begin_ms = clock_monotonic_ms();

	TRY(segment_store(ahead, asked, err));
	if (ahead->spool == NULL || !segment_remember(ahead, asked) ||
	    clock_monotonic_ms() - begin_ms >= ASKED_TIME_MAX_MS || ahead->ready->count == 0)
		return true;
	segment_file_release(asked); /* room for that of a worker */
	ahead->batch = batch_begin(ahead);
	return true;
}

void ahead_await(struct ahead *ahead, const char *name)
{
	struct batch *batch = ahead->batch;
	int at = 0;

	if (batch == NULL)
		return;
	while (at < ahead->ready->count && strcmp(ahead->ready->names[at].text, name) != 0)
		at++;
	(void) pthread_mutex_lock(&batch->lock);
	while (at < ahead->ready->count && !batch->is_settled[at] && (at < batch->next || !batch->is_over))
		(void) pthread_cond_wait(&batch->changed, &batch->lock);
	(void) pthread_mutex_unlock(&batch->lock);
}

void ahead_end(struct ahead *ahead)
{
	if (ahead->batch != NULL)
		batch_end(ahead->batch);
}

void ahead_finish(struct ahead *ahead)
{
	struct batch *batch = ahead->batch;
	struct error ignored = {0};

	if (batch == NULL)
		return;
	if (batch->workers != NULL)
		(void) !workers_finish(batch->workers, &ignored);
	(void) pthread_cond_destroy(&batch->changed);
	(void) pthread_mutex_destroy(&batch->lock);
	free(batch);
	ahead->batch = NULL;
}
