#include "files/owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool become(const struct passwd *user, struct error *err)
{
	if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
		return fail_errno(err, "could not become the user \"%s\"", user->pw_name);
	/* For what is looked up there, as the server started by that user would. */
	if (setenv("HOME", user->pw_dir, 1) != 0 || setenv("USER", user->pw_name, 1) != 0 ||
	    setenv("LOGNAME", user->pw_name, 1) != 0)
		return fail_errno(err, "could not set HOME, USER and LOGNAME");
	return true;
}

bool owner_become(const char *pgdata, struct error *err)
{
	struct stat status;
	const struct passwd *user;

	if (geteuid() != 0)
		return true;
	bool exists = stat(pgdata, &status) == 0;
	if (!exists && errno != ENOENT)
		return fail_errno(err, "could not stat \"%s\"", pgdata);
	if (!exists || status.st_uid == 0)
		return fail(err, ERROR_USAGE, "root cannot own a data directory, and \"%s\" does not say who does",
			    pgdata) ||
		       fail_hint(err,
				 "Run this as the user of the server (su postgres), or first make the directory: "
				 "install -d -o postgres -g postgres -m 700 '%s'",
				 pgdata);
	user = getpwuid(status.st_uid);
	if (user == NULL)
		return fail(err, ERROR_USAGE, "the owner of \"%s\", user %u, is not known on this system", pgdata,
			    (unsigned) status.st_uid);
	return become(user, err);
}
