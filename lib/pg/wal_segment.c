#include "pg/wal_segment.h"

#include <inttypes.h>

/* XLogLongPageHeaderData: where its fields lie. */
#define AT_MAGIC	     0
#define AT_INFO		     2
#define AT_TIMELINE	     4
#define AT_ADDRESS	     8
#define AT_SYSTEM_IDENTIFIER 24
#define AT_SEGMENT_SIZE	     32
#define AT_PAGE_SIZE	     36

#define INFO_LONG_HEADER 0x0002

/* --with-wal-blocksize of configure: 1 to 64 kB, a power of two. */
#define PAGE_SIZE_MIN 1024u
#define PAGE_SIZE_MAX 65536u

int wal_magic_version(uint16_t magic)
{
	/* XLOG_PAGE_MAGIC in access/xlog_internal.h of each major version. */
	static const struct {
		uint16_t magic;
		int version;
	} table[] = {{0xD106, 13}, {0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].magic == magic)
			return table[i].version;
	return 0;
}

static bool page_size_valid(uint32_t size)
{
	return size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

/* The header has had this shape since 9.3, so it is read whatever the magic says; every magic so far is 0xD0xx or
 * 0xD1xx. */
bool wal_segment_parse(struct bytes content, struct wal_segment *segment, struct error *err)
{
	const uint8_t *header = content.data;

	*segment = (struct wal_segment){.magic = 0};
	if (content.size < WAL_PAGE_HEADER_LONG_SIZE)
		return fail(err, ERROR_CORRUPT, "a file of %zu bytes is too short for a WAL segment", content.size);
	segment->magic = load_u16(header + AT_MAGIC);
	segment->timeline = load_u32(header + AT_TIMELINE);
	segment->start = load_u64(header + AT_ADDRESS);
	segment->system_identifier = load_u64(header + AT_SYSTEM_IDENTIFIER);
	segment->segment_size = load_u32(header + AT_SEGMENT_SIZE);
	segment->page_size = load_u32(header + AT_PAGE_SIZE);
	if ((segment->magic & 0xF000) != 0xD000 || (load_u16(header + AT_INFO) & INFO_LONG_HEADER) == 0)
		return fail(err, ERROR_CORRUPT, "the file does not begin like a WAL segment (page magic %04X)",
			    segment->magic);
	if (!wal_segment_size_valid(segment->segment_size))
		return fail(err, ERROR_CORRUPT,
			    "the WAL page header gives an impossible segment size of %" PRIu32 " bytes",
			    segment->segment_size);
	if (!page_size_valid(segment->page_size))
		return fail(err, ERROR_CORRUPT,
			    "the WAL page header gives an impossible page size of %" PRIu32 " bytes",
			    segment->page_size);
	if (segment->start % segment->segment_size != 0 || segment->start == 0)
		return fail(err, ERROR_CORRUPT, "the WAL page header gives an impossible address of %" PRIX64,
			    segment->start);
	if (segment->timeline == 0 || segment->system_identifier == 0)
		return fail(err, ERROR_CORRUPT, "the WAL page header names no timeline or no system");
	return true;
}

static bool address_check(const struct wal_name *name, const struct wal_segment *segment, struct error *err)
{
	char found[LSN_TEXT_SIZE], expected[LSN_TEXT_SIZE];

	if (segment->segment_size * (uint64_t) name->segment >= UINT64_C(1) << 32)
		return fail(err, ERROR_CORRUPT, "no segment of %" PRIu32 " bytes can have the name \"%s\"",
			    segment->segment_size, name->text);
	if (segment->start == wal_segment_start(name, segment->segment_size))
		return true;
	lsn_format(segment->start, found);
	lsn_format(wal_segment_start(name, segment->segment_size), expected);
	fail(err, ERROR_CORRUPT, "\"%s\" should begin at %s, but its first page is that of %s", name->text, expected,
	     found);
	return fail_hint(err, "It may be a recycled segment that the server has not written yet, or a renamed file.");
}

bool wal_segment_check_header(struct bytes head, uint64_t file_size, const struct wal_name *name,
			      struct wal_segment *segment, struct error *err)
{
	if (name->kind != WAL_SEGMENT && name->kind != WAL_PARTIAL)
		return fail(err, ERROR_USAGE, "\"%s\" is not the name of a WAL segment", name->text);
	if (!wal_segment_parse(head, segment, err))
		return fail_in(err, "\"%s\"", name->text);
	if (file_size != segment->segment_size)
		return fail(err, ERROR_CORRUPT, "\"%s\" has %" PRIu64 " bytes instead of %" PRIu32, name->text,
			    file_size, segment->segment_size);
	TRY(address_check(name, segment, err));
	if (segment->timeline > name->timeline)
		return fail(err, ERROR_CORRUPT,
			    "\"%s\" is of timeline %" PRIu32 ", but its first page is of timeline %" PRIu32, name->text,
			    name->timeline, segment->timeline);
	return true;
}

bool wal_segment_check(struct bytes content, const struct wal_name *name, struct wal_segment *segment,
		       struct error *err)
{
	return wal_segment_check_header(content, content.size, name, segment, err);
}
