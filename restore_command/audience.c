#include "audience.h"

#include <limits.h>

#include "base/fs.h"
#include "pg/data_directory.h"
#include "pg/postmaster.h"

bool directory_has(const char *directory, const char *name)
{
	struct error ignored = {0};
	char path[PATH_MAX];
	bool exists;

	return path_join(path, directory, name, &ignored) && fs_exists(path, &exists, &ignored) && exists;
}

enum error_audience fetch_audience(const char *destination)
{
	struct error ignored = {0};
	char directory[PATH_MAX];

	if (!data_directory_of(destination, directory, &ignored))
		return FOR_RECOVERY;
	return directory_has(directory, "standby.signal") ? FOR_STANDBY : FOR_RECOVERY;
}

/* The status in postmaster.pid does not tell: a hot standby is "ready" (PMSIGNAL_BEGIN_HOT_STANDBY, postmaster.c of 13
 * to 18). The signal files are there until recovery ends. */
pid_t recovering_server(const char *directory)
{
	struct error ignored = {0};
	struct postmaster postmaster;

	if (!postmaster_read(directory, &postmaster, &ignored) || postmaster.state == POSTMASTER_STOPPING)
		return 0;
	return directory_has(directory, "recovery.signal") || directory_has(directory, "standby.signal")
		       ? postmaster.pid
		       : 0;
}
