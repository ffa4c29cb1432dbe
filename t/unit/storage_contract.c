/* The contract of storage.h, one suite run against every backend: memory, a faulty one without orders, a directory,
 * and S3 where TEST_PITR_S3_ENDPOINT and TEST_PITR_S3_BUCKET name a server (t/400_storage.pl starts one).
 */
#include "storage/storage.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"
#include "storage/faulty.h"
#include "tap.h"

#define RACERS 8

static const char *backend_name;
static struct error error;

static bool fails_with(bool done, enum error_kind kind, const char *promise)
{
	bool as_expected = !done && error.kind == kind;

	ok(as_expected, "%s: %s", backend_name, promise);
	if (!as_expected)
		printf("# done %d, kind %d instead of %d: %s\n", done, (int) error.kind, (int) kind, error.text);
	return as_expected;
}

static bool works(bool done, const char *promise)
{
	ok(done, "%s: %s", backend_name, promise);
	if (!done)
		printf("# kind %d: %s\n", (int) error.kind, error.text);
	return done;
}

static bool holds(struct storage *storage, const char *key, struct bytes expected)
{
	BUF(content, 8 * MiB);

	return storage_get(storage, key, &content, &error) && bytes_equal(buf_bytes(&content), expected);
}

static void test_put_and_get(struct storage *storage)
{
	BUF(content, 100);

	fails_with(storage_get(storage, "one/absent", &content, &error), ERROR_NOT_FOUND,
		   "what is absent is NOT_FOUND");
	works(storage_put(storage, "one/object", bytes_of_text("content"), &error), "put creates an object");
	works(buf_append_text(&content, "before ", &error) && storage_get(storage, "one/object", &content, &error) &&
		      bytes_equal(buf_bytes(&content), bytes_of_text("before content")),
	      "get appends what was put");
	fails_with(storage_put(storage, "one/object", bytes_of_text("other"), &error), ERROR_EXISTS,
		   "put does not replace");
	fails_with(storage_put(storage, "one/object", bytes_of_text("content"), &error), ERROR_EXISTS,
		   "put says EXISTS for the same content too");
	works(holds(storage, "one/object", bytes_of_text("content")), "a refused put changes nothing");
	works(storage_put(storage, "one/empty", bytes_of(NULL, 0), &error) &&
		      holds(storage, "one/empty", bytes_of(NULL, 0)),
	      "an empty object is an object");
	fails_with(storage_get(storage, "one", &content, &error), ERROR_NOT_FOUND, "a part of a key is no object");
	works(storage_put(storage, "Az09._-/x.y", bytes_of_text("odd"), &error) &&
		      holds(storage, "Az09._-/x.y", bytes_of_text("odd")),
	      "every character that is allowed works");
}

static void test_large(struct storage *storage)
{
	BUF(large, 5 * MiB);
	BUF(small, 5 * MiB - 1);

	works(buf_allocate(&large, 5 * MiB, &error), "5 MiB of memory");
	large.size = 5 * MiB;
	works(random_bytes(large.data, large.size, &error), "5 MiB of noise");
	works(storage_put(storage, "large", buf_bytes(&large), &error), "put takes 5 MiB");
	works(holds(storage, "large", buf_bytes(&large)), "get returns the same 5 MiB");
	fails_with(storage_get(storage, "large", &small, &error), ERROR_CORRUPT,
		   "get keeps to the bound of its buffer");
}

static void range_is(struct storage *storage, uint64_t offset, size_t size, const char *expected, const char *promise)
{
	BUF(content, 100);
	uint64_t object_size = 0;

	bool done = storage_get_range(storage, "range", offset, size, &content, &object_size, &error);
	if (!works(done && object_size == 10 && bytes_equal(buf_bytes(&content), bytes_of_text(expected)), promise))
		printf("# %zu bytes of %llu\n", content.size, (unsigned long long) object_size);
}

