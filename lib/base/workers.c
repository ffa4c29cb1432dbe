#include "base/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct job {
	worker_run run;
	void *job;
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int thread_count;
	pthread_t *threads;
	int queue_max;
	int queued;
	int first;
	struct job *queue; /* a ring of queue_max */
	bool finishing;
	bool failed;
	struct error failure;
};

static void workers_free(struct workers *workers)
{
	(void) pthread_cond_destroy(&workers->changed);
	(void) pthread_mutex_destroy(&workers->lock);
	free(workers->threads);
	free(workers->queue);
	free(workers);
}

/* Takes the next job; false when there will be none. Called with the lock held. */
static bool workers_take(struct workers *workers, struct job *job)
{
	while (workers->queued == 0 && !workers->finishing)
		(void) pthread_cond_wait(&workers->changed, &workers->lock);
	if (workers->queued == 0)
		return false;
	*job = workers->queue[workers->first];
	workers->first = (workers->first + 1) % workers->queue_max;
	workers->queued--;
	(void) pthread_cond_broadcast(&workers->changed);
	return true;
}

static void *workers_thread(void *context)
{
	struct workers *workers = context;
	struct job job;

	(void) pthread_mutex_lock(&workers->lock);
	while (workers_take(workers, &job)) {
		bool cancelled = workers->failed;
		struct error err = {0};

		(void) pthread_mutex_unlock(&workers->lock);
		bool done = job.run(job.job, cancelled, &err);
		(void) pthread_mutex_lock(&workers->lock);
		if (!done && !workers->failed) {
			workers->failed = true;
			workers->failure = err;
			(void) pthread_cond_broadcast(&workers->changed);
		}
	}
	(void) pthread_mutex_unlock(&workers->lock);
	return NULL;
}

bool workers_open(int count, int queue_max, struct workers **workers, struct error *err)
{
	struct workers *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	made->queue_max = queue_max;
	made->threads = calloc((size_t) count, sizeof(*made->threads));
	made->queue = calloc((size_t) queue_max, sizeof(*made->queue));
	(void) pthread_mutex_init(&made->lock, NULL);
	(void) pthread_cond_init(&made->changed, NULL);
	if (made->threads == NULL || made->queue == NULL) {
		workers_free(made);
		return fail(err, ERROR_SYSTEM, "out of memory");
	}
	while (made->thread_count < count) {
		int code = pthread_create(&made->threads[made->thread_count], NULL, workers_thread, made);

		if (code != 0) {
			struct error ignored = {0};
			(void) !workers_finish(made, &ignored);
			return fail(err, ERROR_SYSTEM, "could not start a thread: %s", strerror(code));
		}
		made->thread_count++;
	}
	*workers = made;
	return true;
}

bool workers_submit(struct workers *workers, worker_run run, void *job, struct error *err)
{
	(void) pthread_mutex_lock(&workers->lock);
	while (workers->queued == workers->queue_max && !workers->failed)
		(void) pthread_cond_wait(&workers->changed, &workers->lock);
	bool failed = workers->failed;
	if (failed) {
		*err = workers->failure;
	} else {
		workers->queue[(workers->first + workers->queued) % workers->queue_max] =
			(struct job){.run = run, .job = job};
		workers->queued++;
		(void) pthread_cond_broadcast(&workers->changed);
	}
	(void) pthread_mutex_unlock(&workers->lock);

	if (failed) {
		struct error ignored = {0};
		(void) !run(job, true, &ignored);
	}
	return !failed;
}

bool workers_finish(struct workers *workers, struct error *err)
{
	(void) pthread_mutex_lock(&workers->lock);
	workers->finishing = true;
	(void) pthread_cond_broadcast(&workers->changed);
	(void) pthread_mutex_unlock(&workers->lock);
	for (int i = 0; i < workers->thread_count; i++)
		(void) pthread_join(workers->threads[i], NULL);

	bool done = !workers->failed;
	if (!done)
		*err = workers->failure;
	workers_free(workers);
	return done;
}
