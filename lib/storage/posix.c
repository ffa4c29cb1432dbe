#include "storage/posix.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/hex.h"
#include "base/random.h"
#include "storage/backend.h"
#include "storage/rate.h"

#define NAMES_SIZE_MAX (256 * MiB)

struct posix {
	struct storage storage;
	char root[PATH_MAX];
	char temp_directory[PATH_MAX];
	struct rate rate;
	pthread_mutex_t mutex;
	char ready_directory[STORAGE_KEY_SIZE_MAX + 1]; /* the last one proven durable, below root; under mutex */
};

static struct posix *posix_of(struct storage *storage)
{
	return (struct posix *) storage;
}

static bool unmounted(const char *root, const char *what, struct error *err)
{
	return fail(err, ERROR_UNREACHABLE, "the repository directory \"%s\" %s (is it mounted?)", root, what) ||
	       fail_hint(err, "Mount it; a new repository is made by pitr-catalog init and by nothing else.");
}

/* True when the root is there and not just an empty mount point. To be asked before anything is called absent. */
static bool posix_root_check(const struct posix *posix, struct error *err)
{
	bool is_empty;

	if (!fs_directory_is_empty(posix->root, &is_empty, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			return unmounted(posix->root, "does not exist", err);
		return fail_in(err, "could not look into the repository directory");
	}
	return is_empty ? unmounted(posix->root, "is empty", err) : true;
}

/* Directories may be links, to another disk say: then they are roots of their own, which can be unmounted. */
static bool posix_link_check(const char *path, struct error *err)
{
	struct stat status;
	bool is_empty = false;

	if (lstat(path, &status) != 0 || !S_ISLNK(status.st_mode))
		return true;
	if (stat(path, &status) != 0 && errno != ENOENT)
		return fail_errno(err, "could not follow the link \"%s\"", path);
	if (stat(path, &status) != 0)
		return fail(err, ERROR_UNREACHABLE, "the link \"%s\" leads nowhere (is its target mounted?)", path);
	if (S_ISDIR(status.st_mode))
		TRY(fs_directory_is_empty(path, &is_empty, err));
	if (is_empty)
		return fail(err, ERROR_UNREACHABLE, "the link \"%s\" leads to an empty directory (is it mounted?)",
			    path);
	return true;
}

/* Every part of the path to `key`, from the root down. */
static bool posix_links_check(const struct posix *posix, const char *key, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, posix->root, key, err));
	for (char *slash = path + strlen(posix->root); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		TRY(posix_link_check(path, err));
		*slash = '/';
	}
	return posix_link_check(path, err);
}

/* Turns "no such file" into the truth, after a call has failed. A key whose path is a directory, or lies below a
 * file, is an absent object too. Always returns false. */
static bool posix_absent(const struct posix *posix, const char *key, struct error *err)
{
	bool is_absent = err->kind == ERROR_NOT_FOUND;
	struct stat status;
	char path[PATH_MAX];

	if (err->kind == ERROR_SYSTEM && (err->saved_errno == ENOTDIR || err->saved_errno == EISDIR))
		is_absent = true;
	if (err->kind == ERROR_SYSTEM && !is_absent) {
		struct error ignored;

		is_absent = path_join(path, posix->root, key, &ignored) && stat(path, &status) == 0 &&
			    S_ISDIR(status.st_mode);
	}
	if (err->kind == ERROR_SYSTEM && err->saved_errno == EACCES)
		err->kind = ERROR_DENIED;
	if (!is_absent)
		return false;
	TRY(posix_root_check(posix, err));
	TRY(posix_links_check(posix, key, err));
	return fail(err, ERROR_NOT_FOUND, "there is no object \"%s\" in \"%s\"", key, posix->root);
}

static void posix_close(struct storage *storage)
{
	struct posix *posix = posix_of(storage);

	rate_destroy(&posix->rate);
	(void) pthread_mutex_destroy(&posix->mutex);
	free(posix);
}

