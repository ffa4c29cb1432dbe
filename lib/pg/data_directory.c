#include "pg/data_directory.h"

#include <stdio.h>
#include <string.h>

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
