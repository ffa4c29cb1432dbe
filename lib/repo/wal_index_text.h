/* The plaintext of an index over WAL: lines of JSON, of which each can be read without the others, so that neither
 * memory nor time depend on more than is asked for. The first line says who made it and when; each of the others
 * belongs to a segment. docs/format.md, "WAL index".
 */
#pragma once

#include "repo/wal_store.h"

#define WAL_INDEX_BLOCK	   256 /* segments; a block begins with a number that is divisible by it */
#define WAL_INDEX_LINE_MAX (OBJECT_META_MAX + 1 * KiB)
#define WAL_INDEX_TEXT_MAX ((WAL_INDEX_BLOCK + 1) * WAL_INDEX_LINE_MAX)

struct wal_index_line {
	uint32_t offset, size; /* size 0: there is none */
};

struct wal_index_text {
	struct buf text; /* owned */
	int64_t made_us;
	uint64_t block;
	struct wal_index_line lines[WAL_INDEX_BLOCK];
};

/* Takes the text over and finds the lines of the block. CORRUPT when it is no index. */
bool wal_index_text_open(struct wal_index_text *index, struct buf *text, uint64_t block, uint32_t segment_size,
			 struct error *err) MUST_CHECK;
void wal_index_text_release(struct wal_index_text *index);
/* What is stored beside the segment, owned by the caller, if the object is of that size; NULL: the index does not
 * tell. */
bool wal_index_text_find(const struct wal_index_text *index, uint64_t number, const struct wal_name *name,
			 uint32_t stored_size, json_t **meta, struct error *err) MUST_CHECK;

bool wal_index_text_begin(struct buf *text, const char *host, int64_t made_us, struct error *err) MUST_CHECK;
/* *is_added is false when the line would be longer than one may be. */
bool wal_index_text_add(struct buf *text, const struct wal_name *name, uint32_t stored_size, json_t *meta,
			bool *is_added, struct error *err) MUST_CHECK;
