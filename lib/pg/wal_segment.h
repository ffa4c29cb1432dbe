/* Is this file the WAL segment that its name says, of this cluster? Reads only the first page's header
 * (XLogLongPageHeaderData, xlog_internal.h of 13 to 18).
 */
#pragma once

#include "base/buf.h"
#include "pg/wal_name.h"

#define WAL_PAGE_HEADER_SIZE	  24 /* SizeOfXLogShortPHD */
#define WAL_PAGE_HEADER_LONG_SIZE 40 /* SizeOfXLogLongPHD: the first page of a segment */

struct wal_segment {
	uint16_t magic; /* XLOG_PAGE_MAGIC: which major version wrote it */
	uint64_t system_identifier;
	uint32_t segment_size;
	uint32_t page_size; /* XLOG_BLCKSZ of the server's build, 8192 almost everywhere */
	uint32_t timeline;  /* of the first page */
	uint64_t start;	    /* LSN of the first byte */
};

/* CORRUPT when it is no WAL segment; size not read from the file but from the header. */
bool wal_segment_parse(struct bytes content, struct wal_segment *segment, struct error *err) MUST_CHECK;
/* As above, and content.size, timeline and address must be those of `name` (a .partial too is a whole segment). The
 * first page of a timeline's first segment may carry the parent's timeline: lower is accepted, higher is not. */
bool wal_segment_check(struct bytes content, const struct wal_name *name, struct wal_segment *segment,
		       struct error *err) MUST_CHECK;
/* The same, of a file of `file_size` bytes that begins with `head` (WAL_PAGE_HEADER_LONG_SIZE bytes are enough). */
bool wal_segment_check_header(struct bytes head, uint64_t file_size, const struct wal_name *name,
			      struct wal_segment *segment, struct error *err) MUST_CHECK;
/* The major version that writes pages of this magic; 0: unknown. */
int wal_magic_version(uint16_t magic);
