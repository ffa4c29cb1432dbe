/* An index over WAL: what is stored beside each of up to 256 segments, in one object, so that a day of a busy server is
 * read in a few requests. Only a cache of what lies with the segments themselves: it may be missing, damaged or
 * incomplete, and then they are read. Whether a segment is there it does not know; whoever asks has the listing.
 * docs/format.md, "WAL index". wal_index_update.h makes it.
 */
#pragma once

#include "repo/wal_index_text.h"
#include "repo/wal_path.h"

/* The index over one path, read as it is asked for; by one thread. */
struct wal_index;

/* Contacts nothing yet. `path` is borrowed. Nothing before segment `from` will be found. */
bool wal_index_open(struct repo *repo, const struct wal_path *path, uint32_t segment_size, uint64_t from,
		    struct wal_index **index, struct error *err) MUST_CHECK;
void wal_index_close(struct wal_index *index); /* NULL is fine */

/* What is stored beside segment `number` of the path, if that is an object of `stored_size` bytes. *found is false
 * when no index tells, which is no failure. */
bool wal_index_find(struct wal_index *index, uint64_t number, uint32_t stored_size, struct wal_entry *entry,
		    bool *found, struct error *err) MUST_CHECK;
/* The same as JSON, owned by the caller; *meta is NULL when no index tells. */
bool wal_index_meta(struct wal_index *index, uint64_t number, uint32_t stored_size, json_t **meta,
		    struct error *err) MUST_CHECK;

/* The last block of the timeline of which the branch that the path ends in has an object. */
bool wal_index_last_block(struct wal_index *index, uint32_t timeline, bool *has_block, uint64_t *block,
			  struct error *err) MUST_CHECK;
/* Reads the objects of one block there. `made_us` is of the youngest. */
struct wal_index_objects {
	int count, damaged;
	int64_t made_us;
};
bool wal_index_read_block(struct wal_index *index, uint32_t timeline, uint64_t block, struct wal_index_objects *objects,
			  struct error *err) MUST_CHECK;
