/* Names of WAL files, and LSNs. */
#include "pg/wal_name.h"

#include <stdlib.h>

#include "pg/wal_segment.h"
#include "tap.h"

struct valid {
	const char *text;
	enum wal_kind kind;
	uint32_t timeline, log, segment, offset;
};

static const struct valid VALID[] = {
	{"000000010000000000000001", WAL_SEGMENT, 1, 0, 1, 0},
	{"FFFFFFFFFFFFFFFF00000FFF", WAL_SEGMENT, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFF, 0},
	{"0000000A000000BC000000DE.partial", WAL_PARTIAL, 10, 0xBC, 0xDE, 0},
	{"0000000A000000BC000000DE.0000F028.partial", WAL_PARTIAL, 10, 0xBC, 0xDE, 0xF028},
	{"000000020000001200000034.00000028.backup", WAL_BACKUP, 2, 0x12, 0x34, 0x28},
	{"00000002.history", WAL_HISTORY, 2, 0, 0, 0},
};

static const char *const INVALID[] = {
	"",
	".",
	"00000001000000000000000",
	"0000000100000000000000011",
	"00000001000000000000000a",
	"0000000100000000000000 1",
	"+00000010000000000000001",
	"0x0000010000000000000001",
	"000000000000000000000001",
	"000000010000000000001000",
	"000000010000000000000001.partia",
	"000000010000000000000001.partial ",
	"000000010000000000000001.PARTIAL",
	"000000010000000000000001.00000000.partial",
	"000000010000000000000001.0000028.partial",
	"000000010000000000000001.00000028.partial.partial",
	"000000010000000000000001.backup",
	"000000010000000000000001.0000028.backup",
	"000000010000000000000001.000000028.backup",
	"000000010000000000000001.0000002g.backup",
	"000000010000000000000001.00000028.backup.gz",
	"000000010000000000000001.00000028.history",
	"0000002.history",
	"000000002.history",
	"00000000.history",
	"0000000a.history",
	"00000002.history~",
	"../00000002.history",
	"../../../../../../../../etc/passwd",
	"000000010000000000000001/",
	"RECOVERYXLOG",
	"0000000100000000000000010000000000000000000000000000000000000000000000000",
};

static void names_test(void)
{
	struct wal_name name;
	struct error err;

	for (size_t i = 0; i < sizeof(VALID) / sizeof(VALID[0]); i++) {
		const struct valid *valid = &VALID[i];
		bool passed = wal_name_parse(valid->text, &name, &err);

		ok(passed && name.kind == valid->kind && name.timeline == valid->timeline && name.log == valid->log &&
			   name.segment == valid->segment && name.offset == valid->offset &&
			   strcmp(name.text, valid->text) == 0,
		   "\"%s\" is read", valid->text);
	}
	for (size_t i = 0; i < sizeof(INVALID) / sizeof(INVALID[0]); i++)
		ok(!wal_name_parse(INVALID[i], &name, &err) && err.kind == ERROR_USAGE, "\"%s\" is refused",
		   INVALID[i]);
}

/* Whatever is accepted must be exactly what would be printed for the parts that were read. */
static bool name_is_exact(const char *text)
{
	char again[128];
	struct wal_name name;
	struct error err;

	if (!wal_name_parse(text, &name, &err))
		return true;
	snprintf(again, sizeof(again), "%08X%08X%08X", name.timeline, name.log, name.segment);
	if (name.kind == WAL_HISTORY)
		snprintf(again, sizeof(again), "%08X.history", name.timeline);
	if (name.kind == WAL_PARTIAL && name.offset == 0)
		strcat(again, ".partial");
	if (name.kind == WAL_PARTIAL && name.offset != 0)
		snprintf(again + 24, sizeof(again) - 24, ".%08X.partial", name.offset);
	if (name.kind == WAL_BACKUP)
		snprintf(again + 24, sizeof(again) - 24, ".%08X.backup", name.offset);
	return strcmp(text, again) == 0;
}

static void mutations_test(void)
{
	static const char alphabet[] = "0123456789ABCDEFabcdefg./-+ xyz\xC3\x01";
	int wrong = 0;

	srandom(1);
	for (int i = 0; i < 10000; i++) {
		char text[80];

		strcpy(text, VALID[(size_t) random() % (sizeof(VALID) / sizeof(VALID[0]))].text);
		for (long changes = random() % 3; changes >= 0 && text[0] != '\0'; changes--)
			text[(size_t) random() % strlen(text)] =
				random() % 20 == 0 ? '\0' : alphabet[(size_t) random() % (sizeof(alphabet) - 1)];
		if (!name_is_exact(text))
			wrong++;
	}
	is_number(wrong, 0, "of 10000 damaged names none is taken for another file's");
}

static void numbers_test(void)
{
	static const uint32_t sizes[] = {1u << 20, 1u << 24, 1u << 30};
	struct wal_name name, again;
	struct error err;

	for (size_t i = 0; i < 3; i++) {
		uint64_t lsn = UINT64_C(0x12345678C0000000), number = wal_segment_of(lsn + 5, sizes[i]);

		wal_name_of_segment(7, number, sizes[i], &name);
		ok(wal_name_parse(name.text, &again, &err) && again.timeline == 7 &&
			   wal_segment_number(&again, sizes[i]) == number && wal_segment_start(&again, sizes[i]) == lsn,
		   "\"%s\" begins at its LSN with segments of %u bytes", name.text, sizes[i]);
	}
	wal_name_of_segment(1, 256, 1u << 24, &name);
	is_text(name.text, "000000010000000100000000", "the last eight digits count to the end of 4 GB");
	ok(wal_segment_size_valid(1 << 20) && wal_segment_size_valid(1 << 30), "1 MB and 1 GB are segment sizes");
	ok(!wal_segment_size_valid(0) && !wal_segment_size_valid(1 << 19) && !wal_segment_size_valid(3 << 20) &&
		   !wal_segment_size_valid(UINT64_C(1) << 31) && !wal_segment_size_valid(UINT64_C(1) << 52),
	   "other sizes are not");
}

