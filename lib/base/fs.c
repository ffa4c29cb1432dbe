#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/random.h"

void fd_close(int *fd)
{
	if (*fd >= 0)
		(void) close(*fd);
	*fd = -1;
}

bool path_join(char *path, const char *directory, const char *name, struct error *err)
{
	size_t length = strlen(directory);
	const char *separator = length > 0 && directory[length - 1] == '/' ? "" : "/";
	int written = snprintf(path, PATH_MAX, "%s%s%s", directory, separator, name);

	if (written < 0 || written >= PATH_MAX)
		return fail(err, ERROR_SYSTEM, "the path \"%.200s…/%.200s\" is too long", directory, name);
	return true;
}

/* open(2) for reading; NOT_FOUND and SYSTEM told apart. */
static bool fs_open_existing(const char *path, int flags, int *fd, struct error *err)
{
	*fd = open(path, flags | O_CLOEXEC);
	if (*fd >= 0)
		return true;
	(void) fail_errno(err, "could not open \"%s\"", path);
	if (err->saved_errno == ENOENT)
		err->kind = ERROR_NOT_FOUND;
	return false;
}

static bool fd_size(int fd, const char *path, uint64_t *size, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return fail_errno(err, "could not stat \"%s\"", path);
	if (!S_ISREG(status.st_mode))
		return fail(err, ERROR_SYSTEM, "\"%s\" is not a regular file", path);
	*size = (uint64_t) status.st_size;
	return true;
}

bool fs_open_file(const char *path, int *fd, uint64_t *size, struct error *err)
{
	TRY(fs_open_existing(path, O_RDONLY, fd, err));
	if (fd_size(*fd, path, size, err))
		return true;
	fd_close(fd);
	return false;
}

void fd_reserve(int fd, uint64_t size)
{
	/* Not posix_fallocate(): that writes every block where the file system cannot do it (NFS 3). */
	if (size > 0)
		(void) fallocate(fd, 0, 0, (off_t) size);
}

