/* A fixed number of threads that take jobs from a short queue. The first failure is kept, stops the rest and is
 * handed to whoever asks next; nothing outlives workers_finish().
 */
#pragma once

#include "base/error.h"

struct workers;

/* `count` threads and room for `queue_max` waiting jobs; release with workers_finish(), also after a failure. */
bool workers_open(int count, int queue_max, struct workers **workers, struct error *err) MUST_CHECK;

/* A job runs on one of the threads; it owns `job` from then on and is called with `cancelled` set (to release
 * it only) when another job has failed. */
typedef bool (*worker_run)(void *job, bool cancelled, struct error *err);

/* Waits for room. False when a job has failed: *err is that failure, and `run` has been called as cancelled. */
bool workers_submit(struct workers *workers, worker_run run, void *job, struct error *err) MUST_CHECK;

/* Waits for every job and ends the threads. False with the first failure. Call exactly once. */
bool workers_finish(struct workers *workers, struct error *err) MUST_CHECK;
