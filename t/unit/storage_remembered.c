/* What is remembered of listings answers as the store would have, however it was asked for in parts; and is for one
 * thread, for a while. */
#include <pthread.h>
#include <stdlib.h>

#include "tap.h"

#include "storage/backend.h"

#define KEYS  400
#define ASKED 3000

struct seen {
	char keys[KEYS + 8][32];
	uint64_t sizes[KEYS + 8];
	int count, wanted; /* then it has enough; 0: all */
};

static bool seen_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct seen *seen = context;

	(void) snprintf(seen->keys[seen->count], sizeof(seen->keys[0]), "%s", key);
	seen->sizes[seen->count++] = size;
	err->kind = ERROR_NONE;
	return seen->count != seen->wanted;
}

static bool listed(struct storage *storage, const char *prefix, const char *after, int wanted, struct seen *seen)
{
	struct error err = {0};

	*seen = (struct seen){.wanted = wanted};
	return storage_list(storage, prefix, after, seen_visit, seen, &err);
}

static void put(struct storage *storage, const char *key, size_t size)
{
	static const char content[8];
	struct error err = {0};

	if (!storage_put(storage, key, bytes_of(content, size), &err) && err.kind != ERROR_EXISTS)
		abort();
}

/* "a/b/17": few prefixes, so that many are asked for twice. */
static void key_draw(char key[32])
{
	(void) snprintf(key, 32, "%c/%c/%d", "ab0"[rand() % 3], "xyz-"[rand() % 4], rand() % 90);
}

static void prefix_draw(char prefix[32])
{
	key_draw(prefix);
	switch (rand() % 4) {
	case 0:
		prefix[0] = '\0';
		break;
	case 1:
		prefix[2] = '\0';
		break;
	case 2:
		prefix[4] = '\0';
		break;
	default: /* not the whole of a part */
		prefix[5] = '\0';
	}
}

static bool is_same(const struct seen *a, const struct seen *b)
{
	bool same = a->count == b->count;

	for (int i = 0; same && i < a->count; i++)
		same = strcmp(a->keys[i], b->keys[i]) == 0 && a->sizes[i] == b->sizes[i];
	return same;
}

static void test_same(struct storage *storage)
{
	static struct seen remembered, asked;
	struct error err = {0};
	bool done = true, same = true;

	for (int i = 0; i < ASKED && done && same; i++) {
		char prefix[32], after[32] = "";
		int wanted = rand() % 3 == 0 ? 1 + rand() % 5 : 0;

		if (i % 200 == 0) /* from the beginning */
			done = storage_remember(storage, &err);
		prefix_draw(prefix);
		if (rand() % 2 == 0)
			key_draw(after);
		done = done && listed(storage, prefix, after, wanted, &remembered);
		/* Beside what is remembered: another handle of the same would do, but memory has one. */
		storage->remembering = 0;
		done = done && listed(storage, prefix, after, wanted, &asked);
		storage->remembering = (uintptr_t) pthread_self();
		same = is_same(&remembered, &asked);
		if (!same)
			printf("# list \"%s\" after \"%s\", %d: %d and %d\n", prefix, after, wanted, remembered.count,
			       asked.count);
	}
	storage_forget(storage);
	ok(done && same, "it answers as the store does");
}

static void *list_elsewhere(void *context)
{
	static struct seen seen;

	return listed(context, "new/", "", 0, &seen) && seen.count == 3 ? context : NULL;
}

static void test_while(struct storage *storage)
{
	static struct seen seen;
	struct error err = {0};
	pthread_t thread;
	void *result = NULL;

	put(storage, "new/a", 1);
	put(storage, "new/c", 1);
	ok(storage_remember(storage, &err) && listed(storage, "new/", "", 1, &seen), "a listing is begun");
	put(storage, "new/b", 2);
	ok(listed(storage, "new/", "", 1, &seen) && seen.count == 1, "what was seen is recalled");
	ok(listed(storage, "new/", "", 0, &seen) && seen.count == 3, "what was not is asked for");
	ok(storage_remove(storage, "new/c", &err) && listed(storage, "new/", "", 0, &seen) && seen.count == 3,
	   "once seen it is as it was");
	put(storage, "new/c", 1);
	ok(storage_remove(storage, "new/b", &err) && (put(storage, "new/d", 1), true) &&
		   pthread_create(&thread, NULL, list_elsewhere, storage) == 0 && pthread_join(thread, &result) == 0 &&
		   result != NULL,
	   "another thread sees what there is");
	storage_forget(storage);
	ok(listed(storage, "new/", "new/c", 0, &seen) && seen.count == 1, "and so does this one, afterwards");
}

int main(void)
{
	struct storage *storage;
	struct error err = {0};

	srand(17);
	if (!storage_open_memory(&storage, &err))
		return 1;
	for (int i = 0; i < KEYS; i++) {
		char key[32];

		key_draw(key);
		put(storage, key, (size_t) (i % 5));
	}
	test_same(storage);
	test_while(storage);
	storage_close(storage);
	return done_testing();
}
