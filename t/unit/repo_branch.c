/* Which branch of a chain a WAL file is read from: every case of a copy of a copy of a fork, which real servers would
 * take an hour to make. And marks and origins that nobody should have written. */

#include <stdio.h>
#include <string.h>

#include "repo/branch_mark.h"
#include "tap.h"

/* c left b on timeline 3; b began with segment 5 of timeline 2 of a; a left main on timeline 1. */
static struct layout chain(void)
{
	struct layout layout = {.cluster = "main", .system_identifier = 7, .branch_count = 4};

	layout.branches[0] = (struct branch){.name = "c", .timeline = 3};
	layout.branches[1] = (struct branch){.name = "b", .timeline = 2, .has_first = true, .first_segment = 5};
	layout.branches[2] = (struct branch){.name = "a", .timeline = 1};
	layout.branches[3] = (struct branch){.name = LAYOUT_BRANCH_DEFAULT};
	return layout;
}

static const char *owner_of(const char *text)
{
	static struct layout layout;
	struct error err;
	struct wal_name name;

	layout = chain();
	return wal_name_parse(text, &name, &err) ? layout_owner(&layout, &name)->name : "no name";
}

static void test_owners(void)
{
	static const struct {
		const char *name, *owner;
	} files[] = {
		{"000000010000000000000004", "main"},
		{"00000001000000FF00000004", "main"},
		{"000000010000000000000004.partial", "main"},
		{"00000002.history", "a"},
		{"000000020000000000000004", "a"},
		{"000000020000000000000005", "b"},
		{"000000020000000100000000", "b"},
		{"000000020000000000000005.00000028.backup", "b"},
		{"000000020000000000000004.partial", "a"},
		{"00000003.history", "b"},
		{"000000030000000000000001", "b"},
		{"00000003000000FF00000000", "b"},
		{"00000004.history", "c"},
		{"000000040000000000000001", "c"},
		{"FFFFFFFF0000000000000001", "c"},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		is_text(owner_of(files[i].name), files[i].owner, files[i].name);
}

static void test_timelines(void)
{
	/* main, a, b, c by row; timelines 1 to 5 */
	static const char *const owned[] = {"x----", "-x---", "-xx--", "---xx"};
	struct layout layout = chain();

	for (int row = 0; row < 4; row++) {
		char seen[6] = "";

		for (uint32_t timeline = 1; timeline <= 5; timeline++)
			seen[timeline - 1] = layout_owns_timeline(&layout, 3 - row, timeline) ? 'x' : '-';
		is_text(seen, owned[row], layout.branches[3 - row].name);
	}
}

static bool mark_is_good(const char *text)
{
	static struct repo repo = {.layout = {.system_identifier = 7}};
	struct branch_mark mark;
	struct error err = {0};

	return branch_mark_parse(&repo, bytes_of_text(text), "pitr.branch", &mark, &err) && mark.is_set;
}

#define HEAD "{\"repository\": \"00000000000000000000000000000000\", \"system_identifier\": \"7\", \"chain\": ["
#define ROOT "{\"branch\": \"main\"}]"
#define COPY "{\"branch\": \"c\", \"timeline\": 3}"
#define ORIGIN(parent, timeline)                                                              \
	", \"origin\": {\"branch\": \"c\", \"timeline\": " timeline ", \"parent\": \"" parent \
	"\", \"reason\": \"restore\", \"created_us\": 1, \"host\": \"h\", \"note\": \"n\"}}"

static void test_marks(void)
{
	ok(mark_is_good(HEAD COPY ", " ROOT "}"), "a mark");
	ok(mark_is_good(HEAD COPY ", " ROOT ORIGIN("main", "3")), "with its origin");
	ok(!mark_is_good(HEAD COPY ", " ROOT ORIGIN("b", "3")), "an origin with another parent");
	ok(!mark_is_good(HEAD COPY ", " ROOT ORIGIN("main", "4")), "an origin elsewhere");
	ok(!mark_is_good(HEAD ROOT ORIGIN("main", "3")), "an origin of the root");
	ok(!mark_is_good(HEAD "]}"), "an empty chain");
	ok(!mark_is_good(HEAD COPY "]}"), "a chain without a root");
	ok(!mark_is_good(HEAD ROOT "}}"), "text behind it");
	ok(!mark_is_good(HEAD "{\"branch\": \"main\", \"timeline\": 1}]}"), "a root with an origin");
	ok(!mark_is_good(HEAD "{\"branch\": \"main\"}, " ROOT "}"), "a root in the middle");
	ok(!mark_is_good(HEAD "{\"branch\": \"../x\", \"timeline\": 3}, " ROOT "}"), "a name that is none");
	ok(!mark_is_good(HEAD "{\"branch\": \"c\", \"timeline\": 3, \"first_segment\": \"5\"}, " ROOT "}"),
	   "a first segment that is none");
	ok(!mark_is_good(HEAD "{\"branch\": \"c\", \"timeline\": 3, \"first_segment\": \"00000000 0000005\"}, " ROOT
			      "}"),
	   "nor with a blank in it");
	ok(!mark_is_good("{\"repository\": \"ffffffffffffffffffffffffffffffff\", \"system_identifier\": \"7\"}"),
	   "of another repository it says nothing");
}

int main(void)
{
	test_owners();
	test_timelines();
	test_marks();
	return done_testing();
}
