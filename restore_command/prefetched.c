#include "prefetched.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"

#define LOCK_NAME     "prefetcher"
#define ASKED_NAME    "asked"
#define RECORD_SUFFIX ".fetched"
/* One that has been stopped, or has no time for us, is not waited for. */
#define SILENCE_MAX_US (INT64_C(3) * 1000000)

static void record_name(const char *segment, char name[NAME_MAX])
{
	(void) snprintf(name, NAME_MAX, "%.*s" RECORD_SUFFIX, WAL_NAME_MAX, segment);
}

/* A record is made and filled by two system calls: an empty one is not there yet. */
static bool is_in_work(const struct spool *spool, const char *segment, const char *record)
{
	char path[PATH_MAX];
	struct error ignored;
	struct stat status;

	if (!spool_path(spool, record, path, &ignored) || (stat(path, &status) == 0 && status.st_size > 0))
		return false;
	return spool_path(spool, segment, path, &ignored) && stat(path, &status) == 0 &&
	       prefetched_holder(spool) == HOLDER_ALIVE;
}

enum prefetched_state prefetched_look(const struct spool *spool, const char *segment, uint32_t *crc)
{
	char path[PATH_MAX], record[NAME_MAX], stamp[SPOOL_STAMP_SIZE];
	struct spool_line line = {.name = segment, .stamp = stamp};
	struct error ignored;

	record_name(segment, record);
	if (!spool_path(spool, segment, path, &ignored) || !spool_stamp(path, stamp, &ignored))
		return PREFETCHED_NOTHING;
	if (spool_recall(spool, record, &line) && sscanf(line.value, "%8" SCNx32, crc) == 1)
		return PREFETCHED_READY;
	return is_in_work(spool, segment, record) ? PREFETCHED_IN_WORK : PREFETCHED_NOTHING;
}

bool prefetched_finish(const struct spool *spool, const char *segment, uint32_t crc, struct error *err)
{
	char path[PATH_MAX], record[NAME_MAX], stamp[SPOOL_STAMP_SIZE];
	struct spool_line line = {.name = segment, .stamp = stamp};

	record_name(segment, record);
	(void) snprintf(line.value, sizeof(line.value), "%08" PRIx32, crc);
	return spool_path(spool, segment, path, err) && spool_stamp(path, stamp, err) &&
	       spool_remember(spool, record, &line, err);
}

static void name_remove(const struct spool *spool, const char *name)
{
	char path[PATH_MAX];
	struct error ignored;

	if (spool_path(spool, name, path, &ignored))
		(void) !fs_remove(path, &ignored);
}

/* The file first: without its record it would look as if it were being written. */
void prefetched_remove(const struct spool *spool, const char *segment)
{
	char record[NAME_MAX];

	record_name(segment, record);
	name_remove(spool, segment);
	name_remove(spool, record);
}

static bool remove_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	char segment[NAME_MAX + 1];
	struct error ignored;
	struct wal_name parsed;

	(void) err;
	(void) snprintf(segment, sizeof(segment), "%s", name);
	char *suffix = strstr(segment, RECORD_SUFFIX);
	if (suffix != NULL)
		*suffix = '\0';
	bool is_segment = wal_name_parse(segment, &parsed, &ignored) && parsed.kind == WAL_SEGMENT;
	if (!is_directory && (is_segment || strcmp(name, PREFETCHED_TAKEN) == 0))
		name_remove(context, name);
	return true;
}

bool prefetched_remove_all(const struct spool *spool, struct error *err)
{
	return fs_each(spool->directory, remove_visit, (void *) spool, err);
}

/* --------------------------------------------------------------------------------------------- what is asked for */

bool prefetched_ask(const struct spool *spool, const struct wal_name *segment, struct error *err)
{
	char path[PATH_MAX];

	return spool_path(spool, ASKED_NAME, path, err) && fs_place_file(path, 0600, bytes_of_text(segment->text), err);
}

bool prefetched_asked(const struct spool *spool, struct wal_name *segment)
{
	char path[PATH_MAX];
	struct error ignored;
	const char *text;
	BUF(content, WAL_NAME_MAX + 1);

	return spool_path(spool, ASKED_NAME, path, &ignored) && fs_read_file(path, &content, &ignored) &&
	       buf_text(&content, &text, &ignored) && wal_name_parse(text, segment, &ignored) &&
	       segment->kind == WAL_SEGMENT;
}

/* ------------------------------------------------------------------------------------------------------ the lock */

static bool lock_open(const struct spool *spool, int flags, int *fd, struct error *err)
{
	char path[PATH_MAX];

	TRY(spool_path(spool, LOCK_NAME, path, err));
	*fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd >= 0 ? true : fail_errno(err, "could not open \"%s\"", path);
}

/* A lock of the open file, which dies with the process however that ends, and can be asked about without being taken.
 */
bool prefetched_lock(const struct spool *spool, int *fd, struct error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	TRY(lock_open(spool, O_RDWR | O_CREAT, fd, err));
	if (fcntl(*fd, F_OFD_SETLK, &lock) == 0)
		return prefetched_beat(*fd, err);
	bool is_taken = errno == EAGAIN || errno == EACCES;
	(void) fail_errno(err, "could not lock \"" LOCK_NAME "\" in \"%s\"", spool->directory);
	if (is_taken)
		err->kind = ERROR_EXISTS;
	fd_close(fd);
	return false;
}

bool prefetched_beat(int fd, struct error *err)
{
	return futimens(fd, NULL) == 0 ? true : fail_errno(err, "could not touch \"" LOCK_NAME "\"");
}

enum prefetched_holder prefetched_holder(const struct spool *spool)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd FD_CLEANUP = -1;
	struct error ignored;
	struct stat status;

	if (!lock_open(spool, O_RDWR, &fd, &ignored) || fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK ||
	    fstat(fd, &status) != 0)
		return HOLDER_NONE;
	int64_t beat_us = (int64_t) status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000;
	return llabs(clock_now_us() - beat_us) <= SILENCE_MAX_US ? HOLDER_ALIVE : HOLDER_SILENT;
}
