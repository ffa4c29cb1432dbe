/* The only place that opens, syncs, renames and removes files. Every function names the path in its error.
 *
 * Durable means: survives a power cut after the function has returned true. The order is always
 * write, fsync(file), publish without replacing, fsync(directory).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"

#define FD_CLEANUP __attribute__((cleanup(fd_close)))
void fd_close(int *fd); /* for read-only descriptors: the result of close does not matter there */

/* Joins with one '/' between; SYSTEM when the result is longer than PATH_MAX. `path` holds PATH_MAX bytes. */
bool path_join(char *path, const char *directory, const char *name, struct error *err) MUST_CHECK;

/* Appends the whole file to `content` (bounded by its size_max). NOT_FOUND when there is none. */
bool fs_read_file(const char *path, struct buf *content, struct error *err) MUST_CHECK;
/* Appends at most `size` bytes from `offset`; fewer at the end of the file. Total size in *file_size unless NULL. */
bool fs_read_range(const char *path, uint64_t offset, size_t size, struct buf *content, uint64_t *file_size,
		   struct error *err) MUST_CHECK;

/* Exactly `size` bytes; SYSTEM when the file ends before. */
bool fd_read_all_at(int fd, uint8_t *target, size_t size, uint64_t offset, const char *path,
		    struct error *err) MUST_CHECK;
bool fd_write_all(int fd, struct bytes content, const char *path, struct error *err) MUST_CHECK;
bool fd_write_all_at(int fd, struct bytes content, uint64_t offset, const char *path, struct error *err) MUST_CHECK;
/* The same past the page cache, without a copy, where the file system can: for much that nobody reads soon. All three,
 * memory, size and offset, are multiples of FS_DIRECT_ALIGNMENT. One thread at a time. */
#define FS_DIRECT_ALIGNMENT (4 * KiB)
bool fd_write_direct_at(int fd, struct bytes content, uint64_t offset, const char *path, struct error *err) MUST_CHECK;
bool fd_resize(int fd, uint64_t size, const char *path, struct error *err) MUST_CHECK;
/* fsync, then close; both results count. *fd is -1 afterwards. */
bool fd_sync_close(int *fd, const char *path, struct error *err) MUST_CHECK;

/* Durably gives `temporary`, a file that is whole and synced, the name `path` on the same file system; whatever comes
 * of it, `temporary` is gone. Replaces nothing: EXISTS when the name is taken. Uses renameat2(RENAME_NOREPLACE), else
 * link(2); a file system with neither is refused by name (USAGE). */
bool fs_publish(const char *temporary, const char *path, struct error *err) MUST_CHECK;

/* Writes `path` whole, replacing what was there, by temporary file and rename in the same directory; durable.
 * For local state and files of a directory being restored, never for a repository. */
bool fs_replace_file(const char *path, mode_t mode, struct bytes content, struct error *err) MUST_CHECK;
/* Puts `path` in place whole by "<path>.tmp" and rename, replacing what was there; not synced. For a file that is
 * asked for again after a crash: a segment handed to recovery. */
bool fs_place_file(const char *path, mode_t mode, struct bytes content, struct error *err) MUST_CHECK;
/* The same for a file that several write, and that is to belong to `owner`: it never has the name as another's. Root
 * can do that for others. */
bool fs_place_file_of(const char *path, mode_t mode, uid_t owner, gid_t group, struct bytes content,
		      struct error *err) MUST_CHECK;
/* "pg_control.437e3d16f8cf0436.tmp": what fs_replace_file() and fs_place_file_of() leave when they are killed. */
bool fs_name_is_temporary(const char *name);
/* Creates `path` (O_EXCL, `mode`) with `content`, durably. EXISTS when there is one. For key files. */
bool fs_create_file(const char *path, mode_t mode, struct bytes content, struct error *err) MUST_CHECK;

/* Opens a regular file for reading, with its size in *size. NOT_FOUND when there is none. */
bool fs_open_file(const char *path, int *fd, uint64_t *size, struct error *err) MUST_CHECK;
/* Lets the file system find the room for `size` bytes at once, where it can: the write and the sync that follow are
 * cheaper for it. Whether there is room, the write says. */
void fd_reserve(int fd, uint64_t size);

/* Opens a new file for writing below an existing directory: O_CREAT | O_EXCL | O_NOFOLLOW. -1 and *err on failure. */
int fs_open_new(const char *path, mode_t mode, struct error *err);

/* mkdir -p below an existing `root`: every directory newly made (mode 0700) is synced into its parent. */
bool fs_make_directories(const char *root, const char *relative, struct error *err) MUST_CHECK;
bool fs_sync_file(const char *path, struct error *err) MUST_CHECK; /* also for directories */
bool fs_sync_parent(const char *path, struct error *err) MUST_CHECK;
bool fs_rename(const char *source, const char *target, struct error *err) MUST_CHECK; /* replaces; not synced */
/* Gives two names of one file system each other's file or directory, at once, durably. NOT_FOUND when one is not there;
 * USAGE where the file system cannot. */
bool fs_exchange(const char *one, const char *other, struct error *err) MUST_CHECK;
bool fs_remove(const char *path, struct error *err) MUST_CHECK; /* NOT_FOUND when there is none */
bool fs_exists(const char *path, bool *exists, struct error *err) MUST_CHECK;
bool fs_directory_is_empty(const char *path, bool *is_empty, struct error *err) MUST_CHECK; /* NOT_FOUND */

/* Calls visit for every name in the directory but . and .., in byte order. Stops at the first false. */
typedef bool (*fs_visit)(void *context, const char *name, bool is_directory, struct error *err);
bool fs_each(const char *path, fs_visit visit, void *context, struct error *err) MUST_CHECK;
