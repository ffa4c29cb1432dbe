/* The tar parser: what PostgreSQL writes is understood in pieces of any size, and nothing else is. */

#include "pg/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

/* ------------------------------------------------------------------------------------- a writer of headers */

struct sample {
	const char *name, *prefix, *link, *size; /* size as octal text; NULL: "0" */
	char type;
};

static void checksum_fix(uint8_t *header)
{
	unsigned sum = 0;

	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
		sum += header[i];
	(void) snprintf((char *) header + 148, 8, "%06o ", sum);
}

static void header_make(uint8_t *header, struct sample sample)
{
	memset(header, 0, TAR_BLOCK_SIZE);
	if (sample.name != NULL)
		memcpy(header, sample.name, strnlen(sample.name, 100));
	memcpy(header + 100, "0000600 ", 8);
	memcpy(header + 108, "0000000 ", 8);
	memcpy(header + 116, "0000000 ", 8);
	memcpy(header + 124, "00000000000 ", 12);
	if (sample.size != NULL)
		memcpy(header + 124, sample.size, strnlen(sample.size, 12));
	memcpy(header + 136, "14500000000 ", 12);
	header[156] = (uint8_t) (sample.type == 0 ? '0' : sample.type);
	if (sample.link != NULL)
		memcpy(header + 157, sample.link, strnlen(sample.link, 100));
	memcpy(header + 257, "ustar\00000", 8);
	if (sample.prefix != NULL)
		memcpy(header + 345, sample.prefix, strnlen(sample.prefix, 155));
	checksum_fix(header);
}

/* ---------------------------------------------------------------------------------------------- a listener */

struct seen {
	char text[4096];
	size_t size;
	uint64_t content;
	bool refuses;
};

static void seen_add(struct seen *seen, const char *text)
{
	int written = snprintf(seen->text + seen->size, sizeof(seen->text) - seen->size, "%s", text);

	if (written > 0 && (size_t) written < sizeof(seen->text) - seen->size)
		seen->size += (size_t) written;
}

static bool seen_begin(void *context, const struct tar_entry *entry, struct error *err)
{
	struct seen *seen = context;
	char text[512];

	if (seen->refuses)
		return fail(err, ERROR_SYSTEM, "refused");
	(void) snprintf(text, sizeof(text), "%c %s %s%s%03o %llu{", "fdl"[entry->type], entry -> path, entry -> link,
			entry -> link[0] != '\0' ? " " : "", (unsigned) entry->mode, (unsigned long long) entry->size);
	seen_add(seen, text);
	seen->content = 0;
	return true;
}

static bool seen_data(void *context, struct bytes content, struct error *err)
{
	struct seen *seen = context;

	(void) err;
	seen->content += content.size;
	return true;
}

static bool seen_end(void *context, struct error *err)
{
	struct seen *seen = context;
	char text[32];

	(void) err;
	(void) snprintf(text, sizeof(text), "%llu} ", (unsigned long long) seen->content);
	seen_add(seen, text);
	return true;
}

/* Parses the bytes in pieces of `step`. */
static bool parse(struct bytes content, size_t step, struct seen *seen, struct error *err)
{
	struct tar tar;
	bool refuses = seen->refuses;

	memset(seen, 0, sizeof(*seen));
	seen->refuses = refuses;
	*err = (struct error){0};
	tar_init(&tar, (struct tar_visitor){.begin = seen_begin, .data = seen_data, .end = seen_end, .context = seen});
	for (size_t at = 0; at < content.size; at += step) {
		size_t size = content.size - at < step ? content.size - at : step;

		TRY(tar_parse(&tar, bytes_slice(content, at, size), err));
	}
	return tar_finish(&tar, err);
}

/* ---------------------------------------------------------------------------------------------------- good */

#define GOOD_BLOCKS 13

static void good_archive(uint8_t archive[GOOD_BLOCKS * TAR_BLOCK_SIZE])
{
	memset(archive, 0, GOOD_BLOCKS * TAR_BLOCK_SIZE);
	header_make(archive, (struct sample){.name = "backup_label", .size = "00000000005 "});
	memcpy(archive + 512, "START", 5);
	header_make(archive + 1024, (struct sample){.name = "./pg_wal/archive_status", .type = '5'});
	header_make(archive + 1536, (struct sample){.name = "base/", .type = '5'});
	header_make(archive + 2048, (struct sample){.name = "empty"});
	header_make(archive + 2560, (struct sample){.name = "pg_tblspc/16384", .link = "/srv/ts", .type = '2'});
	header_make(archive + 3072, (struct sample){.name = "1", .prefix = "base", .size = "00000001000 "});
	header_make(archive + 4096, (struct sample){.name = "base/2", .size = "00000001001 "});
	/* 513 bytes: two blocks; then two blocks of zeroes follow, one of which is cut off by some tests */
}

