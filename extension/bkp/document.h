/* Small files of ours in the data directory, read as a server process may read them: never waiting, whatever lies there
 * under the name, never more than the bound, and with nothing left open when an ERROR is raised meanwhile.
 */
#pragma once

#include "postgres.h"

#include <sys/stat.h>

#include "base/buf.h"

/* Which file it was: another one, or changed, when any of it differs. */
struct document_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

/* Opens `name`, below the data directory. -1: NOT_FOUND when there is none, SYSTEM for all else. To be closed with
 * CloseTransientFile(), which the end of the transaction does as well. */
int document_open(const char *name, size_t size_max, struct document_stamp *stamp, struct error *err);
bool document_stamps_equal(const struct document_stamp *a, const struct document_stamp *b);
/* All of it, in memory of the current context. */
bool document_read(int fd, const char *name, const struct document_stamp *stamp, struct bytes *text,
		   struct error *err) MUST_CHECK;
/* Both, and closes it. */
bool document_read_file(const char *name, size_t size_max, struct bytes *text, struct error *err) MUST_CHECK;
