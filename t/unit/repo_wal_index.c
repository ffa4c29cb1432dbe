/* An index over WAL saves requests and never changes an answer. Segments here are their summaries only. */
#include <stdlib.h>

#include "pg/wal_summary_json.h"
#include "repo/wal_index.h"
#include "repo/wal_index_update.h"
#include "repo/wal_survey.h"
#include "storage/faulty.h"
#include "tap.h"

#define SEGMENT (1u << 20)
#define FIRST	UINT64_C(1000) /* not at the beginning of a block */
#define NOON	INT64_C(1730000000000000)

struct archive {
	struct repo repo;
	struct storage *memory;
	struct wal_path path;
};

static void archive_open(struct archive *archive)
{
	struct error err = {0};

	*archive = (struct archive){.repo = {.unlocking = PTHREAD_MUTEX_INITIALIZER, .host = "host"}};
	if (!storage_open_memory(&archive->memory, &err) ||
	    !storage_open_faulty(archive->memory, &archive->repo.storage, &err) ||
	    !secrets_open(NULL, &archive->repo.secrets, &err) || !layout_init(&archive->repo.layout, "main", &err))
		abort();
	archive->repo.layout.system_identifier = 4711;
	archive->path.layout = archive->repo.layout;
	timeline_history_root(1, &archive->path.history);
}

static void archive_close(struct archive *archive)
{
	storage_close(archive->repo.storage);
	storage_close(archive->memory);
	secrets_close(archive->repo.secrets);
}

/* One commit in each, in the middle. */
static struct wal_summary summary_of(uint64_t number)
{
	uint64_t start = number * SEGMENT;
	int64_t time_us = NOON + (int64_t) (number % 1000000) * 1000000;

	return (struct wal_summary){.understood = true,
				    .magic = 0xD110,
				    .segment_size = SEGMENT,
				    .page_size = 8192,
				    .start = start,
				    .end = start + SEGMENT,
				    .first_record = start + 40,
				    .previous_record = start - 100,
				    .last_record = start + SEGMENT - 100,
				    .commits = 1,
				    .time_min_us = time_us,
				    .time_max_us = time_us,
				    .last_commit = start + SEGMENT / 2,
				    .last_commit_time_us = time_us,
				    .last_commit_xid = (uint32_t) number,
				    .xid_min = (uint32_t) number,
				    .xid_max = (uint32_t) number};
}

/* The plaintext only makes the object as long as is wanted. */
static void put_sized(struct archive *archive, uint32_t timeline, uint64_t number, const char *host, size_t size)
{
	struct wal_summary summary = summary_of(number);
	json_t *json JSON_CLEANUP = json_object();
	json_t *member = json_object();
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE], plain[100] = "";
	struct error err = {0};
	BUF(meta, OBJECT_META_MAX);

	wal_name_of_segment(timeline, number, SEGMENT, &name);
	layout_wal_new(&archive->repo.layout, &name, key);
	if (!json_put(json, "host", json_string(host), &err) ||
	    !json_put(json, "stored", json_string("2024-01-15 13:30:00+00"), &err) ||
	    !json_put(json, "summary", member, &err) || !wal_summary_encode(&summary, member, &err) ||
	    !json_encode(json, &meta, &err) || !storage_remove(archive->memory, key, &err) ||
	    !repo_put(&archive->repo, key, OBJECT_WAL, CLASS_HOST, buf_bytes(&meta), bytes_of(plain, size), NULL, &err))
		printf("Bail out! %s\n", err.text), abort();
}

static void put(struct archive *archive, uint64_t number)
{
	put_sized(archive, 1, number, "host", 1);
}

static void put_many(struct archive *archive, uint64_t first, uint64_t count)
{
	for (uint64_t number = first; number < first + count; number++)
		put(archive, number);
}