static void test_range(struct storage *storage)
{
	BUF(content, 100);
	uint64_t object_size;

	works(storage_put(storage, "range", bytes_of_text("0123456789"), &error), "put");
	range_is(storage, 2, 3, "234", "a range from the middle");
	range_is(storage, 0, 10, "0123456789", "a range that is the whole");
	range_is(storage, 7, 100, "789", "a range over the end is shorter");
	range_is(storage, 10, 5, "", "a range at the end is empty");
	range_is(storage, 1000, 5, "", "a range behind the end is empty");
	range_is(storage, 3, 0, "", "a range of no bytes is empty");
	range_is(storage, 1, SIZE_MAX, "123456789", "a range of any size ends at the end");
	fails_with(storage_get_range(storage, "absent", 0, 1, &content, &object_size, &error), ERROR_NOT_FOUND,
		   "a range of what is absent is NOT_FOUND");
	works(storage_put(storage, "range-empty", bytes_of(NULL, 0), &error) &&
		      storage_get_range(storage, "range-empty", 0, 5, &content, &object_size, &error) &&
		      object_size == 0 && content.size == 0,
	      "a range of an empty object is empty");
}

struct seen {
	char text[2000];
	int stop_after;
	enum error_kind stop_kind;
};

static bool see(void *context, const char *key, uint64_t size, struct error *err)
{
	struct seen *seen = context;
	size_t length = strlen(seen->text);

	(void) snprintf(seen->text + length, sizeof(seen->text) - length, "%s=%llu ", key, (unsigned long long) size);
	if (--seen->stop_after != 0)
		return true;
	return seen->stop_kind == ERROR_NONE ? false : fail(err, seen->stop_kind, "stop");
}

static void lists(struct storage *storage, const char *prefix, const char *after, const char *expected,
		  const char *promise)
{
	struct seen seen = {.stop_after = -1};

	if (!works(storage_list(storage, prefix, after, see, &seen, &error) && strcmp(seen.text, expected) == 0,
		   promise))
		printf("#      got: %s\n# expected: %s\n", seen.text, expected);
}

static void test_list(struct storage *storage)
{
	static const char *const keys[] = {"l/a/b", "l/a-b", "l/a0", "l/a.b", "l/a_b", "l/aB", "l/a/b0/c", "l/a/b-1"};
	struct seen seen = {.stop_after = 2};
	bool stored = true;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		stored &= storage_put(storage, keys[i], bytes_of_text("12345678901234567890"), &error);
	works(stored, "keys to list");
	lists(storage, "l/", "", "l/a-b=20 l/a.b=20 l/a/b=20 l/a/b-1=20 l/a/b0/c=20 l/a0=20 l/aB=20 l/a_b=20 ",
	      "list answers in byte order of the keys, with sizes");
	lists(storage, "l/a/b", "", "l/a/b=20 l/a/b-1=20 l/a/b0/c=20 ", "a prefix may end within a name");
	lists(storage, "l/a/b0/", "", "l/a/b0/c=20 ", "a prefix may be a directory");
	lists(storage, "l/", "l/a/b", "l/a/b-1=20 l/a/b0/c=20 l/a0=20 l/aB=20 l/a_b=20 ", "after is left out itself");
	lists(storage, "l/", "l/a/b0", "l/a/b0/c=20 l/a0=20 l/aB=20 l/a_b=20 ", "after need not exist");
	lists(storage, "l/a/", "l/a0", "", "nothing is behind the last");
	lists(storage, "l/a0", "k", "l/a0=20 ", "after before the prefix hides nothing");
	lists(storage, "nothing/here/", "", "", "a prefix of nothing lists nothing");
	works(storage_list(storage, "l/", "", see, &seen, &error) && strcmp(seen.text, "l/a-b=20 l/a.b=20 ") == 0,
	      "a visit that has seen enough ends the list well");
	seen = (struct seen){.stop_after = 1, .stop_kind = ERROR_DENIED};
	fails_with(storage_list(storage, "l/", "", see, &seen, &error), ERROR_DENIED,
		   "a visit that fails fails the list");
}

