#include "server_branch.h"

#include <string.h>

#include "base/log.h"
#include "repo/branch_mark.h"

static bool fail_unknown(const char *branch, struct error *err)
{
	(void) fail(err, ERROR_USAGE,
		    "the server archives to the branch \"%s\", which is not in the repository: it has archived nothing "
		    "yet",
		    branch);
	return fail_hint(err,
			 "A restored server makes its branch with the first file that it archives: it must have left "
			 "recovery, with archive_mode = on and archive_command working (see pg_stat_archiver). "
			 "\"pitr-catalog adopt\" makes the branch at once.");
}

bool server_branch_apply(struct server *server, struct repo *repo, struct error *err)
{
	char branch[BRANCH_NAME_MAX + 2], repository[REPOSITORY_ID_TEXT_SIZE + 1], ours[REPOSITORY_ID_TEXT_SIZE];
	struct layout layout;

	TRY(server_read_setting(server, BRANCH_SETTING, branch, sizeof(branch), err));
	if (branch[0] == '\0')
		return true;
	TRY(server_read_setting(server, REPOSITORY_SETTING, repository, sizeof(repository), err));
	branch_mark_repository(repo, ours);
	if (repository[0] != '\0' && strcmp(repository, ours) != 0)
		return true;
	if (!layout_branch_is_valid(branch))
		return fail(err, ERROR_USAGE, "the server says that " BRANCH_SETTING " is \"%s\", which is no branch",
			    branch);
	if (!branch_chain_read(repo, branch, &layout, err))
		return err->kind == ERROR_NOT_FOUND ? fail_unknown(branch, err) : false;
	repo->layout = layout;
	log_info("the server belongs to the branch \"%s\"", branch);
	return true;
}

bool server_branch_check(const struct repo *repo, struct bytes text, struct error *err)
{
	const char *asked = layout_branch(&repo->layout), *found = LAYOUT_BRANCH_DEFAULT;
	struct branch_mark mark = {.is_set = false};

	if (text.size > 0)
		TRY(branch_mark_parse(repo, text, BRANCH_MARK_NAME, &mark, err));
	if (mark.is_set)
		found = layout_branch(&mark.layout);
	if (strcmp(found, asked) == 0)
		return true;
	(void) fail(err, ERROR_USAGE,
		    "the server says that it belongs to the branch \"%s\", but its data directory is marked for \"%s\"",
		    asked, found);
	return fail_hint(err, "Run \"SELECT pg_reload_conf()\" on the server and take the backup again. Where the "
			      "setting " BRANCH_SETTING
			      " is missing from its postgresql.auto.conf, run \"pitr-catalog fork\" there "
			      "first.");
}