bool fd_read_all_at(int fd, uint8_t *target, size_t size, uint64_t offset, const char *path, struct error *err)
{
	while (size > 0) {
		ssize_t got = pread(fd, target, size, (off_t) offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(err, "could not read \"%s\"", path);
		if (got == 0)
			return fail(err, ERROR_SYSTEM, "could not read \"%s\": it became shorter meanwhile", path);
		target += got;
		offset += (uint64_t) got;
		size -= (size_t) got;
	}
	return true;
}

bool fs_read_range(const char *path, uint64_t offset, size_t size, struct buf *content, uint64_t *file_size,
		   struct error *err)
{
	int fd FD_CLEANUP = -1;
	uint64_t whole = 0;

	TRY(fs_open_file(path, &fd, &whole, err));
	if (file_size != NULL)
		*file_size = whole;
	if (offset >= whole)
		return true;
	if (size > whole - offset)
		size = (size_t) (whole - offset);
	if (!buf_allocate(content, content->size + size, err))
		return fail_in(err, "could not read \"%s\"", path);

	TRY(fd_read_all_at(fd, content->data + content->size, size, offset, path, err));
	content->size += size;
	return true;
}

bool fs_read_file(const char *path, struct buf *content, struct error *err)
{
	return fs_read_range(path, 0, SIZE_MAX, content, NULL, err);
}

/* `offset` below zero: where the descriptor stands. */
static bool fd_write_from(int fd, struct bytes content, off_t offset, const char *path, struct error *err)
{
	while (content.size > 0) {
		ssize_t written = offset < 0 ? write(fd, content.data, content.size)
					     : pwrite(fd, content.data, content.size, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			errno = written == 0 ? ENOSPC : errno;
			return fail_errno(err, "could not write \"%s\"", path);
		}
		content = bytes_slice(content, (size_t) written, content.size - (size_t) written);
		offset += offset < 0 ? 0 : written;
	}
	return true;
}

bool fd_write_all(int fd, struct bytes content, const char *path, struct error *err)
{
	return fd_write_from(fd, content, -1, path, err);
}

bool fd_write_all_at(int fd, struct bytes content, uint64_t offset, const char *path, struct error *err)
{
	return fd_write_from(fd, content, (off_t) offset, path, err);
}

static bool fd_set_direct(int fd, bool is_direct)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return false;
	return fcntl(fd, F_SETFL, is_direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* As much of `content` as the file system takes directly; the rest is left to the caller. */
static bool fd_write_direct(int fd, struct bytes *content, uint64_t *offset, const char *path, struct error *err)
{
	while (content->size > 0) {
		ssize_t written = pwrite(fd, content->data, content->size, (off_t) *offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written == 0 ||
		    (written < 0 &&
		     errno == EINVAL)) /* its blocks are larger than FS_DIRECT_ALIGNMENT, or it changed its mind */
			return true;
		if (written < 0)
			return fail_errno(err, "could not write \"%s\"", path);
		*content = bytes_slice(*content, (size_t) written, content->size - (size_t) written);
		*offset += (uint64_t) written;
		if (written % (ssize_t) FS_DIRECT_ALIGNMENT != 0)
			return true;
	}
	return true;
}

bool fd_write_direct_at(int fd, struct bytes content, uint64_t offset, const char *path, struct error *err)
{
	if (fd_set_direct(fd, true)) {
		bool done = fd_write_direct(fd, &content, &offset, path, err);

		if (!fd_set_direct(fd, false) && done)
			return fail_errno(err, "could not write \"%s\"", path);
		TRY(done);
	}
	return fd_write_from(fd, content, (off_t) offset, path, err);
}

bool fd_resize(int fd, uint64_t size, const char *path, struct error *err)
{
	if (size > INT64_MAX || ftruncate(fd, (off_t) size) != 0)
		return fail_errno(err, "could not set the size of \"%s\"", path);
	return true;
}

/* NFS says only here that the disk is full. */
static bool fd_close_checked(int *fd, const char *path, struct error *err)
{
	int taken = *fd;

	*fd = -1;
	return close(taken) == 0 ? true : fail_errno(err, "could not close \"%s\"", path);
}

bool fd_sync_close(int *fd, const char *path, struct error *err)
{
	if (fsync(*fd) == 0)
		return fd_close_checked(fd, path, err);
	(void) fail_errno(err, "could not sync \"%s\"", path);
	fd_close(fd);
	return false;
}

int fs_open_new(const char *path, mode_t mode, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0) {
		(void) fail_errno(err, "could not create \"%s\"", path);
		if (err->saved_errno == EEXIST)
			err->kind = ERROR_EXISTS;
		if (err->saved_errno == ENOENT)
			err->kind = ERROR_NOT_FOUND;
	}
	return fd;
}

/* Creates a file that is on disk when true is returned, and gone when false is. */
static bool fs_write_new(const char *path, mode_t mode, struct bytes content, struct error *err)
{
	int fd = fs_open_new(path, mode, err);

	if (fd < 0)
		return false;
	if (fd_write_all(fd, content, path, err) && fd_sync_close(&fd, path, err))
		return true;
	fd_close(&fd);
	(void) unlink(path);
	return false;
}

bool fs_create_file(const char *path, mode_t mode, struct bytes content, struct error *err)
{
	TRY(fs_write_new(path, mode, content, err));
	return fs_sync_parent(path, err);
}

/* Gives the finished file `source` the name `target` unless that is taken; `source` is gone when true is returned. */
static bool fs_name_once(const char *source, const char *target, struct error *err)
{
	if (renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE) == 0)
		return true;
	if (errno == EINVAL || errno == ENOSYS) {
		if (link(source, target) == 0) {
			(void) unlink(source); /* what stays behind is a second name in the temporary directory */
			return true;
		}
		if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
			return fail(err, ERROR_USAGE,
				    "the file system of \"%s\" has neither renameat2(RENAME_NOREPLACE) nor link(2)",
				    target) ||
			       fail_hint(err, "Keep the repository on a file system that can publish a file without "
					      "replacing another, such as ext4, xfs, btrfs or nfs.");
	}
	(void) fail_errno(err, "could not publish \"%s\"", target);
	if (err->saved_errno == EEXIST) {
		(void) fail(err, ERROR_EXISTS, "\"%s\" exists already", target);
		err->saved_errno = EEXIST;
	}
	if (err->saved_errno == ENOENT)
		err->kind = ERROR_NOT_FOUND;
	return false;
}