static bool posix_create(struct storage *storage, struct error *err)
{
	struct posix *posix = posix_of(storage);

	TRY(fs_make_directories("/", posix->root + 1, err));
	return fs_make_directories(posix->root, "tmp", err);
}

/* Syncs every directory from the one that holds `key` up to and with the root. */
static bool posix_sync_directories(const struct posix *posix, const char *key, struct error *err)
{
	char path[PATH_MAX];
	size_t root_size = strlen(posix->root);

	TRY(path_join(path, posix->root, key, err));
	for (char *slash = strrchr(path, '/'); slash != NULL && slash >= path + root_size; slash = strrchr(path, '/')) {
		*slash = '\0';
		TRY(fs_sync_file(path, err));
	}
	return true;
}

static bool posix_is_ready(struct posix *posix, const char *directory)
{
	(void) pthread_mutex_lock(&posix->mutex);
	bool is_ready = strcmp(posix->ready_directory, directory) == 0;
	(void) pthread_mutex_unlock(&posix->mutex);
	return is_ready;
}

/* Makes the directory of `key` and everything above it durable. One that is there already may be the unsynced work
 * of a process that has been killed or is still at it, so it is synced as well, once per process. */
static bool posix_directory_prepare(struct posix *posix, const char *key, struct error *err)
{
	char directory[STORAGE_KEY_SIZE_MAX + 1] = "";
	const char *slash = strrchr(key, '/');

	if (slash == NULL)
		return true;
	memcpy(directory, key, (size_t) (slash - key));
	if (posix_is_ready(posix, directory))
		return true;
	TRY(fs_make_directories(posix->root, directory, err));
	TRY(posix_sync_directories(posix, directory, err));
	(void) pthread_mutex_lock(&posix->mutex);
	memcpy(posix->ready_directory, directory, sizeof(directory));
	(void) pthread_mutex_unlock(&posix->mutex);
	return true;
}

static bool posix_write_pieces(struct posix *posix, int fd, struct bytes content, const char *path, struct error *err)
{
	fd_reserve(fd, content.size);
	while (content.size > 0) {
		size_t piece = rate_piece_size(&posix->rate);

		if (piece > content.size)
			piece = content.size;
		(void) rate_wait_ms(&posix->rate, piece);
		TRY(fd_write_all(fd, bytes_slice(content, 0, piece), path, err));
		content = bytes_slice(content, piece, content.size - piece);
	}
	return true;
}

/* Writes a file of a name of its own below tmp/; it is synced when true is returned, and gone when false is. */
static bool posix_write_temporary(struct posix *posix, struct bytes content, char path[PATH_MAX], struct error *err)
{
	struct error ignored;
	char name[40] = "pitr-";
	uint8_t id[16];

	TRY(random_bytes(id, sizeof(id), err));
	hex_format(bytes_of(id, sizeof(id)), name + strlen(name));
	TRY(path_join(path, posix->temp_directory, name, err));
	int fd = fs_open_new(path, 0600, err);
	if (fd < 0)
		return false;
	if (posix_write_pieces(posix, fd, content, path, err) && fd_sync_close(&fd, path, err))
		return true;
	fd_close(&fd);
	(void) !fs_remove(path, &ignored);
	return false;
}

static bool posix_write(struct posix *posix, const char *path, struct bytes content, struct error *err)
{
	char temporary[PATH_MAX];

	TRY(posix_write_temporary(posix, content, temporary, err));
	return fs_publish(temporary, path, err);
}

static bool posix_store(struct posix *posix, const char *key, struct bytes content, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, posix->root, key, err));
	TRY(posix_directory_prepare(posix, key, err));
	if (posix_write(posix, path, content, err))
		return true;
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	/* Somebody removed the empty directory meanwhile; once more, then whatever it is has to be said. */
	(void) pthread_mutex_lock(&posix->mutex);
	posix->ready_directory[0] = '\0';
	(void) pthread_mutex_unlock(&posix->mutex);
	TRY(posix_directory_prepare(posix, key, err));
	return posix_write(posix, path, content, err);
}

