/* Reads a tar archive as PostgreSQL's BASE_BACKUP writes it (tarCreateHeader() in src/port/tar.c, 13 to 18): ustar
 * headers with regular files, directories and the links of tablespaces.
 *
 * A push parser: bytes are handed in as they come, in pieces of any size, and the visitor is told of entries and their
 * content. It believes nothing: header checksums are verified, paths stay relative and never lead upwards, a link is
 * accepted as pg_tblspc/<oid> only, devices and extension headers are refused. Needs one header of memory.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

#define TAR_BLOCK_SIZE 512
#define TAR_PATH_SIZE  258 /* prefix, '/', name and a zero */
#define TAR_LINK_SIZE  101

enum tar_type { TAR_FILE, TAR_DIRECTORY, TAR_LINK };

struct tar_entry {
	enum tar_type type;
	char path[TAR_PATH_SIZE]; /* without a '/' at the end */
	char link[TAR_LINK_SIZE]; /* of a TAR_LINK */
	mode_t mode;		  /* permission bits */
	uint64_t size;		  /* 0 unless TAR_FILE */
	int64_t modified_s;	  /* since 1970 */
};

/* For every entry begin, for a file any number of data, and end. False stops the parser with *err. */
struct tar_visitor {
	bool (*begin)(void *context, const struct tar_entry *entry, struct error *err);
	bool (*data)(void *context, struct bytes content, struct error *err);
	bool (*end)(void *context, struct error *err);
	void *context;
};

struct tar {
	struct tar_visitor visitor;
	uint8_t header[TAR_BLOCK_SIZE];
	size_t header_size;  /* bytes of it that are there */
	uint64_t data_left;  /* of the current file */
	size_t padding_left; /* behind it */
	bool is_ended;	     /* a block of zeroes was seen: nothing else may follow */
	uint64_t position;   /* for messages */
};

void tar_init(struct tar *tar, struct tar_visitor visitor);
/* CORRUPT for anything that PostgreSQL would not write. */
bool tar_parse(struct tar *tar, struct bytes content, struct error *err) MUST_CHECK;
/* The archive ends here: CORRUPT in the middle of an entry. The blocks of zeroes at the end may be missing, as servers
 * before 15 leave them out. */
bool tar_finish(const struct tar *tar, struct error *err) MUST_CHECK;
