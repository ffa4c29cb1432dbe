/* What lies in the spool of the segments that are fetched ahead of the server, and what may be believed of it.
 *
 * "<segment>" is the file and "<segment>.fetched" its record, a line with the CRC-32C of the content, bound to that
 * very file. The record is written last: a file without one is being written. One that is there and is not believed is
 * of another time, and its file is nothing. "prefetcher" is locked by the one process that fetches ahead for as long as
 * it lives, and touched by it several times a second. "asked" holds the segment that the server was last given without
 * it.
 */
#pragma once

#include "pg/wal_name.h"
#include "repo/spool.h"

/* The name in the spool of the one that is being handed over. */
#define PREFETCHED_TAKEN "taken"

enum prefetched_state { PREFETCHED_NOTHING, PREFETCHED_IN_WORK, PREFETCHED_READY };

/* In work: a live prefetcher has begun with it. Ready: *crc is what its content must have. */
enum prefetched_state prefetched_look(const struct spool *spool, const char *segment, uint32_t *crc);
/* Makes the finished file ready. */
bool prefetched_finish(const struct spool *spool, const char *segment, uint32_t crc, struct error *err) MUST_CHECK;
/* Whatever there is of it, if anything. */
void prefetched_remove(const struct spool *spool, const char *segment);
/* Whatever there is of every segment. */
bool prefetched_remove_all(const struct spool *spool, struct error *err) MUST_CHECK;

/* Notes what the server is given now. */
bool prefetched_ask(const struct spool *spool, const struct wal_name *segment, struct error *err) MUST_CHECK;
/* What it was last given; false: that cannot be told. */
bool prefetched_asked(const struct spool *spool, struct wal_name *segment);

/* The lock, for as long as *fd is open; EXISTS when another process holds it. */
bool prefetched_lock(const struct spool *spool, int *fd, struct error *err) MUST_CHECK;
/* Says that its holder is alive. */
bool prefetched_beat(int fd, struct error *err) MUST_CHECK;
enum prefetched_holder { HOLDER_NONE, HOLDER_SILENT, HOLDER_ALIVE };
enum prefetched_holder prefetched_holder(const struct spool *spool);