static void test_remove_and_sync(struct storage *storage)
{
	BUF(content, 100);

	works(storage_put(storage, "r/one", bytes_of_text("1"), &error), "put");
	works(storage_sync(storage, "r/one", &error), "sync of what is there");
	fails_with(storage_sync(storage, "r/two", &error), ERROR_NOT_FOUND, "sync of what is absent is NOT_FOUND");
	fails_with(storage_sync(storage, "r", &error), ERROR_NOT_FOUND, "sync of a part of a key is NOT_FOUND");
	works(storage_remove(storage, "r/one", &error), "remove");
	fails_with(storage_get(storage, "r/one", &content, &error), ERROR_NOT_FOUND, "what was removed is NOT_FOUND");
	works(storage_remove(storage, "r/one", &error), "removing what is absent is true");
	works(storage_put(storage, "r/one", bytes_of_text("2"), &error) && holds(storage, "r/one", bytes_of_text("2")),
	      "a removed name is free again");
}

static void test_keys(struct storage *storage)
{
	static const char *const bad[] = {"",	  "/a",	 "a/",	"a//b", ".",	"..",	    "a/../b", "a/./b", ".a",
					  "a/.b", "a b", "a%b", "a\\b", "a\nb", "\303\244", "a+b",    "tmp",   "tmp/a"};
	static char longest[514];
	BUF(content, 100);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fails_with(storage_put(storage, bad[i], bytes_of_text("x"), &error), ERROR_USAGE, "a bad key is USAGE");
		if (storage_get(storage, bad[i], &content, &error) || error.kind != ERROR_USAGE)
			ok(false, "%s: get of a bad key is USAGE", backend_name);
	}
	for (size_t i = 0; i < 513; i++)
		longest[i] = i % 100 == 99 ? '/' : 'k';
	fails_with(storage_put(storage, longest, bytes_of_text("x"), &error), ERROR_USAGE, "513 bytes are too long");
	longest[512] = '\0';
	works(storage_put(storage, longest, bytes_of_text("x"), &error) && holds(storage, longest, bytes_of_text("x")),
	      "512 bytes are not");
}

struct racer {
	struct storage *storage;
	char content[100000];
	bool done;
	struct error err;
};

static void *race(void *context)
{
	struct racer *racer = context;

	racer->done =
		storage_put(racer->storage, "race/one", bytes_of(racer->content, sizeof(racer->content)), &racer->err);
	return NULL;
}

/* One winner, seven EXISTS, and the winner's bytes are what is there. */
static bool race_once(struct storage *storage)
{
	static struct racer racers[RACERS];
	pthread_t threads[RACERS];
	int winners = 0;
	int losers = 0;
	bool is_winners = false;

	for (int i = 0; i < RACERS; i++) {
		racers[i].storage = storage;
		memset(racers[i].content, 'a' + i, sizeof(racers[i].content));
		if (pthread_create(&threads[i], NULL, race, &racers[i]) != 0)
			abort();
	}
	for (int i = 0; i < RACERS; i++) {
		(void) pthread_join(threads[i], NULL);
		winners += racers[i].done;
		losers += !racers[i].done && racers[i].err.kind == ERROR_EXISTS;
		if (!racers[i].done && racers[i].err.kind != ERROR_EXISTS)
			printf("# %s\n", racers[i].err.text);
		if (racers[i].done)
			is_winners = holds(storage, "race/one", bytes_of(racers[i].content, sizeof(racers[i].content)));
	}
	return storage_remove(storage, "race/one", &error) && winners == 1 && losers == RACERS - 1 && is_winners;
}

static void test_race(struct storage *storage)
{
	int right = 0;

	for (int i = 0; i < 10; i++)
		right += race_once(storage);
	ok(right == 10, "%s: of %d racing puts one wins, in 10 of 10 rounds", backend_name, RACERS);
}

struct many {
	struct storage *storage;
	int first;
	int count;
	bool done;
};

