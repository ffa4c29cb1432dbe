#include "repo/prediction.h"

#include <stdlib.h>

#include "base/log.h"

/* Without a measurement. PostgreSQL 15 replayed 180 MB/s of WAL that is nearly all full page images, and 15 MB/s of one
 * without them; a base backup is as fast as disk and network let it. */
#define GUESS_DOWNLOAD_RATE (100 * (uint64_t) MiB)
#define GUESS_REPLAY_RATE   (40 * (uint64_t) MiB)
#define RATE_MAX	    ((uint64_t) 1 << 50)

static int rate_order(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *) left, b = *(const uint64_t *) right;

	return a < b ? -1 : a > b;
}

/* The lower one of the two in the middle: rather too long than too short. */
static uint64_t rate_median(uint64_t *rates, int count)
{
	qsort(rates, (size_t) count, sizeof(*rates), rate_order);
	return rates[(count - 1) / 2];
}

/* Appends a rate of at least one byte a second, when it was measured. */
static void rate_add(uint64_t bytes, int64_t duration_ms, uint64_t *rates, int *count)
{
	if (bytes == 0 || *count == PREDICTION_MEASUREMENTS_MAX)
		return;
	double rate = (double) bytes * 1000 / (double) (duration_ms > 0 ? duration_ms : 1);
	rates[(*count)++] = rate < 1 ? 1 : rate > (double) RATE_MAX ? RATE_MAX : (uint64_t) rate;
}

static int64_t duration_of(uint64_t bytes, uint64_t rate)
{
	uint64_t duration_s = bytes / rate;

	return duration_s > INT32_MAX ? INT32_MAX : (int64_t) duration_s;
}

void prediction_make(const struct measurement *measurements, int count, uint64_t download_bytes, uint64_t replay_bytes,
		     struct prediction *prediction)
{
	uint64_t downloads[PREDICTION_MEASUREMENTS_MAX], replays[PREDICTION_MEASUREMENTS_MAX];

	*prediction = (struct prediction){.download_rate = GUESS_DOWNLOAD_RATE, .replay_rate = GUESS_REPLAY_RATE};
	for (int i = 0; i < count; i++) {
		rate_add(measurements[i].download_bytes, measurements[i].download_ms, downloads,
			 &prediction->download_count);
		rate_add(measurements[i].replay_bytes, measurements[i].replay_ms, replays, &prediction->replay_count);
	}
	if (prediction->download_count > 0)
		prediction->download_rate = rate_median(downloads, prediction->download_count);
	if (prediction->replay_count > 0)
		prediction->replay_rate = rate_median(replays, prediction->replay_count);
	prediction->download_s = duration_of(download_bytes, prediction->download_rate);
	prediction->replay_s = duration_of(replay_bytes, prediction->replay_rate);
}

void prediction_of(struct repo *repo, uint64_t download_bytes, uint64_t replay_bytes, struct prediction *prediction)
{
	struct measurement measurements[PREDICTION_MEASUREMENTS_MAX];
	struct error err = {0};
	int count;

	if (!measurement_read(repo, PREDICTION_MEASUREMENTS_MAX, measurements, &count, &err)) {
		log_info("how long earlier restores took could not be read: %s", err.text);
		count = 0;
	}
	prediction_make(measurements, count, download_bytes, replay_bytes, prediction);
}