static void remove_segment(struct archive *archive, uint64_t number)
{
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE];
	struct error err = {0};

	wal_name_of_segment(1, number, SEGMENT, &name);
	layout_wal(&archive->repo.layout, &name, key);
	if (!storage_remove(archive->memory, key, &err))
		abort();
}

static struct wal_index_update update_of(struct archive *archive, bool checks)
{
	return (struct wal_index_update){
		.layout = &archive->repo.layout, .timeline = 1, .segment_size = SEGMENT, .checks = checks, .jobs = 4};
}

static struct wal_index_update updated(struct archive *archive, bool checks)
{
	struct wal_index_update update = update_of(archive, checks);
	struct error err = {0};

	if (!wal_index_update_run(&archive->repo, &update, &err))
		printf("Bail out! %s\n", err.text), abort();
	return update;
}

/* The keys of the index, in order. */
struct keys {
	int count;
	char keys[64][LAYOUT_KEY_SIZE];
};

static bool key_add(void *context, const char *key, uint64_t size, struct error *err)
{
	struct keys *keys = context;

	(void) size;
	(void) err;
	if (keys->count < 64)
		(void) snprintf(keys->keys[keys->count++], LAYOUT_KEY_SIZE, "%s", key);
	return true;
}

static struct keys *index_keys(struct archive *archive)
{
	static struct keys keys;
	char prefix[LAYOUT_KEY_SIZE];
	struct error err = {0};

	keys.count = 0;
	layout_wal_index_prefix(&archive->repo.layout, "main", 1, prefix);
	if (!storage_list(archive->memory, prefix, "", key_add, &keys, &err))
		abort();
	return &keys;
}

static void index_remove(struct archive *archive)
{
	struct keys *keys = index_keys(archive);
	struct error err = {0};

	for (int i = 0; i < keys->count; i++)
		if (!storage_remove(archive->memory, keys->keys[i], &err))
			abort();
}

/* Surveys a stretch; *requests is what it cost, the listings included. */
static struct wal_survey surveyed(struct archive *archive, uint64_t first, uint64_t last, unsigned *requests)
{
	struct wal_survey survey = {.first = first, .last = last, .from = first * SEGMENT, .jobs = 4};
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct error err = {0};

	faulty_order(archive->repo.storage, NULL);
	if (!wal_range_list(&archive->repo, &archive->path, SEGMENT, first * SEGMENT, &range, &err) ||
	    !wal_survey_run(&archive->repo, &range, &survey, &err))
		printf("Bail out! %s\n", err.text), abort();
	*requests = faulty_count(archive->repo.storage, FAULTY_ANY);
	return survey;
}

static bool same(const struct wal_survey *a, const struct wal_survey *b)
{
	return a->reached == b->reached && a->commits == b->commits && a->end == b->end &&
	       a->last_record == b->last_record && a->last_commit.lsn == b->last_commit.lsn &&
	       a->last_commit.time_us == b->last_commit.time_us && a->is_damaged == b->is_damaged &&
	       a->time_min_us == b->time_min_us && a->time_max_us == b->time_max_us;
}

static void test_requests(void)
{
	struct archive archive;
	unsigned without, with, again;

	archive_open(&archive);
	put_many(&archive, FIRST, 2000);
	struct wal_survey expected = surveyed(&archive, FIRST, FIRST + 999, &without);
	struct wal_index_update update = updated(&archive, false);
	/* 1000 is in block 3; 2999 in block 11, to which more may come */
	ok(update.blocks == 8 && update.written == 8 && update.segments == 11 * 256 - FIRST && update.unreadable == 0,
	   "every block that is followed by another is indexed");
	struct wal_survey got = surveyed(&archive, FIRST, FIRST + 999, &with);
	ok(without == 1002 && with == 2 + 5, "1,000 segments take %u requests without the index, %u with it", without,
	   with);
	ok(same(&expected, &got) && got.commits == 1000, "and the answer is the same");
	update = updated(&archive, false);
	ok(update.blocks == 0 && update.written == 0, "nothing is done twice");
	put_many(&archive, FIRST + 2000, 300);
	faulty_order(archive.repo.storage, NULL);
	update = updated(&archive, false);
	again = faulty_count(archive.repo.storage, FAULTY_ANY);
	ok(update.written == 1 && again == 2 + 256 + 1, "what came since is added, in %u requests", again);
	update = updated(&archive, true);
	ok(update.blocks == 9 && update.good == 9 && update.written == 0, "and all of it is right");
	archive_close(&archive);
}

