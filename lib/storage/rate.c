#include "storage/rate.h"

#include "base/buf.h"
#include "base/clock.h"

#define SECOND_NS INT64_C(1000000000)
#define MS_NS	  INT64_C(1000000)
/* Smaller pieces cost system calls. With larger ones 64 threads would let their connections rest for many seconds at
 * the lowest limit (256 kB a second), and servers give up on a connection that rests (S3 after about 20 s). */
#define PIECES_PER_SECOND 32
#define PIECE_SIZE_MIN	  (16 * KiB)
#define PIECE_SIZE_MAX	  (256 * KiB)

int64_t rate_bucket_take(struct rate_bucket *bucket, size_t size, int64_t now_ms)
{
	int64_t now_ns = now_ms * MS_NS;

	if (bucket->earned_ns < now_ns - RATE_BURST_MS * MS_NS)
		bucket->earned_ns = now_ns - RATE_BURST_MS * MS_NS;
	bucket->earned_ns += (int64_t) size * SECOND_NS / bucket->bytes_per_second;
	return bucket->earned_ns > now_ns ? (bucket->earned_ns - now_ns + MS_NS - 1) / MS_NS : 0;
}

void rate_init(struct rate *rate, int64_t bytes_per_second)
{
	*rate = (struct rate){.bucket = {.bytes_per_second = bytes_per_second}, .piece_size = SIZE_MAX};
	(void) pthread_mutex_init(&rate->mutex, NULL);
	if (bytes_per_second <= 0)
		return;
	/* It begins empty: nothing has been waited for. */
	rate->bucket.earned_ns = clock_monotonic_ms() * MS_NS;
	rate->piece_size = PIECE_SIZE_MIN;
	if (bytes_per_second / PIECES_PER_SECOND > (int64_t) PIECE_SIZE_MIN)
		rate->piece_size = (size_t) (bytes_per_second / PIECES_PER_SECOND);
	if (rate->piece_size > PIECE_SIZE_MAX)
		rate->piece_size = PIECE_SIZE_MAX;
}

void rate_destroy(struct rate *rate)
{
	(void) pthread_mutex_destroy(&rate->mutex);
}

size_t rate_piece_size(const struct rate *rate)
{
	return rate->piece_size;
}

/* A 32nd of a second again: one connection reaches the whole rate over a distance of 30 ms, eight over 250 ms. From 32
 * MB a second on the system's own buffers are small beside the rate; and it may grant no more than 208 kB. */
size_t rate_buffer_size(const struct rate *rate)
{
	int64_t wanted = rate->bucket.bytes_per_second / PIECES_PER_SECOND;

	if (wanted <= 0 || wanted > (int64_t) MiB)
		return 0;
	return wanted > (int64_t) PIECE_SIZE_MIN ? (size_t) wanted : PIECE_SIZE_MIN;
}

int64_t rate_wait_ms(struct rate *rate, size_t size)
{
	if (rate->bucket.bytes_per_second <= 0 || size == 0)
		return 0;
	(void) pthread_mutex_lock(&rate->mutex);
	int64_t wait_ms = rate_bucket_take(&rate->bucket, size, clock_monotonic_ms());
	(void) pthread_mutex_unlock(&rate->mutex);
	clock_sleep_ms(wait_ms);
	return wait_ms;
}