static void *put_many(void *context)
{
	struct many *many = context;
	struct error err;
	char key[50];

	many->done = true;
	for (int i = many->first; many->done && i < many->first + many->count; i++) {
		(void) snprintf(key, sizeof(key), "many/%02d/%05d", i / 256, i);
		many->done = storage_put(many->storage, key, bytes_of_text(key), &err) &&
			     holds(many->storage, key, bytes_of_text(key));
	}
	return NULL;
}

static bool count_in_order(void *context, const char *key, uint64_t size, struct error *err)
{
	int *count = context;
	char expected[50];

	(void) snprintf(expected, sizeof(expected), "many/%02d/%05d", *count / 256, *count);
	(*count)++;
	return strcmp(key, expected) == 0 && size == strlen(expected)
		       ? true
		       : fail(err, ERROR_CORRUPT, "%s instead of %s", key, expected);
}

static void test_many(struct storage *storage, int count)
{
	struct many many[RACERS];
	pthread_t threads[RACERS];
	bool done = true;
	int listed = 0;

	for (int i = 0; i < RACERS; i++) {
		many[i] = (struct many){storage, i * (count / RACERS), count / RACERS, false};
		if (pthread_create(&threads[i], NULL, put_many, &many[i]) != 0)
			abort();
	}
	for (int i = 0; i < RACERS; i++) {
		(void) pthread_join(threads[i], NULL);
		done = done && many[i].done;
	}
	works(done, "eight threads put and get at once");
	works(storage_list(storage, "many/", "", count_in_order, &listed, &error), "every key is listed in order");
	ok(listed == count, "%s: %d of %d keys are listed", backend_name, listed, count);
	listed = count / 2;
	char after[50];
	(void) snprintf(after, sizeof(after), "many/%02d/%05d", (listed - 1) / 256, listed - 1);
	works(storage_list(storage, "many/", after, count_in_order, &listed, &error) && listed == count,
	      "a list goes on where another ended");
}

static void test_end_by(struct storage *storage)
{
	uint64_t size;
	int listed = 0;
	BUF(content, 100);

	works(storage_put(storage, "e/one", bytes_of_text("1"), &error), "put");
	storage_end_by(storage, deadline_in(60000));
	works(holds(storage, "e/one", bytes_of_text("1")), "before its deadline a storage answers");
	storage_end_by(storage, deadline_in(0));
	fails_with(storage_get(storage, "e/one", &content, &error), ERROR_UNREACHABLE, "get behind it is UNREACHABLE");
	fails_with(storage_get_range(storage, "e/two", 0, 1, &content, &size, &error), ERROR_UNREACHABLE,
		   "what is absent, too");
	fails_with(storage_put(storage, "e/two", bytes_of_text("2"), &error), ERROR_UNREACHABLE, "put, too");
	fails_with(storage_list(storage, "e/", "", count_in_order, &listed, &error), ERROR_UNREACHABLE, "list, too");
	fails_with(storage_put(storage, "/e", bytes_of_text("2"), &error), ERROR_USAGE, "a bad key still is USAGE");
	storage_end_by(storage, 0);
	fails_with(storage_get(storage, "e/two", &content, &error), ERROR_NOT_FOUND, "without one, it answers again");
	works(holds(storage, "e/one", bytes_of_text("1")), "and has what it had");
}

static void run_suite(struct storage *storage, const char *name, int many)
{
	backend_name = name;
	test_put_and_get(storage);
	test_large(storage);
	test_range(storage);
	test_list(storage);
	test_remove_and_sync(storage);
	test_keys(storage);
	test_race(storage);
	test_many(storage, many);
	test_end_by(storage);
}

static void test_memory(void)
{
	struct storage *storage = NULL;
	struct storage *faulty = NULL;

	backend_name = "memory";
	if (!works(storage_open_memory(&storage, &error), "opens"))
		return;
	run_suite(storage, "memory", 2048);
	storage_close(storage);
	if (!works(storage_open_memory(&storage, &error) && storage_open_faulty(storage, &faulty, &error), "opens"))
		return;
	run_suite(faulty, "faulty", 2048);
	storage_close(faulty);
	storage_close(storage);
}

