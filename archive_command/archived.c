#include "archived.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "pg/crc32c.h"
#include "pg/data_directory.h"
#include "pg/wal_name.h"
#include "repo/spool.h"

void archived_record(const struct options *options, char record[ARCHIVED_RECORD_SIZE])
{
	uint32_t crc = CRC32C_INIT;

	if (options->repo != NULL)
		crc = crc32c_add(crc, bytes_of_text(options->repo));
	(void) snprintf(record, ARCHIVED_RECORD_SIZE, "archived-%08" PRIx32, crc32c_final(crc));
}

bool archived_before(const struct options *options, const char *path)
{
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX], stamp[SPOOL_STAMP_SIZE], record[ARCHIVED_RECORD_SIZE];
	struct spool_line line = {.stamp = stamp};
	struct error ignored = {0};
	struct wal_name name;
	struct spool spool;

	if (!wal_name_parse(slash == NULL ? path : slash + 1, &name, &ignored) || name.kind != WAL_SEGMENT ||
	    !data_directory_of(path, directory, &ignored) || !spool_locate(options, directory, &spool, &ignored) ||
	    !spool_stamp(path, stamp, &ignored))
		return false;
	line.name = name.text;
	archived_record(options, record);
	if (!spool_recall(&spool, record, &line))
		return false;
	log_debug("\"%s\" has been stored by an earlier call", name.text);
	return true;
}
