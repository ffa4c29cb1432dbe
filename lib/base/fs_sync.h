/* Trees of files, made durable together when everything in them has been written: with one call for each file system
 * where that is as good as a call for each file, and several files at a time elsewhere.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct fs_sync_tree {
	char *path; /* owned */
	int fd;
	dev_t device;
	bool is_whole; /* its whole file system is synced */
};

struct fs_sync {
	int count, capacity;
	struct fs_sync_tree *trees; /* owned */
};

/* Room for `trees_max` of them. */
bool fs_sync_open(struct fs_sync *sync, int trees_max, struct error *err) MUST_CHECK;
void fs_sync_close(struct fs_sync *sync);
#define FS_SYNC_CLEANUP __attribute__((cleanup(fs_sync_close)))

/* The directory, before anything is written below it: what cannot be written back from now on is noticed. */
bool fs_sync_add(struct fs_sync *sync, const char *path, struct error *err) MUST_CHECK;
/* Everything below the directories is durable, and they are. Once. */
bool fs_sync_run(const struct fs_sync *sync, int jobs, struct error *err) MUST_CHECK;