static void order(struct storage *faulty, enum faulty_call call, unsigned skip, enum faulty_harm harm)
{
	struct faulty_order order = {call, skip, 1, harm, ERROR_UNREACHABLE, NULL};

	faulty_order(faulty, &order);
}

static void test_orders(struct storage *faulty)
{
	BUF(content, 100);
	struct seen seen = {.stop_after = -1};

	order(faulty, FAULTY_PUT, 1, FAULTY_BEFORE);
	works(storage_put(faulty, "a", bytes_of_text("abc"), &error), "the first put passes");
	fails_with(storage_put(faulty, "b", bytes_of_text("abc"), &error), ERROR_UNREACHABLE, "the second fails");
	works(storage_put(faulty, "b", bytes_of_text("abc"), &error), "it has not been done");
	ok(faulty_count(faulty, FAULTY_PUT) == 3 && faulty_count(faulty, FAULTY_ANY) == 3, "faulty: calls are counted");
	order(faulty, FAULTY_ANY, 0, FAULTY_AFTER);
	fails_with(storage_put(faulty, "c", bytes_of_text("abc"), &error), ERROR_UNREACHABLE, "a lost answer");
	works(holds(faulty, "c", bytes_of_text("abc")), "it has been done");
	order(faulty, FAULTY_GET, 0, FAULTY_CUT);
	works(storage_get(faulty, "a", &content, &error) && content.size == 2, "get is cut");
	order(faulty, FAULTY_GET, 0, FAULTY_FLIP);
	ok(!holds(faulty, "a", bytes_of_text("abc")), "faulty: get has a wrong bit");
	order(faulty, FAULTY_LIST, 0, FAULTY_HIDE);
	works(storage_list(faulty, "", "", see, &seen, &error) && strcmp(seen.text, "b=3 ") == 0, "list hides keys");
	faulty_order(faulty, NULL);
	lists(faulty, "", "", "a=3 b=3 c=3 ", "without an order all passes");
}

static void test_faulty(void)
{
	struct storage *memory = NULL;
	struct storage *faulty = NULL;

	backend_name = "faulty";
	if (works(storage_open_memory(&memory, &error) && storage_open_faulty(memory, &faulty, &error), "opens"))
		test_orders(faulty);
	storage_close(faulty);
	storage_close(memory);
}

static void write_file(const char *directory, const char *name)
{
	char path[PATH_MAX];

	if (!path_join(path, directory, name, &error) || !fs_create_file(path, 0600, bytes_of_text("not ours"), &error))
		ok(false, "could not write: %s", error.text);
}

static void test_directory_foreign(struct storage *storage, const char *root)
{
	char path[PATH_MAX];
	struct stat status;

	if (!fs_make_directories(root, "f/lost+found", &error) || !fs_make_directories(root, "f/.snapshot", &error))
		ok(false, "could not make a directory: %s", error.text);
	write_file(root, "f/lost+found/x");
	write_file(root, "f/.snapshot/x");
	write_file(root, "f/.nfs0001");
	write_file(root, "tmp/left-behind");
	works(storage_put(storage, "f/ours", bytes_of_text("1"), &error), "put among foreign files");
	lists(storage, "f", "", "f/ours=1 ", "foreign files are not listed");
	lists(storage, "t", "", "", "unfinished files are not listed");
	(void) snprintf(path, sizeof(path), "%s/f/ours", root);
	ok(stat(path, &status) == 0 && (status.st_mode & 07777) == 0600, "directory: files are for their owner only");
	ok(stat(root, &status) == 0 && (status.st_mode & 07777) == 0700, "directory: so is the root");
}

static void make_link(const char *target, const char *root, const char *name)
{
	char path[PATH_MAX];

	(void) snprintf(path, sizeof(path), "%s/%s", root, name);
	ok(symlink(target, path) == 0, "directory: a link %s to %s", name, target);
}

