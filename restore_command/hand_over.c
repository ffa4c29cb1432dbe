#include "hand_over.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "pg/crc32c.h"
#include "pg/data_directory.h"
#include "prefetched.h"

#define LOOK_PAUSE_MS 2
#define PIECE_SIZE    (256 * KiB) /* divides every segment size, and fits into the cache */

/* Finds out what there is of the segment, when that does not change any more. */
static bool ready_await(const struct spool *spool, const char *name, int64_t deadline_ms, uint32_t *crc)
{
	for (;;) {
		enum prefetched_state state = prefetched_look(spool, name, crc);

		if (state != PREFETCHED_IN_WORK || deadline_left_ms(deadline_ms) <= 0)
			return state == PREFETCHED_READY;
		clock_sleep_ms(LOOK_PAUSE_MS);
	}
}

static bool crc_compare(const char *path, uint32_t found, uint32_t crc, struct error *err)
{
	return crc32c_final(found) == crc ? true : fail(err, ERROR_CORRUPT, "\"%s\" has been damaged", path);
}

/* Read, not mapped: a disk that fails is to be an error, and not the end of this process. */
static bool file_check(const char *path, uint32_t crc, struct error *err)
{
	int fd FD_CLEANUP = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint32_t found = CRC32C_INIT;
	uint8_t piece[PIECE_SIZE];
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0)
		return fail_errno(err, "could not open \"%s\"", path);
	if (!wal_segment_size_valid((uint64_t) status.st_size))
		return fail(err, ERROR_CORRUPT, "\"%s\" has no segment's size", path);
	for (uint64_t offset = 0; offset < (uint64_t) status.st_size; offset += PIECE_SIZE) {
		TRY(fd_read_all_at(fd, piece, sizeof(piece), offset, path, err));
		found = crc32c_add(found, bytes_of(piece, sizeof(piece)));
	}
	return crc_compare(path, found, crc, err);
}

static bool file_copy(const char *path, uint32_t crc, const char *destination, struct error *err)
{
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	return fs_read_file(path, &content, err) &&
	       crc_compare(path, crc32c_add(CRC32C_INIT, buf_bytes(&content)), crc, err) &&
	       fs_place_file(destination, 0600, buf_bytes(&content), err);
}

/* One name takes the place of the other where both are of one file system. */
static bool file_place(const char *path, uint32_t crc, const char *destination, struct error *err)
{
	TRY(file_check(path, crc, err));
	if (fs_rename(path, destination, err))
		return true;
	return err->saved_errno == EXDEV && file_copy(path, crc, destination, err);
}

/* It is taken away first: under its own name the prefetcher may make another one meanwhile. */
static bool file_hand_over(const struct spool *spool, const char *name, uint32_t crc, const char *destination,
			   struct error *err)
{
	char path[PATH_MAX], taken[PATH_MAX];
	struct error ignored;

	TRY(spool_path(spool, name, path, err) && spool_path(spool, PREFETCHED_TAKEN, taken, err));
	TRY(fs_rename(path, taken, err));
	bool done = file_place(taken, crc, destination, err);
	(void) !fs_remove(taken, &ignored); /* there is one after a copy, or when it was no good */
	return done;
}

static bool spool_here(const struct options *options, const char *destination, struct spool *spool)
{
	char directory[PATH_MAX];
	struct error ignored;

	return data_directory_of(destination, directory, &ignored) &&
	       spool_locate(options, directory, spool, &ignored) && spool_check(spool, &ignored);
}

bool hand_over(const struct options *options, const char *name, const char *destination, int64_t wait_ms)
{
	struct error err = {0};
	struct wal_name parsed;
	struct spool spool;
	uint32_t crc;

	if (!wal_name_parse(name, &parsed, &err) || parsed.kind != WAL_SEGMENT ||
	    !spool_here(options, destination, &spool) || !ready_await(&spool, name, deadline_in(wait_ms), &crc))
		return false;
	if (!file_hand_over(&spool, name, crc, destination, &err)) {
		log_info("\"%s\" is fetched anew: %s", name, err.text);
		return false;
	}
	prefetched_remove(&spool, name);
	log_info("handed over \"%s\", fetched ahead", name);
	return true;
}
