/* PostgreSQL compiles checksum.c with loop unrolling and vectorising too: it is a loop over 32 independent sums. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include "pg/page_checksum.h"

#include <stdlib.h>
#include <string.h>

/* pg_checksum_page() is given by PostgreSQL for programs outside of the server; the same from 9.3 to 18. */
#include "postgres_fe.h"

#include "storage/checksum.h"
#include "storage/checksum_impl.h"

_Static_assert(BLCKSZ == PAGE_SIZE_CHECKED, "built against headers of a server with another page size");

void page_checksum_init(struct page_checksum *check, uint64_t start_lsn, uint32_t segment_blocks,
			page_failure_visit visit, void *context)
{
	memset(check, 0, sizeof(*check));
	check->start_lsn = start_lsn;
	check->segment_blocks = segment_blocks;
	check->visit = visit;
	check->context = context;
}

/* The text behind a number of one to ten digits; NULL when there is none. */
static const char *skip_number(const char *text)
{
	size_t length = strspn(text, "0123456789");

	return length > 0 && length <= 10 ? text + length : NULL;
}

static const char *skip_text(const char *text, const char *expected)
{
	size_t length = strlen(expected);

	return strncmp(text, expected, length) == 0 ? text + length : NULL;
}

/* "1234", "1234_fsm", "1234_vm.2", "1234_init", "1234.17" (relpath.c). Unlogged relations' init forks are WAL-logged
 * and have checksums as well. Temporary relations ("t3_1234") are never in a backup. */
static bool relation_name_parse(const char *name, uint32_t *segment)
{
	static const char *const forks[] = {"_fsm", "_vm", "_init"};
	const char *rest = skip_number(name);

	*segment = 0;
	if (rest == NULL)
		return false;
	for (size_t i = 0; i < sizeof(forks) / sizeof(forks[0]); i++) {
		const char *behind = skip_text(rest, forks[i]);

		if (behind != NULL) {
			rest = behind;
			break;
		}
	}
	if (*rest == '.') {
		const char *number = rest + 1;

		rest = skip_number(number);
		if (rest == NULL || rest - number > 6)
			return false;
		*segment = (uint32_t) strtoul(number, NULL, 10);
	}
	return *rest == '\0';
}

/* Behind "<database>/"; NULL when there is something else. */
static const char *skip_database(const char *path)
{
	const char *rest = skip_number(path);

	return rest != NULL && *rest == '/' ? rest + 1 : NULL;
}

bool page_checksum_applies(const char *path, uint32_t *segment)
{
	const char *rest;

	if ((rest = skip_text(path, "global/")) != NULL)
		return relation_name_parse(rest, segment);
	if ((rest = skip_text(path, "base/")) != NULL) {
		rest = skip_database(rest);
		return rest != NULL && relation_name_parse(rest, segment);
	}
	/* pg_tblspc/<oid>/PG_<version>_<catalog version>/<database>/<relation> */
	if ((rest = skip_text(path, "pg_tblspc/")) == NULL || (rest = skip_database(rest)) == NULL ||
	    (rest = skip_text(rest, "PG_")) == NULL || (rest = strchr(rest, '/')) == NULL)
		return false;
	rest = skip_database(rest + 1);
	return rest != NULL && relation_name_parse(rest, segment);
}

bool page_checksum_begin(struct page_checksum *check, const char *path)
{
	uint32_t segment;

	check->path = path;
	check->page_count = 0;
	check->filled = 0;
	if (!page_checksum_applies(path, &segment))
		return false;
	check->first_block = segment * check->segment_blocks;
	return true;
}

/* The sums are of 32-bit products, which the first 64-bit processors can only make one by one: newer ones do eight at
 * once. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default"), flatten))
#endif
static uint16_t
page_checksum_compute(char *page, uint32_t block)
{
	return pg_checksum_page(page, block);
}

/* Computes the checksum of a page that may be skipped; true when there is nothing to say about it. */
static bool page_check(const uint8_t *content, uint32_t block, uint64_t start_lsn, uint16_t *found, uint16_t *expected)
{
	/* pg_checksum_page() wants to write into the page, and puts back what was there. */
	char *page = (char *) (uintptr_t) content;
	PageHeader header = (PageHeader) (uintptr_t) content;

	*found = header->pd_checksum;
	*expected = *found;
	if (PageIsNew(page) || PageXLogRecPtrGet(header->pd_lsn) >= start_lsn)
		return true;
	*expected = page_checksum_compute(page, block);
	return *found == *expected;
}

bool page_checksum_accepts(const uint8_t page[PAGE_SIZE_CHECKED], uint32_t block, uint64_t start_lsn)
{
	_Alignas(64) uint8_t aligned[PAGE_SIZE_CHECKED];
	uint16_t found;
	uint16_t expected;

	memcpy(aligned, page, sizeof(aligned));
	return page_check(aligned, block, start_lsn, &found, &expected);
}

static bool page_checksum_finish_page(struct page_checksum *check, struct error *err)
{
	struct page_failure failure = {
		.path = check->path,
		.block = check->first_block + (uint32_t) check->page_count,
		.offset = check->page_count * PAGE_SIZE_CHECKED,
	};

	check->filled = 0;
	check->page_count++;
	if (page_check(check->page, failure.block, check->start_lsn, &failure.found, &failure.expected))
		return true;
	return check->visit(check->context, &failure, err);
}

bool page_checksum_add(struct page_checksum *check, struct bytes content, struct error *err)
{
	while (content.size > 0) {
		size_t room = PAGE_SIZE_CHECKED - check->filled;
		size_t size = content.size < room ? content.size : room;

		memcpy(check->page + check->filled, content.data, size);
		check->filled += size;
		content = bytes_slice(content, size, content.size - size);
		if (check->filled == PAGE_SIZE_CHECKED)
			TRY(page_checksum_finish_page(check, err));
	}
	return true;
}