/* A listing finds what get() finds: whoever proves absence with it would be wrong otherwise. */
static void test_directory_links(struct storage *storage, const char *root)
{
	BUF(content, 100);
	struct seen seen = {.stop_after = -1};
	char path[PATH_MAX];

	works(fs_make_directories(root, "../elsewhere", &error), "a directory elsewhere");
	write_file(root, "../elsewhere/y");
	write_file(root, "../elsewhere/object");
	make_link("../../elsewhere", root, "n/a");
	make_link("../../elsewhere/object", root, "n/object");
	works(holds(storage, "n/a/y", bytes_of_text("not ours")), "get follows a link to a directory");
	lists(storage, "n/", "", "n/a-b=1 n/a/object=8 n/a/y=8 n/a0=1 n/object=8 ", "so does list, in byte order");
	lists(storage, "n/a/", "n/a/object", "n/a/y=8 ", "… and within it");

	make_link("../../not-mounted", root, "n/gone");
	fails_with(storage_get(storage, "n/gone/y", &content, &error), ERROR_UNREACHABLE,
		   "get through a link that leads nowhere is UNREACHABLE");
	fails_with(storage_list(storage, "n/g", "", see, &seen, &error), ERROR_UNREACHABLE, "so is list");
	fails_with(storage_list(storage, "n/gone/", "", see, &seen, &error), ERROR_UNREACHABLE,
		   "… of what is behind it");
	lists(storage, "n/a/", "", "n/a/object=8 n/a/y=8 ", "… unless it is not asked for");
	works(fs_make_directories(root, "../not-mounted", &error), "an empty mount point behind it");
	fails_with(storage_get(storage, "n/gone/y", &content, &error), ERROR_UNREACHABLE,
		   "get through a link to an empty directory is UNREACHABLE");
	fails_with(storage_list(storage, "n/g", "", see, &seen, &error), ERROR_UNREACHABLE, "so is list");

	fails_with(storage_list(storage, "n/gone/", "", see, &seen, &error), ERROR_UNREACHABLE,
		   "… of what is behind it");
	(void) snprintf(path, sizeof(path), "%s/n/pipe", root);
	ok(mkfifo(path, 0600) == 0, "directory: a pipe");
	fails_with(storage_list(storage, "n/p", "", see, &seen, &error), ERROR_SYSTEM, "a list over a pipe is SYSTEM");
	ok(strstr(error.text, "/n/pipe\"") != NULL, "directory: … and names it");
	make_link("loop", root, "n/loop");
	fails_with(storage_list(storage, "n/l", "", see, &seen, &error), ERROR_SYSTEM, "a link to itself is SYSTEM");
}

static void test_directory_root(struct storage *storage, const char *root)
{
	BUF(content, 100);
	struct seen seen = {.stop_after = -1};
	uint64_t size;

	fails_with(storage_get(storage, "a", &content, &error), ERROR_UNREACHABLE, "get without a root is UNREACHABLE");
	fails_with(storage_get_range(storage, "a/b", 0, 1, &content, &size, &error), ERROR_UNREACHABLE,
		   "so is a range");
	fails_with(storage_put(storage, "a", bytes_of_text("1"), &error), ERROR_UNREACHABLE, "so is put");
	fails_with(storage_list(storage, "a/", "", see, &seen, &error), ERROR_UNREACHABLE, "so is list");
	fails_with(storage_sync(storage, "a", &error), ERROR_UNREACHABLE, "so is sync");
	fails_with(storage_remove(storage, "a", &error), ERROR_UNREACHABLE, "so is remove");
	ok(mkdir(root, 0700) == 0, "directory: an empty mount point");
	fails_with(storage_get(storage, "a", &content, &error), ERROR_UNREACHABLE, "get from it is UNREACHABLE");
	fails_with(storage_put(storage, "a", bytes_of_text("1"), &error), ERROR_UNREACHABLE, "so is put");
	fails_with(storage_list(storage, "", "", see, &seen, &error), ERROR_UNREACHABLE, "so is list");
	write_file(root, "something");
	fails_with(storage_put(storage, "a", bytes_of_text("1"), &error), ERROR_UNREACHABLE,
		   "put needs what init made");
	works(storage_create(storage, &error), "create");
	works(storage_create(storage, &error), "create again changes nothing");
}

