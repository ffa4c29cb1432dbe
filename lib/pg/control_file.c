#include "pg/control_file.h"

#include <inttypes.h>
#include <limits.h>

#include "base/clock.h"
#include "base/fs.h"
#include "pg/crc32c.h"
#include "pg/wal_name.h"

/* ControlFileData of catalog/pg_control.h: the front has been the same from 11 to 18; what follows differs. */
#define AT_SYSTEM_IDENTIFIER   0
#define AT_VERSION	       8
#define AT_CATALOG_VERSION     12
#define AT_STATE	       16
#define AT_CHECKPOINT	       32
#define AT_CHECKPOINT_TIMELINE 48 /* checkPointCopy.ThisTimeLineID */
#define FRONT_SIZE	       52
/* minRecoveryPoint and its timeline, behind the copy of the checkpoint: 13 to 18 (formats 1300 and 1800). */
#define AT_RECOVERY_POINT    136
#define AT_RECOVERY_TIMELINE 144
#define RECOVERY_END	     148
#define VERSION_KNOWN_MAX    1800

/* floatFormat is 1234567.0 everywhere (FLOATFORMAT_VALUE); blcksz, relseg_size, xlog_blcksz and xlog_seg_size follow
 * it, 13 to 18. */
#define FLOAT_FORMAT	UINT64_C(0x4132D68700000000)
#define TO_SEGMENT_SIZE (8 + 3 * 4)

/* The CRC is the last member of a struct that must fit one disk sector (PG_CONTROL_MAX_SAFE_SIZE). */
#define CRC_OFFSET_MAX (512 - 4)

#define VERSION_MIN 1300
#define STATE_MAX   CONTROL_IN_PRODUCTION

/* The server writes the file in place while we read: a torn one is whole again in a moment. */
#define READ_ATTEMPTS 20
#define READ_PAUSE_MS 25

/* Where WAL never is: a cluster begins with segment 1, so that 0/0 can mean "none" (BootStrapXLOG() of xlog.c). But the
 * offset within the page must be a possible one, or the server refuses even with a backup label (XRecOffIsValid). */
#define CHECKPOINT_NOWHERE 0x28

/* The members' number and size depend on the version, so the CRC is where it is right for all that stands before it. */
static bool crc_find(struct bytes content, size_t *offset)
{
	uint32_t crc = crc32c_add(CRC32C_INIT, bytes_slice(content, 0, FRONT_SIZE));

	for (size_t at = FRONT_SIZE; at <= CRC_OFFSET_MAX && at + 4 <= content.size; at += 4) {
		if (crc32c_final(crc) == load_u32(content.data + at)) {
			*offset = at;
			return true;
		}
		crc = crc32c_add(crc, bytes_slice(content, at, 4));
	}
	return false;
}

static uint32_t segment_size_find(const uint8_t *content, size_t size)
{
	for (size_t at = FRONT_SIZE + 4; at + TO_SEGMENT_SIZE + 4 <= size; at += 8)
		if (load_u64(content + at) == FLOAT_FORMAT &&
		    wal_segment_size_valid(load_u32(content + at + TO_SEGMENT_SIZE)))
			return load_u32(content + at + TO_SEGMENT_SIZE);
	return 0;
}

bool control_file_parse(struct bytes content, struct control_file *control, struct error *err)
{
	*control = (struct control_file){.version = 0};
	if (content.size < FRONT_SIZE || content.size > CONTROL_FILE_SIZE_MAX)
		return fail(err, ERROR_CORRUPT, "a control file of %zu bytes is none", content.size);
	if (!crc_find(content, &control->crc_offset))
		return fail(err, ERROR_CORRUPT, "the control file's checksum is wrong");
	control->system_identifier = load_u64(content.data + AT_SYSTEM_IDENTIFIER);
	control->version = load_u32(content.data + AT_VERSION);
	control->catalog_version = load_u32(content.data + AT_CATALOG_VERSION);
	control->state = load_u32(content.data + AT_STATE);
	control->checkpoint = load_u64(content.data + AT_CHECKPOINT);
	control->timeline = load_u32(content.data + AT_CHECKPOINT_TIMELINE);
	control->segment_size = segment_size_find(content.data, control->crc_offset);
	if (control->version <= VERSION_KNOWN_MAX && control->crc_offset >= RECOVERY_END) {
		control->recovery_point = load_u64(content.data + AT_RECOVERY_POINT);
		control->recovery_timeline = load_u32(content.data + AT_RECOVERY_TIMELINE);
	}
	if (control->version < VERSION_MIN) {
		fail(err, ERROR_CORRUPT, "the control file has format %" PRIu32, control->version);
		return fail_hint(err, "PostgreSQL 13 or later is needed.");
	}
	if (control->system_identifier == 0 || control->state > STATE_MAX || control->timeline == 0)
		return fail(err, ERROR_CORRUPT, "the control file has format %" PRIu32 ", but not its layout",
			    control->version);
	return true;
}

static bool read_once(const char *path, struct control_file *control, struct error *err)
{
	BUF(content, CONTROL_FILE_SIZE_MAX);

	TRY(fs_read_file(path, &content, err));
	if (!control_file_parse(buf_bytes(&content), control, err))
		return fail_in(err, "\"%s\"", path);
	return true;
}

bool control_file_read(const char *pgdata, struct control_file *control, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, pgdata, CONTROL_FILE_NAME, err));
	for (int attempt = 1;; attempt++) {
		if (read_once(path, control, err))
			return true;
		if (err->kind != ERROR_CORRUPT || attempt == READ_ATTEMPTS)
			return false;
		clock_sleep_ms(READ_PAUSE_MS);
	}
}

bool control_file_disable(uint8_t *content, size_t size, struct error *err)
{
	struct control_file control;

	TRY(control_file_parse(bytes_of(content, size), &control, err));
	store_u64(content + AT_CHECKPOINT, CHECKPOINT_NOWHERE);
	uint32_t crc = crc32c_add(CRC32C_INIT, bytes_of(content, control.crc_offset));
	store_u32(content + control.crc_offset, crc32c_final(crc));
	return true;
}
