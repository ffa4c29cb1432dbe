#include "recovery/copy.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "files/marker.h"
#include "files/place.h"
#include "recovery/recovery_conf.h"

bool copy_is_new(const struct plan *plan)
{
	return plan->mark.has_origin;
}

const char *copy_branch(const struct plan *plan)
{
	return plan->mark.layout.branch_count > 1 ? layout_branch(&plan->mark.layout) : NULL;
}

/* "backup …, target …", for people: plain text, whatever the name of a restore point holds. */
static void note_format(const struct plan *plan, char *note, size_t size)
{
	char target[TARGET_TEXT_SIZE];

	target_format(&plan->target, target);
	(void) snprintf(note, size, "restored from backup %s; target: %s", plan->reach.backup->label, target);
	for (char *c = note; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* Has an interrupted restore to the end of the same path left its mark? What else is wrong with the directory is for
 * place_plan() to say. */
static bool mark_find(struct repo *repo, const struct wal_path *path, const char *pgdata, struct branch_mark *found)
{
	struct error ignored = {0};
	char marker[PATH_MAX];
	bool is_there;

	return path_join(marker, pgdata, PLACE_MARKER, &ignored) && fs_exists(marker, &is_there, &ignored) &&
	       is_there && branch_mark_read(repo, pgdata, found, &ignored) && found->is_set && found->has_origin &&
	       found->origin.reason == BRANCH_RESTORED && found->origin.branch.timeline == wal_path_timeline(path) &&
	       strcmp(found->origin.parent, layout_branch(&path->layout)) == 0;
}

static bool mark_make(const struct repo *repo, const struct plan *plan, struct branch_mark *mark, struct error *err)
{
	const struct wal_path *path = plan->reach.path;
	struct branch_origin *origin = &mark->origin;

	*mark = (struct branch_mark){.is_set = true, .layout = path->layout, .has_origin = true};
	origin->reason = BRANCH_RESTORED;
	origin->created_us = clock_now_us();
	origin->branch.timeline = wal_path_timeline(path);
	TRY(branch_name_new(BRANCH_RESTORED, origin->branch.name, err));
	(void) snprintf(origin->parent, sizeof(origin->parent), "%s", layout_branch(&path->layout));
	memcpy(origin->host, repo->host, sizeof(origin->host));
	note_format(plan, origin->note, sizeof(origin->note));
	return branch_chain_extend(&mark->layout, origin, err);
}

bool copy_plan(struct repo *repo, const struct options *options, struct plan *plan, struct error *err)
{
	const struct wal_path *path = plan->reach.path;

	if (plan->target.kind == TARGET_STANDBY || options->in_place) {
		plan->mark = (struct branch_mark){.is_set = path->layout.branch_count > 1, .layout = path->layout};
		return true;
	}
	return mark_find(repo, path, options->pgdata, &plan->mark) || mark_make(repo, plan, &plan->mark, err);
}

bool copy_conf_make(const struct repo *repo, const struct options *options, const struct plan *plan,
		    struct buf *command, struct buf *conf, struct error *err)
{
	char repository[REPOSITORY_ID_TEXT_SIZE];
	struct recovery_settings settings = {.branch = copy_branch(plan), .repository = repository};
	BUF(archive_command, RECOVERY_COMMAND_MAX);

	branch_mark_repository(repo, repository);
	TRY(recovery_command_make(options, command, err));
	TRY(buf_text(command, &settings.restore_command, err));
	if (copy_is_new(plan)) {
		TRY(recovery_archive_command_make(options, &archive_command, err));
		TRY(buf_text(&archive_command, &settings.archive_command, err));
	}
	return recovery_conf_make(plan, &settings, conf, err);
}