static bool posix_put(struct storage *storage, const char *key, struct bytes content, struct error *err)
{
	struct posix *posix = posix_of(storage);
	bool is_there = false;

	/* tmp/ was made with the root: without it this is another file system, and nothing may be written to it. */
	TRY(fs_exists(posix->temp_directory, &is_there, err));
	if (!is_there) {
		TRY(posix_root_check(posix, err));
		return unmounted(posix->root, "has no directory \"tmp\"", err);
	}
	if (posix_store(posix, key, content, err))
		return true;
	if (err->kind == ERROR_EXISTS)
		return fail(err, ERROR_EXISTS, "there is an object \"%s\" in \"%s\" already", key, posix->root);
	if (err->kind == ERROR_SYSTEM && (err->saved_errno == EACCES || err->saved_errno == EPERM))
		err->kind = ERROR_DENIED;
	if (err->kind == ERROR_NOT_FOUND) /* the ground went away under our feet */
		err->kind = ERROR_UNREACHABLE;
	return fail_in(err, "could not store \"%s\"", key);
}

static bool posix_sync(struct storage *storage, const char *key, struct error *err)
{
	struct posix *posix = posix_of(storage);
	char path[PATH_MAX];
	struct stat status;

	TRY(path_join(path, posix->root, key, err));
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
		(void) fail(err, ERROR_NOT_FOUND, "\"%s\" is a directory", path);
		return posix_absent(posix, key, err);
	}
	if (!fs_sync_file(path, err))
		return posix_absent(posix, key, err);
	return posix_sync_directories(posix, key, err);
}

/* What is wanted of a file. */
struct posix_part {
	const char *path;
	uint64_t offset;
	size_t size;
};

static bool posix_read_pieces(struct posix *posix, int fd, const struct posix_part *part, struct buf *content,
			      struct error *err)
{
	for (size_t done = 0; done < part->size;) {
		size_t piece = rate_piece_size(&posix->rate);

		if (piece > part->size - done)
			piece = part->size - done;
		(void) rate_wait_ms(&posix->rate, piece);
		TRY(fd_read_all_at(fd, content->data + content->size + done, piece, part->offset + done, part->path,
				   err));
		done += piece;
	}
	content->size += part->size;
	return true;
}

/* Appends what there is of the part. */
static bool posix_read(struct posix *posix, struct posix_part part, struct buf *content, uint64_t *object_size,
		       struct error *err)
{
	int fd FD_CLEANUP = -1;

	TRY(fs_open_file(part.path, &fd, object_size, err));
	if (part.offset >= *object_size)
		return true;
	if (part.size > *object_size - part.offset)
		part.size = (size_t) (*object_size - part.offset);
	if (!buf_allocate(content, content->size + part.size, err))
		return fail_in(err, "could not read \"%s\"", part.path);
	return posix_read_pieces(posix, fd, &part, content, err);
}

static bool posix_get_range(struct storage *storage, const char *key, uint64_t offset, size_t size, struct buf *content,
			    uint64_t *object_size, struct error *err)
{
	struct posix *posix = posix_of(storage);
	char path[PATH_MAX];

	TRY(path_join(path, posix->root, key, err));
	return posix_read(posix, (struct posix_part){path, offset, size}, content, object_size, err) ||
	       posix_absent(posix, key, err);
}

static bool posix_get(struct storage *storage, const char *key, struct buf *content, struct error *err)
{
	uint64_t object_size;

	return posix_get_range(storage, key, 0, SIZE_MAX, content, &object_size, err);
}

static bool posix_remove(struct storage *storage, const char *key, struct error *err)
{
	struct posix *posix = posix_of(storage);
	char path[PATH_MAX];

	TRY(path_join(path, posix->root, key, err));
	if (fs_remove(path, err))
		return fs_sync_parent(path, err);
	(void) posix_absent(posix, key, err);
	return err->kind == ERROR_NOT_FOUND;
}

