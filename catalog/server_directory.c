#include "server_directory.h"

#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fs.h"
#include "pg/auto_conf.h"

/* What is written into it has to be the server's. */
static bool owner_check(const char *pgdata, struct error *err)
{
	struct stat status;

	if (stat(pgdata, &status) != 0)
		return fail_errno(err, "could not look at \"%s\"", pgdata);
	if (status.st_uid == geteuid())
		return true;
	return fail(err, ERROR_USAGE, "\"%s\" belongs to another user", pgdata) ||
	       fail_hint(err, "Run it as the user of the server.");
}

bool server_directory_open(const struct options *options, struct repo **repo, struct control_file *control,
			   struct branch_mark *mark, struct error *err)
{
	if (options->pgdata == NULL)
		return fail(err, ERROR_USAGE, "the data directory of the server is not known") ||
		       fail_hint(err, "Give it with -D, or set pgdata in the configuration file.");
	if (!control_file_read(options->pgdata, control, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return fail_in(err, "\"%s\" is no data directory", options->pgdata);
	}
	TRY(owner_check(options->pgdata, err));
	TRY(repo_open(options, control->system_identifier, repo, err));
	return branch_mark_apply(*repo, options->pgdata, mark, err);
}

static bool name_is_ours(const void *context, const char *name, size_t size)
{
	(void) context;
	return (size == strlen(BRANCH_SETTING) && strncasecmp(name, BRANCH_SETTING, size) == 0) ||
	       (size == strlen(REPOSITORY_SETTING) && strncasecmp(name, REPOSITORY_SETTING, size) == 0);
}

bool server_directory_mark(const struct repo *repo, const char *pgdata, const struct branch_mark *mark,
			   struct error *err)
{
	char path[PATH_MAX], repository[REPOSITORY_ID_TEXT_SIZE];
	struct stat status;
	BUF(lines, 1 * KiB);

	TRY(path_join(path, pgdata, CONTROL_FILE_NAME, err));
	if (stat(path, &status) != 0)
		return fail_errno(err, "could not look at \"%s\"", path);
	TRY(branch_mark_write(repo, pgdata, status.st_mode & 0777, mark, err));
	branch_mark_repository(repo, repository);
	if (mark->layout.branch_count > 1) {
		TRY(auto_conf_append(&lines, BRANCH_SETTING, layout_branch(&mark->layout), err));
		TRY(auto_conf_append(&lines, REPOSITORY_SETTING, repository, err));
	}
	return auto_conf_replace(pgdata, 0, name_is_ours, NULL, buf_bytes(&lines), err);
}
