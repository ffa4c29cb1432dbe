#include <string.h>

#include "check.h"

/* Behind those that were left comes the one that went on. */
const struct wal_path *check_path_of(const struct checking *checking, const char *branch)
{
	const struct lineage *lineage = &checking->lineage;
	const struct wal_path *found = NULL;

	for (int i = 0; i < lineage->count; i++)
		if (lineage->is_end[i] && lineage_is_of(lineage->paths[i], branch))
			found = lineage->paths[i];
	return found;
}

/* Without any WAL there is no path; then its name has to do. */
static bool is_of(const struct checking *checking, const struct backup *backup, const char *branch)
{
	const struct wal_path *path = check_path_of(checking, branch);

	return path == NULL ? strcmp(backup->branch, branch) == 0 : wal_path_has_backup(path, backup);
}

bool check_path_counts(const struct checking *checking, const struct backup *backup)
{
	return is_of(checking, backup, checking->lineage.production) ||
	       (checking->has_server && is_of(checking, backup, layout_branch(&checking->repo->layout)));
}

bool check_path_is_gone(struct checking *checking, const struct backup *backup, bool *is_gone, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	bool have;

	layout_backup_complete(&checking->repo->layout, backup->branch, backup->label, key);
	TRY(repo_have(checking->repo, key, OBJECT_FACT, &have, err));
	*is_gone = !have;
	return true;
}