/* The lines of the segments, in order of their names. */
static void index_content(struct archive *archive, struct buf *content)
{
	struct keys *keys = index_keys(archive);
	struct error err = {0};

	for (int i = 0; i < keys->count; i++) {
		BUF(text, WAL_INDEX_TEXT_MAX);

		if (!repo_get(&archive->repo, keys->keys[i], OBJECT_WAL_INDEX, &text, &err))
			abort();
		const uint8_t *second = memchr(text.data, '\n', text.size);
		if (second == NULL ||
		    !buf_append(content, bytes_of(second, text.size - (size_t) (second - text.data)), &err))
			abort();
	}
}

static void test_rebuilt(void)
{
	struct archive archive;
	BUF(before, 64 * MiB);
	BUF(after, 64 * MiB);

	archive_open(&archive);
	put_many(&archive, FIRST, 700);
	(void) updated(&archive, false);
	index_content(&archive, &before);
	index_remove(&archive);
	struct wal_index_update update = updated(&archive, true);
	index_content(&archive, &after);
	ok(update.written == 3 && before.size > 10000 && bytes_equal(buf_bytes(&before), buf_bytes(&after)),
	   "when all of it is lost, the same is made again");
	archive_close(&archive);
}

static void test_damaged(void)
{
	struct archive archive;
	struct error err = {0};
	unsigned requests;

	archive_open(&archive);
	put_many(&archive, FIRST, 700);
	struct wal_survey expected = surveyed(&archive, FIRST, FIRST + 699, &requests);
	(void) updated(&archive, false);
	char key[LAYOUT_KEY_SIZE];
	(void) snprintf(key, sizeof(key), "%s", index_keys(&archive)->keys[1]);
	if (!storage_remove(archive.memory, key, &err) ||
	    !storage_put(archive.memory, key, bytes_of("nonsense", 8), &err))
		abort();
	struct wal_survey got = surveyed(&archive, FIRST, FIRST + 699, &requests);
	ok(same(&expected, &got), "what a damaged object of the index should tell is read from the segments");
	ok(requests == 2 + 3 + 256 + (FIRST + 700) % 256, "of its block alone");
	struct wal_index_update update = updated(&archive, true);
	ok(update.objects_damaged == 1 && update.damaged == 1 && update.good == 2 && update.written == 1,
	   "it is found, and another one made");
	got = surveyed(&archive, FIRST, FIRST + 699, &requests);
	ok(same(&expected, &got) && requests == 2 + 4 + (FIRST + 700) % 256, "which is used");
	update = updated(&archive, true);
	ok(update.good == 3 && update.written == 0, "and then all is well");
	archive_close(&archive);
}

static void test_filled(void)
{
	struct archive archive;
	unsigned requests;

	archive_open(&archive);
	put_many(&archive, FIRST, 700);
	struct wal_survey expected = surveyed(&archive, FIRST, FIRST + 699, &requests);
	remove_segment(&archive, FIRST + 300);
	(void) updated(&archive, false);
	put(&archive, FIRST + 300);
	struct wal_survey got = surveyed(&archive, FIRST, FIRST + 699, &requests);
	ok(same(&expected, &got) && requests == 2 + 3 + 1 + (FIRST + 700) % 256,
	   "a segment that came after the index of its block is read itself");
	struct wal_index_update update = updated(&archive, true);
	ok(update.incomplete == 1 && update.good == 2 && update.written == 1, "such an index is completed");
	got = surveyed(&archive, FIRST, FIRST + 699, &requests);
	ok(same(&expected, &got) && requests == 2 + 4 + (FIRST + 700) % 256, "by one that has them all");
	archive_close(&archive);
}