static bool opens(const char *url)
{
	struct storage_settings settings = {.url = url, .retry_for_ms = 1000};
	struct storage *storage;
	bool done = storage_open(&settings, &storage, &error);

	storage_close(storage);
	return done;
}

static void test_urls(void)
{
	backend_name = "open";
	works(opens("/a//"), "a directory");
	works(opens("file:///a"), "a file: address");
	fails_with(opens("file://host/a"), ERROR_USAGE, "another host's file is USAGE");
	fails_with(opens("relative"), ERROR_USAGE, "a relative directory is USAGE");
	fails_with(opens("http://a/b"), ERROR_USAGE, "another scheme is USAGE");
	fails_with(opens(""), ERROR_USAGE, "nothing is USAGE");
	fails_with(opens("//"), ERROR_USAGE, "the root is USAGE");
	fails_with(opens("s3://"), ERROR_USAGE, "S3 without a bucket is USAGE");
	fails_with(opens("s3://b@d/x"), ERROR_USAGE, "a bad bucket name is USAGE");
	fails_with(opens("s3://bucket/a/../b"), ERROR_USAGE, "a bad prefix is USAGE");
}

static void test_directory(void)
{
	char base[] = "/tmp/storage-contract-XXXXXX";
	char root[200];
	char command[200];
	struct storage *storage = NULL;

	backend_name = "directory";
	if (!ok(mkdtemp(base) != NULL, "directory: a place of our own"))
		return;
	(void) snprintf(root, sizeof(root), "%s/parent/root", base);
	ok(fs_make_directories(base, "parent", &error), "directory: with a parent");
	struct storage_settings settings = {.url = root, .retry_for_ms = 1000};
	if (works(storage_open(&settings, &storage, &error), "opens without contact")) {
		is_text(storage_url(storage), root, "directory: its address is the directory");
		test_directory_root(storage, root);
		run_suite(storage, "directory", 64);
		test_directory_foreign(storage, root);
		works(storage_put(storage, "n/a-b", bytes_of_text("1"), &error) &&
			      storage_put(storage, "n/a0", bytes_of_text("1"), &error),
		      "put beside links");
		test_directory_links(storage, root);
	}
	storage_close(storage);
	(void) snprintf(command, sizeof(command), "rm -rf %s", base);
	ok(system(command) == 0, "directory: cleared");
}

static void test_s3(void)
{
	const char *bucket = getenv("TEST_PITR_S3_BUCKET");
	struct storage_settings settings = {
		.retry_for_ms = 20000,
		.s3_endpoint = getenv("TEST_PITR_S3_ENDPOINT"),
		.s3_region = getenv("TEST_PITR_S3_REGION"),
		.s3_addressing = getenv("TEST_PITR_S3_ADDRESSING"),
		.s3_ca_file = getenv("TEST_PITR_S3_CA_FILE"),
		.s3_create_only = true,
	};
	struct storage *storage = NULL;
	char url[300];

	if (settings.s3_endpoint == NULL || bucket == NULL) {
		printf("# S3 not configured\n");
		return;
	}
	backend_name = "S3";
	(void) snprintf(url, sizeof(url), "s3://%s/contract-%08x%08x", bucket, random_below(UINT32_MAX),
			random_below(UINT32_MAX));
	settings.url = url;
	if (works(storage_open(&settings, &storage, &error), "opens without contact") &&
	    works(storage_create(storage, &error), "create finds the bucket")) {
		is_text(storage_url(storage), url, "S3: its address is bucket and prefix");
		run_suite(storage, "S3", 1208);
	}
	storage_close(storage);
}

int main(void)
{
	test_memory();
	test_faulty();
	test_urls();
	test_directory();
	test_s3();
	return done_testing();
}