bool fs_publish(const char *temporary, const char *path, struct error *err)
{
	if (!fs_name_once(temporary, path, err)) {
		(void) unlink(temporary);
		return false;
	}
	if (fs_sync_parent(path, err))
		return true;
	/* The kernel reports a failed sync once: whoever finds the name later would take it for durable. */
	(void) unlink(path);
	return false;
}

/* "<path>.<random>.tmp", in the same directory: whoever else writes the same file has another one. */
static bool temporary_name(const char *path, char temporary[PATH_MAX], struct error *err)
{
	uint8_t id[8];
	char suffix[2 * sizeof(id) + 1];

	TRY(random_bytes(id, sizeof(id), err));
	hex_format(bytes_of(id, sizeof(id)), suffix);
	int written = snprintf(temporary, PATH_MAX, "%s.%s.tmp", path, suffix);
	if (written < 0 || written >= PATH_MAX)
		return fail(err, ERROR_SYSTEM, "the path \"%.200s…\" is too long", path);
	return true;
}

bool fs_name_is_temporary(const char *name)
{
	size_t length = strlen(name);
	const size_t tail = sizeof(".0123456789abcdef.tmp") - 1;

	if (length <= tail || strcmp(name + length - 4, ".tmp") != 0 || name[length - tail] != '.')
		return false;
	return strspn(name + length - tail + 1, "0123456789abcdef") == 16;
}

bool fs_replace_file(const char *path, mode_t mode, struct bytes content, struct error *err)
{
	char temporary[PATH_MAX];

	TRY(temporary_name(path, temporary, err));
	TRY(fs_write_new(temporary, mode, content, err));
	if (!fs_rename(temporary, path, err)) {
		(void) unlink(temporary);
		return false;
	}
	return fs_sync_parent(path, err);
}

static bool fd_give(int fd, uid_t owner, gid_t group, const char *path, struct error *err)
{
	if (owner == geteuid() || fchown(fd, owner, group) == 0)
		return true;
	return fail_errno(err, "could not give \"%s\" to user %ld", path, (long) owner);
}

/* Fills `fd`, a new file under the name `temporary`, and gives it its name. */
static bool fs_place(int fd, const char *temporary, const char *path, struct bytes content, struct error *err)
{
	if (fd_write_all(fd, content, temporary, err) && fd_close_checked(&fd, temporary, err) &&
	    fs_rename(temporary, path, err))
		return true;
	fd_close(&fd);
	(void) unlink(temporary);
	return false;
}

bool fs_place_file_of(const char *path, mode_t mode, uid_t owner, gid_t group, struct bytes content, struct error *err)
{
	char temporary[PATH_MAX];

	TRY(temporary_name(path, temporary, err));
	int fd = fs_open_new(temporary, mode, err);
	if (fd < 0)
		return false;
	if (fd_give(fd, owner, group, temporary, err))
		return fs_place(fd, temporary, path, content, err);
	fd_close(&fd);
	(void) unlink(temporary);
	return false;
}

bool fs_place_file(const char *path, mode_t mode, struct bytes content, struct error *err)
{
	char temporary[PATH_MAX];

	int written = snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	if (written < 0 || (size_t) written >= sizeof(temporary))
		return fail(err, ERROR_SYSTEM, "the path \"%.200s…\" is too long", path);
	if (!fs_remove(temporary, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	int fd = fs_open_new(temporary, mode, err);
	return fd >= 0 && fs_place(fd, temporary, path, content, err);
}

bool fs_make_directories(const char *root, const char *relative, struct error *err)
{
	char path[PATH_MAX];
	size_t root_size;

	TRY(path_join(path, root, relative, err));
	root_size = strlen(path) - strlen(relative);
	for (char *end = path + root_size; end != NULL; end = strchr(end + 1, '/')) {
		if (end == path + root_size) /* the root itself is never made */
			continue;
		*end = '\0';
		if (mkdir(path, 0700) == 0)
			TRY(fs_sync_parent(path, err));
		else if (errno != EEXIST)
			return fail_errno(err, "could not create the directory \"%s\"", path);
		*end = '/';
	}
	if (mkdir(path, 0700) == 0)
		return fs_sync_parent(path, err);
	return errno == EEXIST ? true : fail_errno(err, "could not create the directory \"%s\"", path);
}

bool fs_sync_file(const char *path, struct error *err)
{
	int fd FD_CLEANUP = -1;

	TRY(fs_open_existing(path, O_RDONLY, &fd, err));
	return fd_sync_close(&fd, path, err);
}

bool fs_sync_parent(const char *path, struct error *err)
{
	char parent[PATH_MAX];
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] != '/')
		length--;
	while (length > 1 && path[length - 1] == '/')
		length--;
	int written = snprintf(parent, sizeof(parent), "%.*s", (int) length, path);
	if (written < 0 || (size_t) written >= sizeof(parent))
		return fail(err, ERROR_SYSTEM, "the path \"%.200s…\" is too long", path);
	return fs_sync_file(length == 0 ? "." : parent, err);
}

