/* The pure parts of a restore onto an old directory: which ranges of a file differ, and what belongs into a directory.
 * They belong to a program and not to the library, so their files are included whole. */
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#include "../../restore/files/compare.c"
#include "../../restore/files/path_list.c"
#include "../../restore/files/tree.c"

#define PIECE 4096

/* The ranges within [begin, end) as "4096+8192 20480+1". */
static const char *ranges(const struct comparison *comparison, uint64_t begin, uint64_t end)
{
	static char text[200];
	uint64_t size;

	text[0] = '\0';
	for (; comparison_next(comparison, &begin, end, &size); begin += size)
		(void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu+%llu",
				text[0] == '\0' ? "" : " ", (unsigned long long) begin, (unsigned long long) size);
	return text;
}

static void test_ranges(void)
{
	static const uint8_t digests[4 * PIECE_DIGEST_SIZE];
	struct comparison comparison;
	struct error err = {0};

	ok(comparison_init(&comparison, 6 * PIECE + 10, PIECE, 4, digests, &err),
	   "a file of which four digests are known");
	is_text(ranges(&comparison, 0, 6 * PIECE + 10), "0+24586", "all of it differs until it is compared");
	for (int i = 0; i < 4; i++)
		comparison.differs[i] = false;
	is_text(ranges(&comparison, 0, 6 * PIECE + 10), "16384+8202", "what has no digest always does");
	is_text(ranges(&comparison, 0, 4 * PIECE), "", "nothing before it");
	is_text(ranges(&comparison, 20000, 20001), "20000+1", "a byte of it");
	comparison.differs[0] = comparison.differs[2] = true;
	is_text(ranges(&comparison, 0, 4 * PIECE), "0+4096 8192+4096", "two pieces");
	is_text(ranges(&comparison, 100, 200), "100+100", "an extent within a piece that differs");
	is_text(ranges(&comparison, 5000, 6000), "", "… and within one that does not");
	is_text(ranges(&comparison, 4000, 8193), "4000+96 8192+1", "one that begins and ends in pieces that do");
	is_text(ranges(&comparison, 0, 0), "", "an empty one");
	comparison_release(&comparison);
	ok(comparison_init(&comparison, 5000, 0, 0, NULL, &err), "a file of which no digest is known");
	is_text(ranges(&comparison, 10, 5000), "10+4990", "all of it differs");
	is_text(ranges(&comparison, 5000, 5000), "", "… and nothing behind it");
	comparison_release(&comparison);
}

static void test_paths(void)
{
	struct path_list list PATH_LIST_CLEANUP;
	struct error err = {0};

	path_list_init(&list);
	ok(!path_list_has_file(&list, "x") && !path_list_has_directory(&list, "x"), "an empty list has nothing");
	ok(path_list_add(&list, "base/10", true, &err) && path_list_add(&list, "base/5/1259_vm", false, &err) &&
		   path_list_add(&list, "base/5/1259", false, &err) && path_list_add(&list, "global", true, &err) &&
		   path_list_sort(&list, &err),
	   "a list");
	ok(path_list_has_file(&list, "base/5/1259") && path_list_has_file(&list, "base/5/1259_vm"), "its files");
	ok(!path_list_has_file(&list, "base/5/125") && !path_list_has_file(&list, "base/5/1259_") &&
		   !path_list_has_file(&list, "base/5/1259_vmx"),
	   "no other ones");
	ok(path_list_has_directory(&list, "global") && path_list_has_directory(&list, "base/10"), "its directories");
	ok(path_list_has_directory(&list, "base") && path_list_has_directory(&list, "base/5"), "those on the way");
	ok(!path_list_has_directory(&list, "base/1") && !path_list_has_directory(&list, "bas") &&
		   !path_list_has_directory(&list, "base/100"),
	   "no other ones");
	ok(!path_list_has_directory(&list, "base/5/1259") && !path_list_has_file(&list, "global") &&
		   !path_list_has_file(&list, "base/10"),
	   "a file is no directory, a directory no file");
	ok(path_list_add(&list, "base/10", true, &err) && !path_list_sort(&list, &err) && err.kind == ERROR_CORRUPT,
	   "the same twice is CORRUPT");
}

int main(void)
{
	test_ranges();
	test_paths();
	return done_testing();
}
