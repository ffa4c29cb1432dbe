/* A limit in bytes a second, shared by all threads that move bytes to or from one storage.
 *
 * A bucket of tokens, counted as the moment at which everything taken so far has been earned: who takes more than there
 * is takes it on credit and waits until then, so the waiting threads pass in the order in which they came, and a sleep
 * that lasts too long is made up for. What nobody takes is kept for RATE_BURST_MS and no longer. Knows nothing of
 * files, connections or deadlines: whoever waits adds what it waited to its own.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_BURST_MS 250

struct rate_bucket {
	int64_t bytes_per_second;
	int64_t earned_ns; /* of the clock of clock_monotonic_ms() */
};

/* Takes `size` tokens (at most 1 GiB) at the moment `now_ms`: for how many milliseconds to wait then. */
int64_t rate_bucket_take(struct rate_bucket *bucket, size_t size, int64_t now_ms);

struct rate {
	struct rate_bucket bucket; /* under mutex */
	pthread_mutex_t mutex;
	size_t piece_size;
};

/* 0 bytes a second: no limit. */
void rate_init(struct rate *rate, int64_t bytes_per_second);
void rate_destroy(struct rate *rate);
/* How much to move at a time: small enough that 64 threads take turns within seconds. SIZE_MAX without a limit. */
size_t rate_piece_size(const struct rate *rate);
/* What a connection may receive ahead of us; 0: as much as the system likes. A server fills this at once, whoever waits
 * behind it: with megabytes for each of eight connections a low limit would be passed by half for seconds. */
size_t rate_buffer_size(const struct rate *rate);
/* Waits until `size` bytes may move, or may have moved; says for how long. 0 without a limit. */
int64_t rate_wait_ms(struct rate *rate, size_t size);