static void entry_get(struct archive *archive, uint64_t number, struct wal_entry *entry, bool *is_indexed)
{
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct error err = {0};

	if (!wal_range_list(&archive->repo, &archive->path, SEGMENT, number * SEGMENT, &range, &err) ||
	    !wal_range_indexed(&range, number, entry, is_indexed, &err))
		abort();
}

static void test_changed(void)
{
	struct archive archive;
	struct wal_entry *entry = calloc(1, sizeof(*entry));
	bool is_indexed;

	archive_open(&archive);
	put_many(&archive, FIRST, 700);
	(void) updated(&archive, false);
	entry_get(&archive, FIRST + 5, entry, &is_indexed);
	ok(is_indexed && strcmp(entry->host, "host") == 0 && strcmp(entry->stored, "2024-01-15 13:30:00+00") == 0,
	   "the index knows who stored a segment, and when");
	put_sized(&archive, 1, FIRST + 5, "host", 2);
	entry_get(&archive, FIRST + 5, entry, &is_indexed);
	ok(!is_indexed, "of an object of another size it does not tell");
	entry_get(&archive, FIRST + 699, entry, &is_indexed);
	ok(!is_indexed, "nor of the block that goes on");
	bool is_found = true, is_youngest = true;
	for (int i = 0; i < 6; i++) {
		char host[] = {'h', 'o', 's', (char) ('0' + i), '\0'};

		put_sized(&archive, 1, FIRST + 6, host, 1);
		struct wal_index_update update = updated(&archive, true);
		is_found = is_found && update.different == 1 && update.written == 1;
		entry_get(&archive, FIRST + 6, entry, &is_indexed);
		is_youngest = is_youngest && is_indexed && strcmp(entry->host, host) == 0;
	}
	ok(is_found, "one that says something else than the segments is found");
	ok(is_youngest, "the youngest one counts");
	free(entry);
	archive_close(&archive);
}

static void test_limits(void)
{
	struct archive archive;
	struct error err = {0};
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE];
	unsigned requests;

	archive_open(&archive);
	put_many(&archive, FIRST, 100);
	wal_name_of_segment(1, FIRST + 7, SEGMENT, &name);
	layout_wal(&archive.repo.layout, &name, key);
	if (!storage_remove(archive.memory, key, &err) ||
	    !storage_put(archive.memory, key, bytes_of("nonsense", 8), &err))
		abort();
	struct wal_index_update update = update_of(&archive, true);
	update.is_over = true;
	update.deadline_ms = 1;
	ok(wal_index_update_run(&archive.repo, &update, &err) && update.is_late && update.written == 0,
	   "nothing is begun behind the deadline");
	update = update_of(&archive, true);
	update.is_over = true;
	ok(wal_index_update_run(&archive.repo, &update, &err) && update.written == 2 && update.segments == 99 &&
		   update.unreadable == 1 && update.why.kind == ERROR_CORRUPT,
	   "of a timeline that is over, the last block is indexed too; a damaged segment is left out");
	struct wal_survey got = surveyed(&archive, FIRST, FIRST + 99, &requests);
	ok(got.is_damaged && got.reached == FIRST + 7, "and found as damaged all the same");

	put(&archive, UINT64_MAX / SEGMENT - 5);
	update = updated(&archive, true);
	ok(update.blocks == 2, "a segment far away does not make it count to there");
	faulty_order(
		archive.repo.storage,
		&(struct faulty_order){.call = FAULTY_PUT, .times = 1, .harm = FAULTY_BEFORE, .kind = ERROR_DENIED});
	index_remove(&archive);
	update = update_of(&archive, true);
	ok(!wal_index_update_run(&archive.repo, &update, &err) && err.kind == ERROR_DENIED,
	   "who may not write is told so");
	archive_close(&archive);
}

