#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "check.h"
#include "print.h"

/* What is left for who is not root, as df says it. */
static bool space_check(struct checking *checking, const char *path, const char *what, enum check_metric metric,
			struct error *err)
{
	const struct options *options = checking->options;
	struct statvfs status;
	char free_text[PRINT_SIZE_SIZE], of[PRINT_SIZE_SIZE];

	if (statvfs(path, &status) != 0)
		return fail_errno(err, "could not ask for the free space of \"%.500s\"", path);
	uint64_t free_bytes = (uint64_t) status.f_bavail * status.f_frsize;
	uint64_t bytes = (uint64_t) status.f_blocks * status.f_frsize;
	metric_set(checking, metric, (int64_t) free_bytes);
	if (bytes == 0)
		return true; /* a file system that does not say */
	int64_t percent = (int64_t) (100.0 * (double) free_bytes / (double) bytes);
	enum check_status found = percent < options->free_critical  ? CHECK_CRITICAL
				  : percent < options->free_warning ? CHECK_WARNING
								    : CHECK_OK;
	print_size(free_bytes, free_text);
	print_size(bytes, of);
	finding_add(checking, found, "%s has %s free of %s", what, free_text, of);
	return true;
}

bool check_space(struct checking *checking, struct error *err)
{
	const char *url = checking->options->repo;
	char path[PATH_MAX];

	if (url != NULL && strncmp(url, "file://", 7) == 0)
		url += 7;
	if (url != NULL && *url == '/' && checking->repo != NULL)
		TRY(space_check(checking, url, "the repository", METRIC_REPOSITORY_FREE, err));
	if (!checking->has_server)
		return true;
	TRY(path_join(path, checking->options->pgdata, "pg_wal", err));
	return space_check(checking, path, "pg_wal", METRIC_PG_WAL_FREE, err);
}
