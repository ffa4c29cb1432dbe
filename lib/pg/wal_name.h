/* Names of WAL files: "%f" of archive_command and restore_command (manual, section 26.3; xlog_internal.h).
 * Every name is upper-case hexadecimal of fixed width; anything else is refused.
 */
#pragma once

#include <stdint.h>

#include "pg/lsn.h"

#define WAL_NAME_MAX	     64
#define WAL_SEGMENT_SIZE_MIN (1u << 20)
#define WAL_SEGMENT_SIZE_MAX (1u << 30)

enum wal_kind { WAL_SEGMENT, WAL_PARTIAL, WAL_BACKUP, WAL_HISTORY };

struct wal_name {
	enum wal_kind kind;
	uint32_t timeline;
	uint32_t log;	  /* high half of the segment's start, as in the middle eight digits; 0 for a history */
	uint32_t segment; /* last eight digits */
	/* Of a .backup; of a .partial of ours: how many bytes of it hold WAL. That of PostgreSQL has 0, and no place in
	 * its name. */
	uint32_t offset;
	char text[WAL_NAME_MAX + 1];
};

/* USAGE for a name that is none. */
bool wal_name_parse(const char *text, struct wal_name *name, struct error *err) MUST_CHECK;
void wal_name_of_segment(uint32_t timeline, uint64_t segment_number, uint32_t segment_size, struct wal_name *name);
void wal_name_of_history(uint32_t timeline, struct wal_name *name);
/* "<segment>.<offset>.partial": a name that PostgreSQL gives to no file, so that it can be in nobody's way. */
void wal_name_of_partial(const struct wal_name *segment, uint32_t offset, struct wal_name *name);
/* True when `size` is a power of two from 1 MB to 1 GB. */
bool wal_segment_size_valid(uint64_t size);
uint64_t wal_segment_number(const struct wal_name *name, uint32_t segment_size);
uint64_t wal_segment_start(const struct wal_name *name, uint32_t segment_size); /* LSN of its first byte */
/* The segment that holds byte `lsn`. */
uint64_t wal_segment_of(uint64_t lsn, uint32_t segment_size);
