/* global/pg_control (pg_control.h of 13 to 18): the few fields we read, checked by its CRC; and making one unusable. */
#pragma once

#include "base/buf.h"

#define CONTROL_FILE_SIZE_MAX (64 * KiB)
#define CONTROL_FILE_NAME     "global/pg_control"

enum control_state {
	CONTROL_SHUTDOWNED = 1,
	CONTROL_SHUTDOWNED_IN_RECOVERY = 2,
	CONTROL_IN_ARCHIVE_RECOVERY = 5,
	CONTROL_IN_PRODUCTION = 6
};

struct control_file {
	uint64_t system_identifier;
	uint32_t version; /* PG_CONTROL_VERSION */
	uint32_t catalog_version;
	uint32_t state;
	uint64_t checkpoint;
	uint32_t timeline; /* of the checkpoint */
	/* A server in recovery had replayed at least so far, on that timeline; 0 when it was not in recovery, and in a
	 * format that is not known. */
	uint64_t recovery_point;
	uint32_t recovery_timeline;
	uint32_t segment_size; /* of WAL; 0: not found */
	size_t crc_offset;     /* where the CRC lies: found, not assumed */
};

bool control_file_parse(struct bytes content, struct control_file *control, struct error *err) MUST_CHECK;
/* Reads and parses <pgdata>/global/pg_control, again for a moment when it is torn. NOT_FOUND when there is none. */
bool control_file_read(const char *pgdata, struct control_file *control, struct error *err) MUST_CHECK;
/* Points the checkpoint where no WAL can be, with a right CRC: a server started without the backup label stops. */
bool control_file_disable(uint8_t *content, size_t size, struct error *err) MUST_CHECK;