bool fs_rename(const char *source, const char *target, struct error *err)
{
	if (rename(source, target) != 0)
		return fail_errno(err, "could not rename \"%s\" to \"%s\"", source, target);
	return true;
}

bool fs_exchange(const char *one, const char *other, struct error *err)
{
	if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0)
		return fs_sync_parent(one, err) && fs_sync_parent(other, err);
	(void) fail_errno(err, "could not exchange \"%s\" and \"%s\"", one, other);
	if (err->saved_errno == ENOENT)
		err->kind = ERROR_NOT_FOUND;
	if (err->saved_errno == EINVAL || err->saved_errno == ENOSYS)
		err->kind = ERROR_USAGE;
	return false;
}

bool fs_remove(const char *path, struct error *err)
{
	if (unlink(path) == 0)
		return true;
	(void) fail_errno(err, "could not remove \"%s\"", path);
	if (err->saved_errno == ENOENT)
		err->kind = ERROR_NOT_FOUND;
	return false;
}

bool fs_exists(const char *path, bool *exists, struct error *err)
{
	struct stat status;

	*exists = lstat(path, &status) == 0;
	if (!*exists && errno != ENOENT && errno != ENOTDIR)
		return fail_errno(err, "could not stat \"%s\"", path);
	return true;
}

static bool visit_first(void *context, const char *name, bool is_directory, struct error *err)
{
	(void) name;
	(void) is_directory;
	(void) err;
	*(bool *) context = false;
	return true;
}

bool fs_directory_is_empty(const char *path, bool *is_empty, struct error *err)
{
	*is_empty = true;
	return fs_each(path, visit_first, is_empty, err);
}

struct listing {
	struct dirent **entries;
	int count;
};

static void listing_release(struct listing *listing)
{
	for (int i = 0; i < listing->count; i++)
		free(listing->entries[i]);
	free((void *) listing->entries);
}

static int listing_wants(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int listing_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool entry_is_directory(const char *path, const struct dirent *entry, bool *is_directory, struct error *err)
{
	char child[PATH_MAX];
	struct stat status;

	*is_directory = entry->d_type == DT_DIR;
	if (entry->d_type != DT_UNKNOWN)
		return true;
	TRY(path_join(child, path, entry->d_name, err));
	if (lstat(child, &status) != 0)
		return errno == ENOENT ? true : fail_errno(err, "could not stat \"%s\"", child);
	*is_directory = S_ISDIR(status.st_mode);
	return true;
}

bool fs_each(const char *path, fs_visit visit, void *context, struct error *err)
{
	struct listing listing __attribute__((cleanup(listing_release))) = {NULL, 0};
	int count = scandir(path, &listing.entries, listing_wants, listing_order);

	if (count < 0) {
		(void) fail_errno(err, "could not read the directory \"%s\"", path);
		if (err->saved_errno == ENOENT)
			err->kind = ERROR_NOT_FOUND;
		return false;
	}
	listing.count = count;
	for (int i = 0; i < count; i++) {
		bool is_directory;

		TRY(entry_is_directory(path, listing.entries[i], &is_directory, err));
		TRY(visit(context, listing.entries[i]->d_name, is_directory, err));
	}
	return true;
}