static const char good_seen[] = "f backup_label 600 5{5} d pg_wal/archive_status 600 0{0} d base 600 0{0} "
				"f empty 600 0{0} l pg_tblspc/16384 /srv/ts 600 0{0} f base/1 600 512{512} "
				"f base/2 600 513{513} ";

static void test_good(void)
{
	uint8_t archive[GOOD_BLOCKS * TAR_BLOCK_SIZE];
	static const size_t steps[] = {1, 7, 511, 512, 513, 4096, sizeof(archive)};
	struct seen seen = {.size = 0};
	struct error err;

	good_archive(archive);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool done = parse(bytes_of(archive, sizeof(archive)), steps[i], &seen, &err);

		ok(done && strcmp(seen.text, good_seen) == 0, "an archive comes through in pieces of %zu bytes",
		   steps[i]);
	}
	ok(parse(bytes_of(archive, 12 * TAR_BLOCK_SIZE), 4096, &seen, &err), "with one block of zeroes at the end");
	ok(parse(bytes_of(archive, 11 * TAR_BLOCK_SIZE), 4096, &seen, &err) && strcmp(seen.text, good_seen) == 0,
	   "without blocks of zeroes at the end, as servers before 15 send it");
	ok(parse(bytes_of(archive, 0), 512, &seen, &err), "an empty archive is one");
}

static void test_cut(void)
{
	uint8_t archive[GOOD_BLOCKS * TAR_BLOCK_SIZE];
	struct seen seen = {.size = 0};
	struct error err;
	int accepted = 0;

	good_archive(archive);
	/* Where a cut falls between two entries nothing can be told from the archive alone: at 1024, 1536, 2048, … */
	for (size_t size = 0; size <= 5632; size++) {
		bool done = parse(bytes_of(archive, size), 4096, &seen, &err);

		accepted += done ? 1 : 0;
		if (!done && err.kind != ERROR_CORRUPT)
			accepted += 1000;
	}
	ok(accepted == 8, "a cut anywhere but between two entries is CORRUPT (%d cuts accepted)", accepted);
}

static void test_sizes(void)
{
	uint8_t header[TAR_BLOCK_SIZE];
	struct seen seen = {.size = 0};
	struct error err;
	struct tar tar;

	header_make(header, (struct sample){.name = "base/1"});
	memset(header + 124, 0, 12);
	header[124] = 0x80; /* base 256: 64 GiB */
	header[124 + 7] = 0x10;
	checksum_fix(header);
	tar_init(&tar, (struct tar_visitor){.begin = seen_begin, .data = seen_data, .end = seen_end, .context = &seen});
	err = (struct error){0};
	ok(tar_parse(&tar, bytes_of(header, sizeof(header)), &err) && tar.data_left == UINT64_C(64) << 30,
	   "a size in base 256 is understood");

	memset(header + 125, 0xff, 11);
	checksum_fix(header);
	ok(!parse(bytes_of(header, sizeof(header)), 512, &seen, &err) && err.kind == ERROR_CORRUPT,
	   "a size beyond every file system is CORRUPT");
}

/* ---------------------------------------------------------------------------------------------------- evil */

struct evil {
	const char *title;
	struct sample sample;
};