/* A branch has an index of its own, over what is its own. */
static void test_branch(void)
{
	struct archive archive;
	struct wal_entry *entry = calloc(1, sizeof(*entry));
	struct layout root, fork;
	struct wal_name first;
	bool is_indexed;

	archive_open(&archive);
	root = fork = archive.repo.layout;
	wal_name_of_segment(1, FIRST + 200, SEGMENT, &first);
	fork.branch_count = 2;
	fork.branches[1] = root.branches[0];
	fork.branches[0] = (struct branch){"copy", 1, true, first.log, first.segment};
	put_many(&archive, FIRST, 700);
	archive.repo.layout = fork;
	for (uint64_t number = FIRST + 200; number < FIRST + 700; number++)
		put_sized(&archive, 1, number, "copy", 1);
	struct wal_index_update update = updated(&archive, true);
	ok(update.segments == 6 * 256 - (FIRST + 200), "the index of a branch begins with what is its own");
	archive.repo.layout = root;
	(void) updated(&archive, true);
	archive.path.layout = fork;
	entry_get(&archive, FIRST + 199, entry, &is_indexed);
	ok(is_indexed && strcmp(entry->host, "host") == 0, "what lies before comes from that of its parent");
	entry_get(&archive, FIRST + 200, entry, &is_indexed);
	ok(is_indexed && strcmp(entry->host, "copy") == 0, "what is its own from its own");
	free(entry);
	archive_close(&archive);
}

static bool opens(const char *text, struct wal_index_text *index)
{
	struct error err = {0};
	BUF(copy, 64 * KiB);

	return buf_append_text(&copy, text, &err) && wal_index_text_open(index, &copy, 0, SEGMENT, &err);
}

static void test_text(void)
{
	static const char *const bad[] = {"",
					  "\n",
					  "{}\n",
					  "{\"made_us\":1}",
					  "{\"made_us\":\"1\"}\n",
					  "[1]\n",
					  "{\"made_us\":1}\n{\"name\":\"0000000100000000"};
	static const char *const useless[] = {"{\"name\":\"000000010000000000000001\"",
					      "{\"name\":\"000000010000000000000001\",\"size\":5}",
					      "{\"name\":\"000000010000000000000001\",\"size\":5,\"meta\":[]}",
					      "{\"name\":\"000000010000000000000001\",\"size\":-5,\"meta\":{}}"};
	struct wal_index_text *index = calloc(1, sizeof(*index));
	struct wal_name name;
	struct error err = {0};
	json_t *meta = NULL;

	wal_name_of_segment(1, 1, SEGMENT, &name);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ok(!opens(bad[i], index), "no index: %zu", i);
		wal_index_text_release(index);
	}
	for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
		char text[256];

		(void) snprintf(text, sizeof(text), "{\"made_us\":1}\n%s\n", useless[i]);
		ok(opens(text, index) && !wal_index_text_find(index, 1, &name, 5, &meta, &err) && meta == NULL,
		   "a line that is none: %zu", i);
		wal_index_text_release(index);
	}
	ok(opens("{\"made_us\":1}\nsomething else\n{\"name\":\"000000010000000000000001\",\"size\":5,\"meta\":{}}\n",
		 index) &&
		   wal_index_text_find(index, 1, &name, 5, &meta, &err) && meta != NULL,
	   "lines of another sort do not matter");
	json_cleanup(&meta);
	wal_name_of_segment(2, 1, SEGMENT, &name);
	ok(wal_index_text_find(index, 1, &name, 5, &meta, &err) && meta == NULL, "another timeline's is not found");
	wal_index_text_release(index);
	free(index);
}

int main(void)
{
	test_requests();
	test_rebuilt();
	test_damaged();
	test_filled();
	test_changed();
	test_limits();
	test_branch();
	test_text();
	return done_testing();
}
