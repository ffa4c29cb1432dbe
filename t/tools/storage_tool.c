/* lib/storage from the command line, for tests: the content of put comes from stdin, that of get goes to stdout, and a
 * failure is "KIND: text" with "hint: …" on stderr and exit status 1.
 *
 *   storage_tool create | put KEY | get KEY | range KEY OFFSET SIZE | sync KEY | remove KEY | list [PREFIX [AFTER]] |
 *                together COUNT KEY
 *
 * "together": so many threads at once put KEY/0, KEY/1, … and get it back.
 *
 * The place is in the environment: PITR_REPO, PITR_S3_ENDPOINT, _REGION, _ADDRESSING, _CA_FILE, _STORAGE_CLASS, _SSE,
 * _KMS_KEY_ID, PITR_S3_CREATE_ONLY ("off"), TEST_RETRY_FOR_MS (5000), TEST_LIMIT_RATE. TEST_REPEAT does a get so many
 * times;
 * TEST_WARM names an object that is looked at first, so that there is a kept connection.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fs.h"
#include "base/log.h"
#include "storage/storage.h"

#define OBJECT_SIZE_MAX (64 * MiB)
#define TOGETHER_MAX	64

static const char *const kinds[] = {
	"NONE",
#define KIND(name, archive, recovery, standby, program, check, meaning) #name,
#include "base/errors.def"
#undef KIND
};

static uint64_t number(const char *text)
{
	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static bool read_input(struct buf *content, struct error *err)
{
	uint8_t part[65536];
	ssize_t got;

	while ((got = read(STDIN_FILENO, part, sizeof(part))) > 0)
		TRY(buf_append(content, bytes_of(part, (size_t) got), err));
	return got == 0 ? true : fail_errno(err, "could not read the input");
}

static bool write_output(const struct buf *content, struct error *err)
{
	return fd_write_all(STDOUT_FILENO, buf_bytes(content), "stdout", err);
}

static bool print_key(void *context, const char *key, uint64_t size, struct error *err)
{
	(void) context;
	return printf("%s %llu\n", key, (unsigned long long) size) > 0 ? true : fail_errno(err, "could not print");
}

static bool get_again(struct storage *storage, const char *key, struct buf *content, struct error *err)
{
	uint64_t times = number(getenv("TEST_REPEAT"));

	do {
		buf_clear(content);
		TRY(storage_get(storage, key, content, err));
	} while (times-- > 1);
	return write_output(content, err);
}

struct turn {
	pthread_t thread;
	struct storage *storage;
	struct bytes content;
	char key[256];
	struct error err;
	bool done;
};

static void *turn_run(void *context)
{
	struct turn *turn = context;
	BUF(back, OBJECT_SIZE_MAX);

	turn->done = storage_put(turn->storage, turn->key, turn->content, &turn->err) &&
		     storage_get(turn->storage, turn->key, &back, &turn->err);
	if (turn->done && !bytes_equal(buf_bytes(&back), turn->content))
		turn->done = fail(&turn->err, ERROR_CORRUPT, "\"%s\" came back changed", turn->key);
	return NULL;
}

static bool run_together(struct storage *storage, uint64_t count, const char *key, struct error *err)
{
	static struct turn turns[TOGETHER_MAX];
	BUF(content, OBJECT_SIZE_MAX);
	bool done = true;

	TRY(read_input(&content, err));
	for (uint64_t i = 0; i < count && i < TOGETHER_MAX; i++) {
		turns[i] = (struct turn){.storage = storage, .content = buf_bytes(&content)};
		(void) snprintf(turns[i].key, sizeof(turns[i].key), "%s/%llu", key, (unsigned long long) i);
		if (pthread_create(&turns[i].thread, NULL, turn_run, &turns[i]) != 0)
			abort();
	}
	for (uint64_t i = 0; i < count && i < TOGETHER_MAX; i++) {
		(void) pthread_join(turns[i].thread, NULL);
		if (!turns[i].done)
			*err = turns[i].err;
		done = done && turns[i].done;
	}
	return done;
}

static bool run(struct storage *storage, int count, char **arguments, struct error *err)
{
	const char *verb = arguments[0];
	const char *key = count > 1 ? arguments[1] : "";
	uint64_t object_size;
	BUF(content, OBJECT_SIZE_MAX);

	if (strcmp(verb, "create") == 0)
		return storage_create(storage, err);
	if (strcmp(verb, "put") == 0)
		return read_input(&content, err) && storage_put(storage, key, buf_bytes(&content), err);
	if (strcmp(verb, "get") == 0)
		return get_again(storage, key, &content, err);
	if (strcmp(verb, "range") == 0 && count == 4)
		return storage_get_range(storage, key, number(arguments[2]), (size_t) number(arguments[3]), &content,
					 &object_size, err) &&
		       write_output(&content, err);
	if (strcmp(verb, "sync") == 0)
		return storage_sync(storage, key, err);
	if (strcmp(verb, "remove") == 0)
		return storage_remove(storage, key, err);
	if (strcmp(verb, "list") == 0)
		return storage_list(storage, key, count > 2 ? arguments[2] : "", print_key, NULL, err);
	if (strcmp(verb, "together") == 0 && count == 3)
		return run_together(storage, number(key), arguments[2], err);
	return fail(err, ERROR_USAGE, "unknown verb \"%s\"", verb);
}

int main(int argc, char **argv)
{
	const char *create_only = getenv("PITR_S3_CREATE_ONLY");
	const char *retry_for = getenv("TEST_RETRY_FOR_MS");
	struct storage_settings settings = {
		.url = getenv("PITR_REPO"),
		.retry_for_ms = retry_for != NULL ? (int64_t) number(retry_for) : 5000,
		.limit_rate = (int64_t) number(getenv("TEST_LIMIT_RATE")),
		.s3_endpoint = getenv("PITR_S3_ENDPOINT"),
		.s3_region = getenv("PITR_S3_REGION"),
		.s3_addressing = getenv("PITR_S3_ADDRESSING"),
		.s3_ca_file = getenv("PITR_S3_CA_FILE"),
		.s3_storage_class = getenv("PITR_S3_STORAGE_CLASS"),
		.s3_sse = getenv("PITR_S3_SSE"),
		.s3_kms_key_id = getenv("PITR_S3_KMS_KEY_ID"),
		.s3_create_only = create_only == NULL || strcmp(create_only, "off") != 0,
	};
	struct storage *storage = NULL;
	struct error err = {.kind = ERROR_USAGE, .text = "no verb"};

	process_init();
	log_init("storage_tool", LOG_LEVEL_WARNING);
	const char *warm = getenv("TEST_WARM");
	bool done = argc > 1 && storage_open(&settings, &storage, &err) &&
		    (warm == NULL || storage_sync(storage, warm, &err)) && run(storage, argc - 1, argv + 1, &err);
	storage_close(storage);
	if (done && fflush(stdout) == 0)
		return 0;
	(void) fprintf(stderr, "%s: %s\n", kinds[err.kind], err.text);
	if (err.hint[0] != '\0')
		(void) fprintf(stderr, "hint: %s\n", err.hint);
	return 1;
}
