#include "waiting.h"

#include <errno.h>
#include <sys/stat.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#define STATUS_DIRECTORY "pg_wal/archive_status"
#define READY		 ".ready"

static bool is_ready(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(READY) && strcmp(name + length - strlen(READY), READY) == 0;
}

/* 0 for a file that has been archived meanwhile. */
static int64 age_us(const char *name, TimestampTz now)
{
	char path[MAXPGPATH];
	struct stat status;

	(void) snprintf(path, sizeof(path), STATUS_DIRECTORY "/%s", name);
	if (stat(path, &status) != 0)
		return 0;
	TimestampTz since = time_t_to_timestamptz(status.st_mtim.tv_sec) + status.st_mtim.tv_nsec / 1000;
	return now > since ? now - since : 0;
}

struct waiting waiting_count(void)
{
	struct waiting waiting = {.count = 0};
	TimestampTz now = GetCurrentTimestamp();
	DIR *directory = AllocateDir(STATUS_DIRECTORY);
	const struct dirent *entry;

	while ((entry = ReadDir(directory, STATUS_DIRECTORY)) != NULL) {
		CHECK_FOR_INTERRUPTS();
		if (!is_ready(entry->d_name))
			continue;
		waiting.count++;
		waiting.oldest_age_us = Max(waiting.oldest_age_us, age_us(entry->d_name, now));
	}
	(void) FreeDir(directory);
	return waiting;
}
