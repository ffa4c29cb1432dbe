#include "plan/route.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void routes_release(struct routes *routes)
{
	free((void *) routes->paths);
	free(routes->is_end);
	*routes = (struct routes){.count = 0};
}

/* What the settings leave of the tree. */
struct choice {
	const struct reaching *asked;
	const struct lineage *lineage;
	const char *branch; /* NULL: every one that may be proposed */
	uint32_t timeline;  /* 0: any */
	bool needs_backup;  /* only paths that lead through one */
	bool youngest;	    /* of those that remain the last one */
};

static bool path_is_usable(const struct reaching *asked, const struct wal_path *path)
{
	if (asked->chosen != NULL)
		return wal_path_has_backup(path, asked->chosen);
	for (int i = 0; i < asked->catalog->count; i++)
		if (wal_path_has_backup(path, &asked->catalog->backups[i]))
			return true;
	return false;
}

/* The newest backup of that branch, or of any; NULL: none. */
static const struct backup *backup_newest(const struct catalog *catalog, const char *branch)
{
	const struct backup *newest = NULL;

	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];

		if ((branch == NULL || strcmp(backup->branch, branch) == 0) &&
		    (newest == NULL || backup->finished_us > newest->finished_us))
			newest = backup;
	}
	return newest;
}

/* The timeline on which the backup ends. */
static void choice_of_backup(struct choice *choice)
{
	const struct catalog *catalog = choice->asked->catalog;
	const struct backup *backup = choice->asked->chosen;

	if (backup == NULL)
		backup = backup_newest(catalog, choice->lineage->production);
	if (backup == NULL)
		backup = backup_newest(catalog, NULL);

	choice->branch = backup->branch;
	choice->timeline = backup->stop_timeline;
}

/* The timeline on which the newest backup of the chosen branch ends. */
static void choice_of_branch(struct choice *choice)
{
	const struct backup *backup = backup_newest(choice->asked->catalog, choice->branch);

	if (backup != NULL)
		choice->timeline = backup->stop_timeline;
}

static void choice_make(struct choice *choice)
{
	const struct target *target = choice->asked->target;
	bool is_latest = target->kind == TARGET_LATEST || target->kind == TARGET_STANDBY;

	choice->needs_backup = true;
	switch (target->timeline) {
	case TIMELINE_CHOSEN:
		choice->branch = target->timeline_branch[0] != '\0' ? target->timeline_branch : NULL;
		choice->timeline = target->timeline_number;
		choice->needs_backup = choice->timeline == 0;
		if (target->kind == TARGET_IMMEDIATE && choice->timeline == 0 && choice->asked->chosen == NULL)
			choice_of_branch(choice);
		break;
	case TIMELINE_CURRENT:
		choice_of_backup(choice);
		choice->needs_backup = false;
		break;
	case TIMELINE_LATEST:
		choice->branch = choice->asked->chosen != NULL ? NULL : choice->lineage->production;
		choice->youngest = true;
		break;
	case TIMELINE_CONTAINING:
		if (target->kind == TARGET_IMMEDIATE)
			choice_of_backup(choice);
		else if (is_latest && choice->asked->chosen == NULL)
			choice->branch = choice->lineage->production;
		break;
	}
}

static bool choice_allows(const struct choice *choice, int index)
{
	const struct wal_path *path = choice->lineage->paths[index];
	const struct backup *chosen = choice->asked->chosen;
	bool is_proposed =
		choice->lineage->is_proposed[index] || (chosen != NULL && lineage_is_of(path, chosen->branch));

	if (choice->branch != NULL ? !lineage_is_of(path, choice->branch) : !is_proposed)
		return false;
	if (choice->timeline != 0 && wal_path_timeline(path) != choice->timeline)
		return false;
	return !choice->needs_backup || path_is_usable(choice->asked, path);
}

/* "1, 2, 1 of the branch "copy"" */
static void known_format(const struct lineage *lineage, char *text, size_t size)
{
	char path[WAL_PATH_TEXT_SIZE];
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < lineage->count && used + sizeof(path) < size; i++) {
		wal_path_format(lineage->paths[i], path);
		used += (size_t) snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
					  path + strlen("timeline "));
	}
}

static bool fail_none(const struct choice *choice, struct error *err)
{
	char known[512];

	if (choice->timeline == 0 && choice->branch == NULL) {
		(void) fail(err, ERROR_USAGE, "no timeline in the archive leads through a base backup");
		return fail_hint(err, "Run \"pitr-catalog window\" to see what can be restored.");
	}
	known_format(choice->lineage, known, sizeof(known));
	if (choice->timeline == 0)
		(void) fail(err, ERROR_USAGE, "the branch \"%s\" has no timeline that leads through a base backup",
			    choice->branch);
	else if (choice->branch == NULL)
		(void) fail(err, ERROR_USAGE, "timeline %" PRIu32 " is not in the archive", choice->timeline);
	else
		(void) fail(err, ERROR_USAGE, "timeline %" PRIu32 " of the branch \"%s\" is not in the archive",
			    choice->timeline, choice->branch);
	return fail_hint(err, "It has timeline %s.", known[0] != '\0' ? known : "none");
}

/* Whether the target lies on a timeline whose history cannot be read cannot be told: then it is for the user to say. */
static bool unknown_check(const struct choice *choice, struct error *err)
{
	const struct lineage *lineage = choice->lineage;

	if (!lineage->has_unknown || choice->timeline != 0 ||
	    (choice->branch != NULL && strcmp(choice->branch, lineage->unknown_branch) != 0))
		return true;
	(void) fail(err, ERROR_CORRUPT,
		    "what timeline %" PRIu32 " descends from is not known, so the right one cannot be chosen: %.600s",
		    lineage->unknown_timeline, lineage->unknown_why.text);
	return fail_hint(err,
			 "Archive %08" PRIX32 ".history again from the pg_wal of the server that made it, or choose "
			 "with --target-timeline.",
			 lineage->unknown_timeline);
}

bool routes_select(const struct reaching *asked, const struct lineage *lineage, struct routes *routes,
		   struct error *err)
{
	struct choice choice = {.asked = asked, .lineage = lineage};
	size_t room = (size_t) lineage->count + 1;

	*routes = (struct routes){.paths = calloc(room, sizeof(*routes->paths)), .is_end = calloc(room, sizeof(bool))};
	if (routes->paths == NULL || routes->is_end == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	choice_make(&choice);
	TRY(unknown_check(&choice, err));
	for (int i = 0; i < lineage->count; i++) {
		if (!choice_allows(&choice, i))
			continue;
		if (choice.youngest)
			routes->count = 0;
		routes->paths[routes->count] = lineage->paths[i];
		routes->is_end[routes->count++] = choice.timeline != 0 || choice.youngest || lineage->is_end[i];
	}
	return routes->count > 0 || fail_none(&choice, err);
}
