/* The limit of the rate, by a clock of our own: what it lets through in ten seconds, whoever takes and however much. */
#include "storage/rate.h"

#include <stdbool.h>
#include <stdlib.h>

#include "tap.h"

#define WORKERS_MAX 64
#define SECONDS	    10

/* A worker takes `size` bytes, is let go after its wait, rests, and takes again. */
struct scene {
	const char *title;
	int64_t bytes_per_second;
	size_t size;
	int workers;
	int64_t rest_ms; /* between two takes: the latency of a disk or a server */
	int64_t late_ms; /* what a sleep lasts longer than it was meant to */
};

static int64_t run(const struct scene *scene, int64_t from_ms)
{
	struct rate_bucket bucket = {scene->bytes_per_second, from_ms * 1000000};
	int64_t free_at_ms[WORKERS_MAX];
	int64_t moved = 0;

	for (int i = 0; i < scene->workers; i++)
		free_at_ms[i] = from_ms;
	for (int64_t now_ms = from_ms; now_ms < from_ms + SECONDS * 1000; now_ms++) {
		for (int i = 0; i < scene->workers; i++) {
			while (free_at_ms[i] <= now_ms) {
				int64_t wait_ms = rate_bucket_take(&bucket, scene->size, now_ms);

				free_at_ms[i] = now_ms + wait_ms + (wait_ms > 0 ? scene->late_ms : 0) + scene->rest_ms;
				if (now_ms + wait_ms <= from_ms + SECONDS * 1000)
					moved += (int64_t) scene->size;
			}
		}
	}
	return moved;
}

static void test_rates(void)
{
	static const struct scene scenes[] = {
		{"one worker, small pieces", 1000000, 16384, 1, 0, 0},
		{"eight workers, small pieces", 1000000, 16384, 8, 0, 0},
		{"64 workers at the lowest limit", 262144, 16384, 64, 0, 0},
		{"pieces of less than a millisecond", 100000000, 16384, 8, 0, 0},
		{"a hundred gigabytes a second", INT64_C(107374182400), 262144, 8, 0, 0},
		{"sleeps that last 20 ms too long", 20000000, 262144, 1, 0, 20},
		{"a disk that needs 10 ms for each piece", 20000000, 262144, 1, 3, 0},
		{"odd sizes", 1234567, 7919, 3, 0, 1},
	};

	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++) {
		int64_t asked = scenes[i].bytes_per_second * SECONDS;
		int64_t moved = run(&scenes[i], 1000 * 1000);
		bool holds = llabs(moved - asked) <= asked / 20;

		ok(holds, "%s: within 5 %% over ten seconds", scenes[i].title);
		if (!holds)
			printf("# %lld of %lld\n", (long long) moved, (long long) asked);
	}
}

static void test_burst(void)
{
	struct rate_bucket bucket = {1000000, 0};
	int64_t moved = 0;

	while (rate_bucket_take(&bucket, 1000, 3600 * 1000) == 0)
		moved += 1000;
	ok(moved == 250000, "after an hour of rest no more than a quarter of a second passes at once");
	ok(rate_bucket_take(&bucket, 1000, 3600 * 1000) == 2, "then each waits behind the one before");
	ok(rate_bucket_take(&bucket, 1000000, 3600 * 1000) == 1002, "… however much it takes");
	ok(rate_bucket_take(&bucket, 1000, 3600 * 1000 + 1002) == 1, "what was taken on credit is paid back");
}

static void test_pieces(void)
{
	static const struct {
		int64_t bytes_per_second;
		size_t piece_size;
	} cases[] = {{0, SIZE_MAX}, {262144, 16384}, {2097152, 65536}, {INT64_C(107374182400), 262144}};
	struct rate rate;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rate_init(&rate, cases[i].bytes_per_second);
		ok(rate_piece_size(&rate) == cases[i].piece_size, "%lld bytes a second move in pieces of %zu",
		   (long long) cases[i].bytes_per_second, cases[i].piece_size);
		rate_destroy(&rate);
	}
	rate_init(&rate, 0);
	ok(rate_wait_ms(&rate, SIZE_MAX) == 0, "without a limit nobody waits");
	rate_destroy(&rate);
}

int main(void)
{
	test_rates();
	test_burst();
	test_pieces();
	return done_testing();
}
