#include "document.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

static bool stamp_take(int fd, const char *name, size_t size_max, struct document_stamp *stamp, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return fail_errno(err, "could not look at the file \"%s\" in the data directory", name);
	if (!S_ISREG(status.st_mode))
		return fail(err, ERROR_SYSTEM, "\"%s\" in the data directory is not a file", name) ||
		       fail_hint(err, "Nothing but pitr's own file belongs there: remove it.");
	if ((uint64_t) status.st_size > size_max)
		return fail(err, ERROR_CORRUPT, "the file \"%s\" in the data directory is larger than %zu bytes", name,
			    size_max) ||
		       fail_hint(err, "It is none that pitr has written: remove it.");
	*stamp = (struct document_stamp){.device = status.st_dev,
					 .inode = status.st_ino,
					 .size = status.st_size,
					 .modified = status.st_mtim,
					 .changed = status.st_ctim};
	return true;
}

/* The working directory of a server process is its data directory (ChangeToDataDir() of miscinit.c). O_NONBLOCK: what
 * is not a file at all, such as a FIFO, would hold the process up. */
int document_open(const char *name, size_t size_max, struct document_stamp *stamp, struct error *err)
{
	int fd = OpenTransientFile(name, O_RDONLY | O_NONBLOCK | PG_BINARY);

	if (fd < 0 && errno == ENOENT) {
		(void) fail(err, ERROR_NOT_FOUND, "there is no file \"%s\" in the data directory", name);
		return -1;
	}
	if (fd < 0) {
		(void) fail_errno(err, "could not open the file \"%s\" in the data directory", name);
		(void) fail_hint(err, "It must be a file that the server's user can read.");
		return -1;
	}
	if (stamp_take(fd, name, size_max, stamp, err))
		return fd;
	(void) CloseTransientFile(fd);
	return -1;
}

static bool times_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool document_stamps_equal(const struct document_stamp *a, const struct document_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       times_equal(&a->modified, &b->modified) && times_equal(&a->changed, &b->changed);
}

/* Shorter than it was a moment ago: somebody writes into it, which none of our programs does. What is read is judged by
 * its envelope. */
bool document_read(int fd, const char *name, const struct document_stamp *stamp, struct bytes *text, struct error *err)
{
	size_t size = (size_t) stamp->size, used = 0;
	uint8_t *data = palloc(size + 1);

	while (used < size) {
		ssize_t got = read(fd, data + used, size - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(err, "could not read the file \"%s\" in the data directory", name) ||
			       fail_hint(err, "See what the operating system's log says about that disk.");
		if (got == 0)
			break;
		used += (size_t) got;
	}
	*text = bytes_of(data, used);
	return true;
}

bool document_read_file(const char *name, size_t size_max, struct bytes *text, struct error *err)
{
	struct document_stamp stamp;
	int fd = document_open(name, size_max, &stamp, err);

	if (fd < 0)
		return false;
	bool done = document_read(fd, name, &stamp, text, err);
	(void) CloseTransientFile(fd);
	return done;
}