static void lsn_test(void)
{
	static const char *const invalid[] = {"",      "/",    "0",	"0/",	"/0",	 "0/0 ",	" 0/0",
					      "0x0/0", "-1/0", "0/G",	"0//0", "0/0/0", "123456789/0", "0/123456789",
					      "0\n/0", "+1/0", "0.0/1", "0 /1", "0/1\n"};
	char text[LSN_TEXT_SIZE];
	uint64_t lsn;

	ok(lsn_parse("0/1A2B3C4D", &lsn) && lsn == 0x1A2B3C4D, "0/1A2B3C4D");
	ok(lsn_parse("ffffffff/abcdef01", &lsn) && lsn == UINT64_C(0xFFFFFFFFABCDEF01), "lower case too");
	ok(lsn_parse("1/00000028", &lsn) && lsn == UINT64_C(0x100000028), "with leading zeroes, as 19 writes it");
	lsn_format(UINT64_C(0x100000028), text);
	is_text(text, "1/28", "written as PostgreSQL does");
	lsn_format(UINT64_MAX, text);
	is_text(text, "FFFFFFFF/FFFFFFFF", "the longest fits");
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		ok(!lsn_parse(invalid[i], &lsn), "\"%s\" is no LSN", invalid[i]);
}

/* XLogLongPageHeaderData of segment 3 of 1 MB. */
static void header_write(uint8_t *page)
{
	memset(page, 0, 8192);
	store_u16(page, 0xD110);
	store_u16(page + 2, 2);
	store_u32(page + 4, 5);
	store_u64(page + 8, 3u << 20);
	store_u64(page + 24, 4711);
	store_u32(page + 32, 1u << 20);
	store_u32(page + 36, 8192);
}

struct damage {
	size_t offset;
	uint32_t value;
	const char *harm;
};

static void segment_test(void)
{
	static const struct damage damages[] = {
		{0, 0x00020000, "a file of zeroes"},
		{0, 0x000210D1, "another byte order"},
		{0, 0xD110, "no long header"},
		{4, 0, "no timeline"},
		{4, 6, "a younger timeline than its name"},
		{8, 2u << 20, "the address of a recycled segment"},
		{8, (3u << 20) + 8192, "an odd address"},
		{12, 1, "an address 4 GB further"},
		{32, 0, "no segment size"},
		{32, 3u << 20, "an odd segment size"},
		{32, 1u << 24, "another segment size"},
		{36, 0, "no page size"},
		{36, 5000, "an odd page size"},
		{24, 0, "no system identifier"},
	};
	uint8_t *file = calloc(1, 1u << 20);
	struct wal_segment segment;
	struct wal_name name;
	struct error err;

	ok(wal_name_parse("000000050000000000000003", &name, &err), "a name");
	header_write(file);
	ok(wal_segment_check(bytes_of(file, 1u << 20), &name, &segment, &err) && segment.magic == 0xD110 &&
		   segment.timeline == 5 && segment.system_identifier == 4711 && segment.start == 3u << 20 &&
		   segment.segment_size == 1u << 20 && segment.page_size == 8192,
	   "the segment of its name is accepted");
	store_u32(file + 4, 4);
	ok(wal_segment_check(bytes_of(file, 1u << 20), &name, &segment, &err),
	   "so is a first page of the parent timeline");
	store_u16(file, 0xD1FF);
	ok(wal_segment_check(bytes_of(file, 1u << 20), &name, &segment, &err) && wal_magic_version(segment.magic) == 0,
	   "and one of a version to come");
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		header_write(file);
		store_u32(file + damages[i].offset, damages[i].value);
		ok(!wal_segment_check(bytes_of(file, 1u << 20), &name, &segment, &err) && err.kind == ERROR_CORRUPT,
		   "%s is refused", damages[i].harm);
		printf("# %s\n", err.text);
	}
	header_write(file);
	ok(!wal_segment_check(bytes_of(file, 8192), &name, &segment, &err) && err.kind == ERROR_CORRUPT,
	   "a cut one too");
	ok(!wal_segment_parse(bytes_of(file, 39), &segment, &err) && err.kind == ERROR_CORRUPT, "39 bytes are none");
	store_u64(file + 8, (3u << 20) + 8192);
	ok(!wal_segment_parse(bytes_of(file, 1u << 20), &segment, &err) && err.kind == ERROR_CORRUPT,
	   "a page from amid a segment is none");
	ok(wal_name_parse("00000005.history", &name, &err) &&
		   !wal_segment_check(bytes_of(file, 1u << 20), &name, &segment, &err) && err.kind == ERROR_USAGE,
	   "a history is not a segment");
	ok(wal_name_parse("000000050000000000001000", &name, &err) == false, "no 4 GB hold 4097 segments");
	free(file);
}

int main(void)
{
	names_test();
	mutations_test();
	numbers_test();
	lsn_test();
	segment_test();
	return done_testing();
}
