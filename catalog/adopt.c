#include <stdio.h>
#include <string.h>

#include "config/answer.h"
#include "repo/mirror_upkeep.h"
#include "server_directory.h"
#include "verbs.h"

static bool fail_no_branch(const char *branch, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "there is no branch \"%s\" in the repository", branch);
	return fail_hint(err,
			 "Give the data directory of the restored server with -D: its branch is made from the mark "
			 "that pitr-restore has left there.");
}

/* The branch that is named, or that of the data directory, which the repository may not know yet. */
static bool branch_find(const struct options *options, struct repo **repo, char branch[BRANCH_NAME_MAX + 1],
			struct error *err)
{
	const char *wanted = options->arguments.count > 1 ? options->arguments.items[1] : NULL;
	struct control_file control;
	struct branch_mark mark;
	struct layout layout;

	if (wanted == NULL) {
		TRY(server_directory_open(options, repo, &control, &mark, err));
		TRY(branch_mark_store(*repo, &mark, err));
		if (!mark.is_set)
			return fail(err, ERROR_USAGE, "the server in \"%s\" belongs to the branch \"%s\" already",
				    options->pgdata, LAYOUT_BRANCH_DEFAULT) ||
			       fail_hint(err,
					 "Of a restored copy, give the data directory: pitr-catalog adopt -D DIR. To "
					 "make "
					 "\"%s\" production again: pitr-catalog adopt %s",
					 LAYOUT_BRANCH_DEFAULT, LAYOUT_BRANCH_DEFAULT);
		wanted = layout_branch(&mark.layout);
	} else {
		TRY(repo_open(options, 0, repo, err));
		if (!layout_branch_is_valid(wanted))
			return fail(err, ERROR_USAGE, "\"%.100s\" is no name of a branch", wanted);
	}
	if (!branch_chain_read(*repo, wanted, &layout, err))
		return err->kind == ERROR_NOT_FOUND ? fail_no_branch(wanted, err) : false;
	(void) snprintf(branch, BRANCH_NAME_MAX + 1, "%s", wanted);
	return true;
}

static bool adopt_json(const char *branch, const char *former, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(json_put(json, "branch", json_string(branch), err));
	TRY(json_put(json, "former", json_string(former), err));
	return answer_print(json, err);
}

static bool adopt_say(const struct options *options, const char *branch, const char *former, struct error *err)
{
	if (options->json)
		return adopt_json(branch, former, err);
	if (strcmp(former, branch) == 0) {
		(void) printf("The branch \"%s\" is production already.\n", branch);
		return true;
	}
	(void) printf("The branch \"%s\" is production now: pitr-restore takes the latest from it.\n", branch);
	if (former[0] != '\0')
		(void) printf("The branch \"%s\" can still be restored: pitr-restore --target-timeline=%s\n", former,
			      former);
	return true;
}

bool verb_adopt(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	char branch[BRANCH_NAME_MAX + 1], former[BRANCH_NAME_MAX + 1];
	struct branch_list list;
	struct error ignored = {0};

	TRY(branch_find(options, &repo, branch, err));
	TRY(branch_list_read(repo, &list, err));
	/* Two that were adopted at once leave it open which one counts: this settles it. */
	if (!branch_production(repo, &list, former, &ignored))
		former[0] = '\0';
	if (ignored.kind != ERROR_NONE && ignored.kind != ERROR_CORRUPT) {
		*err = ignored;
		return false;
	}
	if (strcmp(former, branch) != 0)
		TRY(branch_adopt(repo, branch, err));
	if (options->pgdata != NULL)
		mirror_upkeep_try(repo, options, options->pgdata, MIRROR_RECENT);
	return adopt_say(options, branch, former, err);
}
