#include "files/file.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

/* A smaller hole is not worth the extents that the file system has to keep for it. */
#define HOLE_SIZE (64 * KiB)
/* What is smaller is copied faster than it is written by itself. */
#define DIRECT_SIZE_MIN (256 * KiB)

bool file_init(struct file *file, const struct manifest_entry *entry, const struct tree *tree, struct buf *kept,
	       struct error *err)
{
	*file = (struct file){.kept = kept};
	file->path = strdup(entry->path);
	if (file->path == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	file->to =
		(struct tree_file){.tree = tree, .path = file->path, .mode = entry->mode & 0777, .size = entry->size};
	return true;
}

void file_release(struct file *file)
{
	free(file->path);
	comparison_release(&file->comparison);
	*file = (struct file){.path = NULL};
}

bool file_take(struct file *file, struct tree_walk *walk, struct piece_digester *digester, struct error *err)
{
	int fd FD_CLEANUP = -1;

	TRY(tree_keep_file(walk, &file->to, &fd, err));
	file->is_made = file->was_there = fd >= 0;
	if (file->was_there)
		return comparison_run(&file->comparison, fd, file->path, digester, err);
	return file->to.size > 0 ? true : file_make_empty(file, walk, err);
}

bool file_make_empty(struct file *file, struct tree_walk *walk, struct error *err)
{
	int fd FD_CLEANUP = -1;

	file->is_made = true;
	return tree_make_file(walk, &file->to, &fd, err);
}

static bool file_open(struct file *file, struct tree_walk *walk, int *fd, struct error *err)
{
	if (file->is_made)
		return tree_open_file(walk, &file->to, fd, err);
	TRY(tree_make_file(walk, &file->to, fd, err));
	file->is_made = true;
	if (fd_resize(*fd, file->to.size, file->path, err))
		return true;
	fd_close(fd);
	return false;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_zero(struct bytes content)
{
	return content.size > 0 && content.data[0] == 0 &&
	       memcmp(content.data, content.data + 1, content.size - 1) == 0;
}

/* The whole blocks of it, if they are many, go directly; the rest of its first and last block as usual: no block is
 * ever written both ways. */
static bool run_write(int fd, const char *path, struct bytes content, uint64_t offset, struct error *err)
{
	size_t head = (size_t) (-offset % FS_DIRECT_ALIGNMENT);

	if (content.size < DIRECT_SIZE_MIN || (uintptr_t) (content.data + head) % FS_DIRECT_ALIGNMENT != 0)
		return fd_write_all_at(fd, content, offset, path, err);
	size_t body = (content.size - head) / FS_DIRECT_ALIGNMENT * FS_DIRECT_ALIGNMENT;
	size_t tail = content.size - head - body;
	return fd_write_all_at(fd, bytes_slice(content, 0, head), offset, path, err) &&
	       fd_write_direct_at(fd, bytes_slice(content, head, body), offset + head, path, err) &&
	       fd_write_all_at(fd, bytes_slice(content, head + body, tail), offset + head + body, path, err);
}

/* Into a file that is one hole: what is zero stays one. The file is looked at in blocks of HOLE_SIZE from its start. */
static bool sparse_write(int fd, const char *path, struct bytes content, uint64_t offset, struct error *err)
{
	size_t begin = 0, at = 0;

	while (at < content.size) {
		size_t size = smaller((size_t) (HOLE_SIZE - (offset + at) % HOLE_SIZE), content.size - at);

		if (is_zero(bytes_slice(content, at, size))) {
			TRY(run_write(fd, path, bytes_slice(content, begin, at - begin), offset + begin, err));
			begin = at + size;
		}
		at += size;
	}
	return run_write(fd, path, bytes_slice(content, begin, at - begin), offset + begin, err);
}

/* A small file that comes whole needs no more than to be made and written. */
static bool small_write(struct file *file, struct tree_walk *walk, struct bytes content, struct error *err)
{
	int fd FD_CLEANUP = -1;

	file->is_made = true;
	TRY(tree_make_file(walk, &file->to, &fd, err));
	return fd_write_all(fd, content, file->path, err);
}

bool file_write(struct file *file, struct tree_walk *walk, pthread_mutex_t *lock, uint64_t offset, struct bytes content,
		struct error *err)
{
	int fd FD_CLEANUP = -1;

	if (file->kept != NULL) { /* its pieces do not overlap: no lock */
		memcpy(file->kept->data + offset, content.data, content.size);
		return true;
	}
	if (content.size == file->to.size && content.size <= HOLE_SIZE && !file->was_there)
		return small_write(file, walk, content, err);
	(void) pthread_mutex_lock(lock);
	bool is_open = file_open(file, walk, &fd, err);
	(void) pthread_mutex_unlock(lock);
	TRY(is_open);
	return file->was_there ? run_write(fd, file->path, content, offset, err)
			       : sparse_write(fd, file->path, content, offset, err);
}