/* One walk over the tree. Names of a directory are sorted as parts of keys: "a/" stands behind "a-b" and "a.b",
 * because '/' does, while the directory's own name "a" would stand before both. */
struct posix_walk {
	const struct posix *posix;
	const char *prefix;
	const char *after;
	storage_visit visit;
	void *context;
};

/* The names of one directory that may lead to keys that are wanted. */
struct posix_names {
	const struct posix_walk *walk;
	const char *directory; /* "" or ending in '/' */
	struct buf text;       /* each name, a directory's with '/' behind it, and a zero byte */
	size_t count;
};

static bool walk_wants_key(const struct posix_walk *walk, const char *key)
{
	return strncmp(key, walk->prefix, strlen(walk->prefix)) == 0 && strcmp(key, walk->after) > 0;
}

/* May a key that begins with `directory` (ending in '/') be wanted? */
static bool walk_wants_directory(const struct posix_walk *walk, const char *directory)
{
	size_t length = strlen(directory);
	size_t prefix_length = strlen(walk->prefix);
	size_t common = length < prefix_length ? length : prefix_length;

	return strncmp(directory, walk->prefix, common) == 0 && strncmp(directory, walk->after, length) >= 0;
}

/* What get() finds under a name, a listing must not pass over: links are followed as there, and what is neither an
 * object nor a directory, or cannot be looked at, fails the listing. */
static bool posix_classify(const char *path, bool *is_gone, bool *is_directory, struct error *err)
{
	struct stat status;

	*is_gone = *is_directory = false;
	TRY(posix_link_check(path, err));
	if (stat(path, &status) != 0) {
		*is_gone = errno == ENOENT;
		return *is_gone ? true : fail_errno(err, "could not stat \"%s\"", path);
	}
	*is_directory = S_ISDIR(status.st_mode);
	if (*is_directory || S_ISREG(status.st_mode))
		return true;
	return fail(err, ERROR_SYSTEM, "\"%s\" is neither a file nor a directory", path) ||
	       fail_hint(err, "Nothing but the objects of the repository belongs there: remove it.");
}

static bool names_add(void *context, const char *name, bool is_directory, struct error *err)
{
	struct posix_names *names = context;
	char key[STORAGE_KEY_SIZE_MAX + NAME_MAX + 2];
	char path[PATH_MAX];
	bool is_gone = false;

	(void) snprintf(key, sizeof(key), "%s%s", names->directory, name);
	if (!storage_key_is_valid(key)) /* not ours: "tmp", "lost+found", ".nfs0001" */
		return true;
	bool is_wanted = walk_wants_key(names->walk, key);
	size_t length = strlen(key);
	key[length] = '/';
	key[length + 1] = '\0';
	if (!is_wanted && !walk_wants_directory(names->walk, key))
		return true;
	key[length] = '\0';
	TRY(path_join(path, names->walk->posix->root, key, err));
	if (!is_directory)
		TRY(posix_classify(path, &is_gone, &is_directory, err));
	if (is_gone)
		return true;
	names->count++;
	TRY(buf_append_text(&names->text, name, err));
	if (is_directory)
		TRY(buf_append_text(&names->text, "/", err));
	return buf_put_u8(&names->text, 0, err);
}

static int names_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool names_sort(const struct posix_names *names, const char ***sorted, struct error *err)
{
	const char *name = (const char *) names->text.data;

	*sorted = (const char **) malloc((names->count + 1) * sizeof(**sorted));
	if (*sorted == NULL)
		return fail(err, ERROR_SYSTEM, "could not list a directory of %zu names: out of memory", names->count);
	for (size_t i = 0; i < names->count; i++) {
		(*sorted)[i] = name;
		name += strlen(name) + 1;
	}
	qsort((void *) *sorted, names->count, sizeof(**sorted), names_order);
	return true;
}

