/* global/pg_control: the fields that are read, its checksum wherever it lies, and making one unusable. */
#include "pg/control_file.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "pg/crc32c.h"
#include "tap.h"

#define FILE_SIZE 8192

/* ControlFileData has 288 bytes before its CRC in 13 to 16; 17 and 18 have other sizes. */
static void content_write(uint8_t *content, uint32_t version, size_t crc_offset)
{
	memset(content, 0, FILE_SIZE);
	store_u64(content, UINT64_C(7345678901234567890));
	store_u32(content + 8, version);
	store_u32(content + 12, 202209061);
	store_u32(content + 16, CONTROL_IN_PRODUCTION);
	store_u64(content + 32, UINT64_C(0x12345678));
	store_u64(content + 40, UINT64_C(0x12345600));
	store_u32(content + 48, 3);
	for (size_t i = 56; i < crc_offset; i++)
		content[i] = (uint8_t) (i * 7);
	store_u32(content + crc_offset, crc32c_final(crc32c_add(CRC32C_INIT, bytes_of(content, crc_offset))));
}

static void fields_test(uint8_t *content)
{
	struct control_file control;
	struct error err;

	ok(crc32c_final(crc32c_add(CRC32C_INIT, bytes_of_text("123456789"))) == 0xE3069283,
	   "the checksum is CRC-32C (check value of RFC 3720's polynomial)");
	for (size_t crc_offset = 200; crc_offset <= 508; crc_offset += 44) {
		content_write(content, crc_offset < 300 ? 1300 : 1800, crc_offset);
		ok(control_file_parse(bytes_of(content, FILE_SIZE), &control, &err) &&
			   control.crc_offset == crc_offset &&
			   control.system_identifier == UINT64_C(7345678901234567890) &&
			   control.checkpoint == 0x12345678 && control.timeline == 3 &&
			   control.state == CONTROL_IN_PRODUCTION && control.catalog_version == 202209061,
		   "the checksum is found at %zu", crc_offset);
	}
	content_write(content, 1201, 288);
	ok(!control_file_parse(bytes_of(content, FILE_SIZE), &control, &err) && err.kind == ERROR_CORRUPT,
	   "too old: %s", err.text);
	ok(!control_file_parse(bytes_of(content, 40), &control, &err) && err.kind == ERROR_CORRUPT, "cut: %s",
	   err.text);
}

static void damage_test(uint8_t *content)
{
	struct control_file control;
	struct error err;
	int accepted = 0;

	for (size_t bit = 0; bit < 292 * 8; bit++) {
		content_write(content, 1300, 288);
		content[bit / 8] ^= (uint8_t) (1u << bit % 8);
		accepted += control_file_parse(bytes_of(content, FILE_SIZE), &control, &err);
	}
	is_number(accepted, 0, "no flipped bit goes unseen");
	srandom(3);
	for (int i = 0; i < 2000; i++) {
		size_t size = (size_t) random() % 600;
		uint8_t *noise = malloc(size + 1);

		for (size_t j = 0; j < size; j++)
			noise[j] = (uint8_t) random();
		accepted += control_file_parse(bytes_of(noise, size), &control, &err);
		free(noise);
	}
	is_number(accepted, 0, "no noise is taken for a control file");
}

static void disable_test(uint8_t *content)
{
	struct control_file control;
	struct error err;

	content_write(content, 1300, 288);
	ok(control_file_disable(content, FILE_SIZE, &err) &&
		   control_file_parse(bytes_of(content, FILE_SIZE), &control, &err),
	   "a disabled one has a right checksum");
	ok(control.checkpoint < 1u << 20 && control.checkpoint % 8192 >= 24,
	   "its checkpoint lies in segment 0, which never is, where a record could begin");
	content[100] ^= 1;
	ok(!control_file_disable(content, FILE_SIZE, &err) && err.kind == ERROR_CORRUPT,
	   "a damaged one is left alone: %s", err.text);
}

static void read_test(uint8_t *content)
{
	char directory[] = "/tmp/pitr-unit-XXXXXX", path[PATH_MAX];
	struct control_file control;
	struct error err;

	if (!ok(mkdtemp(directory) != NULL, "a directory"))
		return;
	ok(!control_file_read(directory, &control, &err) && err.kind == ERROR_NOT_FOUND, "none there: %s", err.text);
	content_write(content, 1300, 288);
	ok(fs_make_directories(directory, "global", &err) && path_join(path, directory, CONTROL_FILE_NAME, &err) &&
		   fs_create_file(path, 0600, bytes_of(content, FILE_SIZE), &err) &&
		   control_file_read(directory, &control, &err) && control.timeline == 3,
	   "read from a data directory");
	content[60] ^= 1;
	ok(fs_replace_file(path, 0600, bytes_of(content, FILE_SIZE), &err) &&
		   !control_file_read(directory, &control, &err) && err.kind == ERROR_CORRUPT,
	   "one that stays torn is refused: %s", err.text);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	rmdir(directory);
}

int main(void)
{
	uint8_t *content = malloc(FILE_SIZE);

	fields_test(content);
	damage_test(content);
	disable_test(content);
	read_test(content);
	free(content);
	return done_testing();
}
