/* Marks stay few however long a window grows, lose nothing but detail of what is old, and go on from where they were
 * kept to what they would have become at once. */
#include "tap.h"

#include "repo/wal_marks.h"

#define COUNT 100000

/* One segment of many: commits come and go, and times jump. */
static struct wal_mark mark_of(uint64_t number)
{
	struct wal_mark mark = {.first = number, .last = number, .stored_bytes = 1000 + number % 7};

	mark.commits = number % 3;
	if (number % 5 != 0) { /* a rollback has a time as well */
		mark.time_min_us = (int64_t) (1000000 + number * 10 - number % 4 * 25);
		mark.time_max_us = (int64_t) (1000000 + number * 10 + 5);
	}
	if (mark.commits == 0)
		return mark;
	mark.last_commit = number * 16777216 + 100;
	mark.last_commit_xid = (uint32_t) number;
	mark.last_commit_time_us = (int64_t) (1000000 + number * 10);
	return mark;
}

static bool add(struct wal_marks *marks, uint64_t first, uint64_t last)
{
	struct error err = {0};

	for (uint64_t number = first; number <= last; number++) {
		struct wal_mark mark = mark_of(number);

		if (!wal_marks_add(marks, &mark, &err))
			return false;
	}
	return true;
}

static bool mark_is(const struct wal_mark *a, const struct wal_mark *b)
{
	return a->first == b->first && a->last == b->last && a->stored_bytes == b->stored_bytes &&
	       a->commits == b->commits && a->time_min_us == b->time_min_us && a->time_max_us == b->time_max_us &&
	       a->last_commit == b->last_commit && a->last_commit_xid == b->last_commit_xid &&
	       a->last_commit_time_us == b->last_commit_time_us;
}

/* Is each mark what its segments are together? */
static bool is_right(const struct wal_marks *marks, uint64_t first, uint64_t last)
{
	uint64_t next = first;

	for (int i = 0; i < marks->count; i++) {
		const struct wal_mark *mark = &marks->items[i];
		struct wal_mark sum = mark_of(mark->first);

		if (mark->first != next || mark->last < mark->first || mark->last > last)
			return false;
		for (uint64_t number = mark->first + 1; number <= mark->last; number++) {
			struct wal_mark more = mark_of(number);

			sum.stored_bytes += more.stored_bytes;
			sum.commits += more.commits;
			if (more.time_min_us != 0 && (sum.time_min_us == 0 || more.time_min_us < sum.time_min_us))
				sum.time_min_us = more.time_min_us;
			if (more.time_max_us > sum.time_max_us)
				sum.time_max_us = more.time_max_us;
			if (more.last_commit > sum.last_commit) {
				sum.last_commit = more.last_commit;
				sum.last_commit_xid = more.last_commit_xid;
				sum.last_commit_time_us = more.last_commit_time_us;
			}
		}
		sum.last = mark->last;
		if (!mark_is(&sum, mark))
			return false;
		next = mark->last + 1;
	}
	return next == last + 1;
}

static uint64_t widest(const struct wal_marks *marks)
{
	uint64_t width = 0;

	for (int i = 0; i < marks->count; i++)
		if (marks->items[i].last - marks->items[i].first + 1 > width)
			width = marks->items[i].last - marks->items[i].first + 1;
	return width;
}

static bool is_same(const struct wal_marks *a, const struct wal_marks *b)
{
	bool same = a->count == b->count;

	for (int i = 0; same && i < a->count; i++)
		same = mark_is(&a->items[i], &b->items[i]);
	return same;
}

static void test_merging(void)
{
	struct wal_marks marks WAL_MARKS_CLEANUP = {0};
	bool stays_few = true;

	ok(add(&marks, 3, WAL_MARKS_MAX + 2) && marks.count == WAL_MARKS_MAX && widest(&marks) == 1,
	   "so many segments have a mark each");
	ok(add(&marks, WAL_MARKS_MAX + 3, WAL_MARKS_MAX + 3) && marks.count < WAL_MARKS_MAX && widest(&marks) == 2,
	   "one more, and older ones share");
	for (uint64_t number = WAL_MARKS_MAX + 4; number < COUNT; number++)
		stays_few = add(&marks, number, number) && marks.count <= WAL_MARKS_MAX && stays_few;
	ok(stays_few, "there are never more");
	ok(is_right(&marks, 3, COUNT - 1), "nothing is lost of any segment");
	ok(widest(&marks) <= 4 * COUNT / WAL_MARKS_MAX, "the oldest are as fine as the number allows");
	bool is_single = true;
	for (int i = marks.count - 2048; i < marks.count; i++)
		is_single = is_single && marks.items[i].first == marks.items[i].last;
	ok(is_single, "the newest have a mark each");
	ok(wal_marks_last_commit(&marks)->last_commit == mark_of(COUNT - 2).last_commit, "the last commit is found");
}

/* What a mirror keeps, again and again, after every few segments. */
static void test_going_on(void)
{
	struct wal_marks at_once WAL_MARKS_CLEANUP = {0};
	struct wal_marks kept WAL_MARKS_CLEANUP = {0};
	struct error err = {0};
	bool done = add(&at_once, 0, COUNT - 1);

	for (uint64_t number = 0; number < COUNT; number += 5000) {
		json_t *array JSON_CLEANUP = json_array();
		struct wal_marks read = {0};

		done = done && add(&kept, number, number + 4999) && wal_marks_encode(&kept, array, &err) &&
		       wal_marks_decode(array, &read, &err) && is_same(&kept, &read);
		wal_marks_release(&kept);
		kept = read;
	}
	ok(done && is_same(&at_once, &kept), "kept in between they come to the same");
}

static void test_within(void)
{
	struct wal_marks all WAL_MARKS_CLEANUP = {0};
	struct wal_marks part WAL_MARKS_CLEANUP = {0};
	struct error err = {0};

	ok(add(&all, 10, 29) && wal_marks_add_within(&part, &all, 12, 20, &err) && is_right(&part, 12, 20),
	   "a part can be taken");
}

static void test_decoding(void)
{
	static const struct {
		const char *title, *text;
	} cases[] = {
		{"no array", "{\"marks\":[1]}"},
		{"too few numbers", "{\"marks\":[[1,1,1,0,0,0,0,0]]}"},
		{"too many numbers", "{\"marks\":[[1,1,1,0,0,0,0,0,0,0]]}"},
		{"text", "{\"marks\":[[1,1,\"1\",0,0,0,0,0,0]]}"},
		{"less than nothing", "{\"marks\":[[1,1,-1,0,0,0,0,0,0]]}"},
		{"an end before the beginning", "{\"marks\":[[2,1,1,0,0,0,0,0,0]]}"},
		{"no transaction id", "{\"marks\":[[1,1,1,0,0,0,0,4294967296,0]]}"},
		{"a hole", "{\"marks\":[[1,1,1,0,0,0,0,0,0],[3,3,1,0,0,0,0,0,0]]}"},
		{"twice the same", "{\"marks\":[[1,1,1,0,0,0,0,0,0],[1,1,1,0,0,0,0,0,0]]}"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json JSON_CLEANUP = NULL;
		struct wal_marks marks WAL_MARKS_CLEANUP = {0};
		struct error err = {0};

		ok(json_decode(bytes_of(cases[i].text, strlen(cases[i].text)), "it", &json, &err) &&
			   !wal_marks_decode(json_object_get(json, "marks"), &marks, &err) && err.kind == ERROR_CORRUPT,
		   "refused: %s", cases[i].title);
	}
}

int main(void)
{
	test_merging();
	test_going_on();
	test_within();
	test_decoding();
	return done_testing();
}