static bool posix_visit_file(const struct posix_walk *walk, const char *key, struct error *err)
{
	char path[PATH_MAX];
	struct stat status;

	if (!walk_wants_key(walk, key))
		return true;
	TRY(path_join(path, walk->posix->root, key, err));
	if (stat(path, &status) != 0)
		return errno == ENOENT ? true : fail_errno(err, "could not stat \"%s\"", path);
	return walk->visit(walk->context, key, (uint64_t) status.st_size, err);
}

static bool posix_walk_directory(const struct posix_walk *walk, const char *directory, struct error *err);

static bool posix_walk_names(const struct posix_walk *walk, const char *directory, const char *const *sorted,
			     size_t count, struct error *err)
{
	char key[STORAGE_KEY_SIZE_MAX + NAME_MAX + 2];

	for (size_t i = 0; i < count; i++) {
		(void) snprintf(key, sizeof(key), "%s%s", directory, sorted[i]);
		if (key[strlen(key) - 1] != '/')
			TRY(posix_visit_file(walk, key, err));
		else if (walk_wants_directory(walk, key))
			TRY(posix_walk_directory(walk, key, err));
	}
	return true;
}

/* `directory` is "" or ends in '/'. */
static bool posix_walk_directory(const struct posix_walk *walk, const char *directory, struct error *err)
{
	struct posix_names names = {.walk = walk, .directory = directory, .text = {.size_max = NAMES_SIZE_MAX}};
	const char **sorted = NULL;
	char path[PATH_MAX];

	TRY(path_join(path, walk->posix->root, directory, err));
	bool done = fs_each(path, names_add, &names, err) && names_sort(&names, &sorted, err);
	if (!done && (err->kind == ERROR_NOT_FOUND || (err->kind == ERROR_SYSTEM && err->saved_errno == ENOTDIR))) {
		err->kind = ERROR_NONE; /* no directory, no keys; the root itself has been checked */
		done = true;
	} else if (done) {
		done = posix_walk_names(walk, directory, sorted, names.count, err);
	}
	free((void *) sorted);
	buf_release(&names.text);
	return done;
}

static bool posix_list(struct storage *storage, const char *prefix, const char *after, storage_visit visit,
		       void *context, struct error *err)
{
	struct posix *posix = posix_of(storage);
	struct posix_walk walk = {posix, prefix, after, visit, context};
	char directory[STORAGE_KEY_SIZE_MAX + 1] = "";
	const char *slash = strrchr(prefix, '/');

	TRY(posix_root_check(posix, err));
	if (slash != NULL)
		memcpy(directory, prefix, (size_t) (slash - prefix) + 1);
	TRY(posix_links_check(posix, directory, err)); /* those below are checked on the way */
	return posix_walk_directory(&walk, directory, err);
}

static const struct storage_backend posix_backend = {
	.close = posix_close,
	.create = posix_create,
	.put = posix_put,
	.sync = posix_sync,
	.get = posix_get,
	.get_range = posix_get_range,
	.list = posix_list,
	.remove = posix_remove,
};

bool posix_open(const char *root, int64_t limit_rate, struct storage **storage, struct error *err)
{
	size_t length = strlen(root);

	while (length > 0 && root[length - 1] == '/')
		length--;
	if (length == 0)
		return fail(err, ERROR_USAGE, "the root directory \"/\" cannot be a repository");
	if (length > PATH_MAX - STORAGE_KEY_SIZE_MAX - sizeof("/tmp"))
		return fail(err, ERROR_USAGE, "the repository directory \"%.200s…\" has too long a name", root);

	struct posix *posix = calloc(1, sizeof(*posix));
	if (posix == NULL || pthread_mutex_init(&posix->mutex, NULL) != 0) {
		free(posix);
		return fail(err, ERROR_SYSTEM, "could not open the repository: out of memory");
	}
	memcpy(posix->root, root, length);
	(void) memcpy(posix->temp_directory, posix->root, length);
	(void) memcpy(posix->temp_directory + length, "/tmp", sizeof("/tmp"));
	rate_init(&posix->rate, limit_rate);
	posix->storage = (struct storage){.backend = &posix_backend, .url = posix->root};
	*storage = &posix->storage;
	return true;
}
