#include "pg/data_directory.h"

#include <stdio.h>
#include <string.h>

#define WAL_DIRECTORY "pg_wal"

bool data_directory_is_told(const char *wal_path)
{
	size_t tail = strlen("/" WAL_DIRECTORY);
	const char *slash = strrchr(wal_path, '/');
	size_t length = slash == NULL ? 0 : (size_t) (slash - wal_path);

	if (length == tail - 1)
		return strncmp(wal_path, WAL_DIRECTORY, tail - 1) == 0;
	return length >= tail && strncmp(slash - tail, "/" WAL_DIRECTORY, tail) == 0;
}

bool data_directory_of(const char *wal_path, char *directory, struct error *err)
{
	const char *last = strrchr(wal_path, '/');
	const char *middle = last == NULL ? NULL : memrchr(wal_path, '/', (size_t) (last - wal_path));

	if (middle == NULL) {
		(void) snprintf(directory, PATH_MAX, "%s", last == NULL ? ".." : ".");
		return true;
	}
	int written = snprintf(directory, PATH_MAX, "%.*s/", (int) (middle - wal_path), wal_path);
	if (written < 0 || written >= PATH_MAX)
		return fail(err, ERROR_SYSTEM, "the path \"%.200s…\" is too long", wal_path);
	return true;
}
