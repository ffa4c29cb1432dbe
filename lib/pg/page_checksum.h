/* Checks the page checksums of relation files (data_checksums, since 9.3) while their bytes pass by.
 *
 * Which files have pages is told by their names. Pages that were never written, and pages whose LSN says that they
 * changed after the backup began, are skipped: WAL replay writes those anew (basebackup.c of PostgreSQL does the same).
 * A page that the server was writing while it was read can look wrong once: whoever can should read it again.
 */
#pragma once

#include "base/buf.h"

#define PAGE_SIZE_CHECKED 8192

/* A page that failed. */
struct page_failure {
	const char *path; /* borrowed from whoever began the file */
	uint32_t block;	  /* of the relation fork, counted over all its segments */
	uint64_t offset;  /* in the file */
	uint16_t found;	  /* in its header */
	uint16_t expected;
};

typedef bool (*page_failure_visit)(void *context, const struct page_failure *failure, struct error *err);

struct page_checksum {
	uint64_t start_lsn;
	uint32_t segment_blocks; /* of one segment file of a relation: RELSEG_SIZE */
	page_failure_visit visit;
	void *context;

	const char *path;
	uint32_t first_block;
	uint64_t page_count; /* whole pages seen of this file */
	size_t filled;
	_Alignas(64) uint8_t page[PAGE_SIZE_CHECKED];
};

void page_checksum_init(struct page_checksum *check, uint64_t start_lsn, uint32_t segment_blocks,
			page_failure_visit visit, void *context);
/* Begins a file, named relative to the data directory (pg_tblspc/<oid>/… for a tablespace); false when files of that
 * name have no checksums, and then nothing may be added. `path` is borrowed. */
bool page_checksum_begin(struct page_checksum *check, const char *path);
/* The next bytes of the file. A part of a page at its end is no page and not looked at. */
bool page_checksum_add(struct page_checksum *check, struct bytes content, struct error *err) MUST_CHECK;

/* Is this page, read alone, in order: right, new, or changed since? */
bool page_checksum_accepts(const uint8_t page[PAGE_SIZE_CHECKED], uint32_t block, uint64_t start_lsn);
/* Is this the name of a relation file, and which number is in front of its fork and segment? */
bool page_checksum_applies(const char *path, uint32_t *segment);
