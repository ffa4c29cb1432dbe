#include "base/fs_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/workers.h"

#define QUEUE_MAX 64

bool fs_sync_open(struct fs_sync *sync, int trees_max, struct error *err)
{
	*sync = (struct fs_sync){.trees = calloc((size_t) trees_max, sizeof(*sync->trees)), .capacity = trees_max};
	return sync->trees != NULL ? true : fail(err, ERROR_SYSTEM, "out of memory");
}

void fs_sync_close(struct fs_sync *sync)
{
	for (int i = 0; i < sync->count; i++) {
		free(sync->trees[i].path);
		fd_close(&sync->trees[i].fd);
	}
	free(sync->trees);
	*sync = (struct fs_sync){.count = 0};
}

/* Linux 5.8 taught syncfs() to report what could not be written back since its descriptor was opened (PostgreSQL says
 * so too, of its sync_method in 17). */
static bool kernel_reports(void)
{
	struct utsname name;
	int major, minor;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 8));
}

/* Of these it is known that syncfs() waits for what it writes and has the device write its cache. FUSE, for one, does
 * not tell its daemon to sync, and an overlay hands errors on only since some kernel or other. */
static bool file_system_is_known(int fd)
{
	static const unsigned long known[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
					      TMPFS_MAGIC};
	struct statfs status;

	if (fstatfs(fd, &status) != 0)
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if ((unsigned long) status.f_type == known[i])
			return true;
	return false;
}

/* mountinfo writes what would end a field as three octal digits behind a backslash (proc(5)). */
static void mount_unescape(char *text)
{
	char *target = text;

	for (const char *from = text; *from != '\0'; target++) {
		if (from[0] == '\\' && from[1] != '\0' && from[2] != '\0' && from[3] != '\0') {
			*target = (char) ((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*target = *from++;
		}
	}
	*target = '\0';
}

static bool mount_is_below(char *line, const char *path, size_t length)
{
	char *mount = line, *rest = line;

	for (int i = 0; i < 5 && mount != NULL; i++) /* the fifth field */
		mount = strsep(&rest, " ");
	if (mount == NULL)
		return false;
	mount_unescape(mount);
	return strncmp(mount, path, length) == 0 && mount[length] == '/';
}

/* Is another file system mounted somewhere below the directory? Also when that cannot be told. */
static bool has_mounts(const char *directory)
{
	char path[PATH_MAX];
	char *line = NULL;
	size_t capacity = 0;
	bool found = false;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	if (mounts == NULL || realpath(directory, path) == NULL) {
		found = true;
	} else {
		while (!found && getline(&line, &capacity, mounts) > 0)
			found = mount_is_below(line, path, strlen(path));
	}
	free(line);
	if (mounts != NULL)
		(void) fclose(mounts);
	return found;
}

bool fs_sync_add(struct fs_sync *sync, const char *path, struct error *err)
{
	struct fs_sync_tree *tree = &sync->trees[sync->count];
	struct stat status;

	*tree = (struct fs_sync_tree){.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (tree->fd < 0)
		return fail_errno(err, "could not open the directory \"%s\"", path);
	sync->count++;
	if (fstat(tree->fd, &status) != 0)
		return fail_errno(err, "could not stat \"%s\"", path);
	tree->path = strdup(path);
	if (tree->path == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	tree->device = status.st_dev;
	tree->is_whole = kernel_reports() && file_system_is_known(tree->fd) && !has_mounts(path);
	return true;
}

/* A path to be synced. */
static bool path_sync(void *job, bool cancelled, struct error *err)
{
	char *path = job;
	bool done = cancelled || fs_sync_file(path, err);

	free(path);
	return done;
}

static bool path_submit(struct workers *workers, const char *path, struct error *err)
{
	char *copy = strdup(path);

	return copy != NULL ? workers_submit(workers, path_sync, copy, err) : fail(err, ERROR_SYSTEM, "out of memory");
}

struct syncing {
	struct workers *workers;
	const char *directory;
};

static bool directory_sync(struct workers *workers, const char *path, struct error *err);

static bool entry_sync(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct syncing *syncing = context;
	char path[PATH_MAX];
	struct stat status;

	TRY(path_join(path, syncing->directory, name, err));
	if (is_directory)
		return directory_sync(syncing->workers, path, err);
	if (lstat(path, &status) != 0)
		return fail_errno(err, "could not stat \"%s\"", path);
	return S_ISREG(status.st_mode) ? path_submit(syncing->workers, path, err) : true;
}

static bool directory_sync(struct workers *workers, const char *path, struct error *err)
{
	struct syncing syncing = {.workers = workers, .directory = path};

	TRY(fs_each(path, entry_sync, &syncing, err));
	return path_submit(workers, path, err);
}

/* One by one, but several at a time. The kernel reports what was not written back to who opens a file later, too, as
 * long as nobody was told before (errseq_sample() in lib/errseq.c). */
static bool files_sync(const char *path, int jobs, struct error *err)
{
	struct workers *workers = NULL;
	struct error ignored;

	TRY(workers_open(jobs, QUEUE_MAX, &workers, err));
	bool done = directory_sync(workers, path, err);
	return workers_finish(workers, done ? err : &ignored) && done;
}

static bool is_synced_already(const struct fs_sync *sync, int index)
{
	for (int i = 0; i < index; i++)
		if (sync->trees[i].is_whole && sync->trees[i].device == sync->trees[index].device)
			return true;
	return false;
}

bool fs_sync_run(const struct fs_sync *sync, int jobs, struct error *err)
{
	for (int i = 0; i < sync->count; i++) {
		const struct fs_sync_tree *tree = &sync->trees[i];

		if (!tree->is_whole)
			TRY(files_sync(tree->path, jobs, err));
		else if (!is_synced_already(sync, i) && syncfs(tree->fd) != 0)
			return fail_errno(err, "could not sync the file system of \"%s\"", tree->path);
	}
	return true;
}
