#include "repo/measurement.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/random.h"

#define FACT_SIZE_MAX (64 * KiB)
#define NEWEST_MAX    50 /* so many are looked at for some of this host */

/* The newest keys of a listing, which is in the order of time. */
struct newest {
	const struct repo *repo;
	uint64_t seen;
	char keys[NEWEST_MAX][LAYOUT_KEY_SIZE]; /* a ring */
};

static bool measurement_encode(const struct measurement *measurement, json_t *json, struct error *err)
{
	TRY(json_put(json, "label", json_string(measurement->label), err));
	TRY(json_put(json, "host", json_string(measurement->host), err));
	TRY(json_put(json, "finished_us", json_integer(measurement->finished_us), err));
	TRY(json_put(json, "download_bytes", json_integer((json_int_t) measurement->download_bytes), err));
	TRY(json_put(json, "download_ms", json_integer(measurement->download_ms), err));
	TRY(json_put(json, "replay_bytes", json_integer((json_int_t) measurement->replay_bytes), err));
	return json_put(json, "replay_ms", json_integer(measurement->replay_ms), err);
}

static bool measurement_decode(const json_t *json, struct measurement *measurement, struct error *err)
{
	TRY(json_copy_text(json, "label", measurement->label, sizeof(measurement->label), err));
	TRY(json_copy_text(json, "host", measurement->host, sizeof(measurement->host), err));
	TRY(json_get_integer(json, "finished_us", 0, INT64_MAX, &measurement->finished_us, err));
	TRY(json_get_u64(json, "download_bytes", &measurement->download_bytes, err));
	TRY(json_get_integer(json, "download_ms", 0, INT64_MAX, &measurement->download_ms, err));
	TRY(json_get_u64(json, "replay_bytes", &measurement->replay_bytes, err));
	return json_get_integer(json, "replay_ms", 0, INT64_MAX, &measurement->replay_ms, err);
}

bool measurement_put(struct repo *repo, struct measurement *measurement, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	uint8_t random[4];
	char key[LAYOUT_KEY_SIZE];
	BUF(text, FACT_SIZE_MAX);

	memcpy(measurement->host, repo->host, sizeof(measurement->host));
	TRY(measurement_encode(measurement, json, err));
	TRY(json_encode(json, &text, err));
	TRY(random_bytes(random, sizeof(random), err));
	layout_measurement(&repo->layout, layout_branch(&repo->layout), measurement->finished_us, random, key);
	return repo_put(repo, key, OBJECT_FACT, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), NULL, err);
}

static bool newest_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct newest *newest = context;

	(void) size;
	(void) err;
	if (layout_parse_measurement(&newest->repo->layout, layout_branch(&newest->repo->layout), key))
		memcpy(newest->keys[newest->seen++ % NEWEST_MAX], key, strlen(key) + 1);
	return true;
}

static bool measurement_get(struct repo *repo, const char *key, struct measurement *measurement, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	BUF(text, FACT_SIZE_MAX);

	*measurement = (struct measurement){.replay_ms = 0};
	TRY(repo_get(repo, key, OBJECT_FACT, &text, err));
	TRY(json_decode(buf_bytes(&text), key, &json, err));
	return measurement_decode(json, measurement, err);
}

/* Those of any host stand in `measurements` until one of this host is found, which begins anew. */
static void newest_take(struct repo *repo, const struct newest *newest, int room, struct measurement *measurements,
			int *count)
{
	bool is_own = false;
	int looked = newest->seen < NEWEST_MAX ? (int) newest->seen : NEWEST_MAX;

	for (int i = 1; i <= looked && !(is_own && *count == room); i++) {
		const char *key = newest->keys[(newest->seen - (uint64_t) i) % NEWEST_MAX];
		struct measurement found;
		struct error err = {0};

		if (!measurement_get(repo, key, &found, &err)) {
			log_debug("the measurement \"%s\" is left out: %s", key, err.text);
			continue;
		}
		bool is_of_host = strcmp(found.host, repo->host) == 0;
		if (is_of_host && !is_own)
			*count = 0;
		is_own = is_own || is_of_host;
		if (is_of_host == is_own && *count < room)
			measurements[(*count)++] = found;
	}
}

bool measurement_read(struct repo *repo, int room, struct measurement *measurements, int *count, struct error *err)
{
	struct newest *newest = calloc(1, sizeof(*newest));
	char prefix[LAYOUT_KEY_SIZE];

	*count = 0;
	if (newest == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	newest->repo = repo;
	layout_measurement_prefix(&repo->layout, layout_branch(&repo->layout), prefix);
	bool done = storage_list(repo->storage, prefix, "", newest_visit, newest, err);
	if (done)
		newest_take(repo, newest, room, measurements, count);
	free(newest);
	return done;
}