static const struct evil evils[] = {
	{"an absolute path", {.name = "/etc/passwd"}},
	{"a path upwards", {.name = "../x"}},
	{"a path upwards in the middle", {.name = "base/../../x"}},
	{"a path upwards at the end", {.name = "base/.."}},
	{"\"..\" behind ./", {.name = "./../x"}},
	{"a second ./", {.name = "././x"}},
	{"an absolute path behind ./", {.name = ".//etc/passwd"}},
	{"an empty part", {.name = "base//1"}},
	{"an empty name", {.name = ""}},
	{"a lonely dot", {.name = "."}},
	{"a lonely ./", {.name = "./", .type = '5'}},
	{"a file name with a slash at the end", {.name = "base/"}},
	{"a directory with two slashes at the end", {.name = "base//", .type = '5'}},
	{"the root directory", {.name = "/", .type = '5'}},
	{"an absolute prefix", {.name = "passwd", .prefix = "/etc"}},
	{"a prefix upwards", {.name = "x", .prefix = ".."}},
	{"an absolute name behind a prefix", {.name = "/x", .prefix = "base"}},
	{"a link outside of pg_tblspc", {.name = "base/1", .link = "/etc/passwd", .type = '2'}},
	{"a link in pg_tblspc that is no number", {.name = "pg_tblspc/x", .link = "/srv", .type = '2'}},
	{"a link below a tablespace", {.name = "pg_tblspc/1/2", .link = "/srv", .type = '2'}},
	{"a link of pg_tblspc itself", {.name = "pg_tblspc", .link = "/srv", .type = '2'}},
	{"a link of pg_tblspc/", {.name = "pg_tblspc/", .link = "/srv", .type = '2'}},
	{"a relative link", {.name = "pg_tblspc/1", .link = "../../etc", .type = '2'}},
	{"a link to nowhere", {.name = "pg_tblspc/1", .type = '2'}},
	{"a link with content", {.name = "pg_tblspc/1", .link = "/srv", .size = "00000000001 ", .type = '2'}},
	{"a directory with content", {.name = "base", .size = "00000000001 ", .type = '5'}},
	{"a hard link", {.name = "base/1", .link = "/etc/passwd", .type = '1'}},
	{"a character device", {.name = "base/1", .type = '3'}},
	{"a block device", {.name = "base/1", .type = '4'}},
	{"a pipe", {.name = "base/1", .type = '6'}},
	{"a pax header", {.name = "base/1", .type = 'x'}},
	{"a global pax header", {.name = "base/1", .type = 'g'}},
	{"a GNU long name", {.name = "base/1", .type = 'L'}},
	{"a sparse file", {.name = "base/1", .type = 'S'}},
	{"a size with a letter", {.name = "base/1", .size = "0000000000x "}},
	{"a negative size", {.name = "base/1", .size = "-0000000001 "}},
	{"a size with digits behind a blank", {.name = "base/1", .size = "0000 000001 "}},
	{"a size without digits", {.name = "base/1", .size = "            "}},
	{"a negative size in base 256", {.name = "base/1", .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}},
};

static void test_evil(void)
{
	for (size_t i = 0; i < sizeof(evils) / sizeof(evils[0]); i++) {
		uint8_t header[TAR_BLOCK_SIZE];
		struct seen seen = {.size = 0};
		struct error err;

		header_make(header, evils[i].sample);
		ok(!parse(bytes_of(header, sizeof(header)), 512, &seen, &err) && err.kind == ERROR_CORRUPT &&
			   seen.size == 0,
		   "%s is refused: %s", evils[i].title, err.text);
	}
}

static void test_damage(void)
{
	uint8_t archive[GOOD_BLOCKS * TAR_BLOCK_SIZE];
	struct seen seen = {.size = 0};
	struct error err;
	int missed = 0;

	for (size_t i = 0; i < TAR_BLOCK_SIZE * 8; i++) {
		good_archive(archive);
		archive[i / 8] ^= (uint8_t) (1 << i % 8);
		/* Within the checksum itself a digit may become a blank in front, which is the same number. */
		bool is_checksum = i / 8 >= 148 && i / 8 < 156;
		if (parse(bytes_of(archive, sizeof(archive)), 4096, &seen, &err) && !is_checksum)
			missed++;
	}
	ok(missed == 0, "every flipped bit of a header is found (%d were not)", missed);

	good_archive(archive);
	archive[sizeof(archive) - 1] = 1;
	ok(!parse(bytes_of(archive, sizeof(archive)), 4096, &seen, &err) && err.kind == ERROR_CORRUPT,
	   "something behind the end is CORRUPT");

	good_archive(archive);
	seen.refuses = true;
	ok(!parse(bytes_of(archive, sizeof(archive)), 4096, &seen, &err) && err.kind == ERROR_SYSTEM,
	   "the visitor's failure is handed on");
}

int main(void)
{
	test_good();
	test_cut();
	test_sizes();
	test_evil();
	test_damage();
	return done_testing();
}
