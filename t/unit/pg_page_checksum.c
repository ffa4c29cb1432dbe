/* Page checksums: damage is found and located, and what replay will write anew is let pass. */

#include "pg/page_checksum.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define START UINT64_C(0x100000028)

/* A page of PostgreSQL 15 (SELECT get_raw_page() would show the like): pd_lsn, pd_checksum, pd_flags, pd_lower,
 * pd_upper, pd_special, pd_pagesize_version, pd_prune_xid; then content that depends on `seed`. */
static void page_fill(uint8_t *page, uint64_t lsn, uint8_t seed)
{
	memset(page, 0, PAGE_SIZE_CHECKED);
	store_u32(page, (uint32_t) (lsn >> 32));
	store_u32(page + 4, (uint32_t) lsn);
	store_u16(page + 12, 28);
	store_u16(page + 14, 8000);
	store_u16(page + 16, 8192);
	store_u16(page + 18, 8192 | 4);
	for (size_t i = 8000; i < PAGE_SIZE_CHECKED; i++)
		page[i] = (uint8_t) (i * 7 + seed);
}

struct found {
	int count;
	uint32_t block;
	uint64_t offset;
	uint16_t expected;
};

static bool found_visit(void *context, const struct page_failure *failure, struct error *err)
{
	struct found *found = context;

	(void) err;
	found->count++;
	found->block = failure->block;
	found->offset = failure->offset;
	found->expected = failure->expected;
	return true;
}

/* Feeds pages in pieces of `step`; what was found. */
static struct found check(const char *path, const uint8_t *content, size_t size, size_t step)
{
	static struct page_checksum checksum;
	struct found found = {.count = 0};
	struct error err = {0};

	page_checksum_init(&checksum, START, 131072, found_visit, &found);
	if (!page_checksum_begin(&checksum, path)) {
		found.count = -1;
		return found;
	}
	for (size_t at = 0; at < size; at += step)
		(void) !page_checksum_add(&checksum, bytes_of(content + at, size - at < step ? size - at : step), &err);
	return found;
}

/* Gives the page the checksum that the code asks for when it is not there. */
static void page_seal(uint8_t *page, uint32_t block)
{
	char path[64];
	struct found found;
	uint32_t segment = block / 131072;
	static uint8_t content[4 * PAGE_SIZE_CHECKED];
	size_t index = block % 131072;

	(void) snprintf(path, sizeof(path), segment == 0 ? "base/5/1" : "base/5/1.%u", segment);
	memset(content, 0, sizeof(content));
	memcpy(content + index * PAGE_SIZE_CHECKED, page, PAGE_SIZE_CHECKED);
	found = check(path, content, sizeof(content), sizeof(content));
	if (found.count == 1)
		store_u16(page + 8, found.expected);
}

static void test_pages(void)
{
	static uint8_t content[3 * PAGE_SIZE_CHECKED];
	static const size_t steps[] = {1, 511, 8191, 8192, 8193, sizeof(content)};

	for (uint32_t i = 0; i < 3; i++) {
		page_fill(content + i * PAGE_SIZE_CHECKED, START - 100, (uint8_t) i);
		page_seal(content + i * PAGE_SIZE_CHECKED, i);
	}
	ok(check("base/5/1", content, sizeof(content), sizeof(content)).count == 0, "good pages are good");
	content[2 * PAGE_SIZE_CHECKED + 8100] ^= 1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct found found = check("base/5/1", content, sizeof(content), steps[i]);

		ok(found.count == 1 && found.block == 2 && found.offset == 16384,
		   "one flipped bit is found in its block, in pieces of %zu bytes", steps[i]);
	}
	ok(check("base/5/1", content, sizeof(content) - 1, 4096).count == 0, "half a page is not looked at");
	ok(check("base/5/1.1", content, 8192, 8192).count == 1, "a good page in another segment is a wrong one");
	page_seal(content, 131072);
	ok(check("base/5/1.1", content, 8192, 8192).count == 0, "blocks are counted over all segments");
	ok(check("base/5/1_vm.1", content, 8192, 8192).count == 0, "and so are those of another fork");
}

static void test_skipped(void)
{
	static uint8_t page[PAGE_SIZE_CHECKED];

	page_fill(page, START, 1);
	ok(check("base/5/1", page, sizeof(page), sizeof(page)).count == 0,
	   "a page changed since the start is let pass");
	page_fill(page, START - 1, 1);
	ok(check("base/5/1", page, sizeof(page), sizeof(page)).count == 1, "a page from just before the start is not");
	ok(!page_checksum_accepts(page, 0, START), "read alone it is wrong too");
	page_seal(page, 0);
	ok(page_checksum_accepts(page, 0, START), "and with its checksum right");
	memset(page, 0, sizeof(page));
	ok(check("base/5/1", page, sizeof(page), sizeof(page)).count == 0, "a new page is let pass");
	/* As page_checksum() of PostgreSQL 15's extension pageinspect says for this very page. */
	page_fill(page, START - 1, 1);
	ok(check("base/5/1", page, sizeof(page), sizeof(page)).expected == 0xec61, "the checksum is PostgreSQL's");
}

static void test_names(void)
{
	static const struct {
		const char *path;
		int segment; /* -1: no relation */
	} names[] = {
		{"base/5/16384", 0},
		{"base/5/16384.1", 1},
		{"base/5/16384.131", 131},
		{"base/5/16384_fsm", 0},
		{"base/5/16384_vm.2", 2},
		{"base/5/16384_init", 0},
		{"global/1262", 0},
		{"pg_tblspc/16385/PG_15_202209061/5/16386.3", 3},
		{"base/5/PG_VERSION", -1},
		{"base/5/pg_filenode.map", -1},
		{"base/5/pg_internal.init", -1},
		{"base/5/16384_x", -1},
		{"base/5/16384.", -1},
		{"base/5/16384.x", -1},
		{"base/5/16384.1x", -1},
		{"base/5/16384.9999999999", -1},
		{"base/5/t3_16384", -1},
		{"base/pgsql_tmp/16384", -1},
		{"base/16384", -1},
		{"base/5/6/7", -1},
		{"global/pg_control", -1},
		{"pg_tblspc/16385/5/16386", -1},
		{"pg_tblspc/16385/PG_15_202209061/16386", -1},
		{"pg_tblspc/16385/PG_15", -1},
		{"pg_wal/5/1", -1},
		{"16384", -1},
		{"", -1},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint32_t segment = 0;
		bool applies = page_checksum_applies(names[i].path, &segment);

		ok(names[i].segment < 0 ? !applies : applies && segment == (uint32_t) names[i].segment, "\"%s\" is %s",
		   names[i].path, names[i].segment < 0 ? "no relation" : "a relation");
	}
}

int main(void)
{
	test_pages();
	test_skipped();
	test_names();
	return done_testing();
}
