#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/answer.h"
#include "pg/wal_name.h"
#include "print.h"
#include "repo/fact.h"
#include "verbs.h"

static bool list_json(const struct catalog *catalog, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *backups = json_array();

	TRY(json_put(json, "backups", backups, err));
	for (int i = 0; i < catalog->count; i++) {
		json_t *backup = json_object();

		TRY(json_add(backups, backup, err));
		TRY(backup_encode_listed(&catalog->backups[i], backup, err));
	}
	return answer_print(json, err);
}

/* Where all are of the default branch, branches are nobody's concern. */
static bool shows_branches(const struct catalog *catalog)
{
	for (int i = 0; i < catalog->count; i++)
		if (strcmp(catalog->backups[i].branch, LAYOUT_BRANCH_DEFAULT) != 0)
			return true;
	return false;
}

/* What is unusual about it, before its name. */
static void list_marks(const struct backup *backup)
{
	char until[CLOCK_TEXT_SIZE];

	if (strcmp(backup_status(backup), "complete") != 0)
		(void) printf("[%s] ", backup_status(backup));
	if (backup->pinned_until_us == FACT_UNTIL_FOREVER) {
		(void) printf("[pinned] ");
	} else if (backup->pinned_until_us > clock_now_us()) {
		time_format_local(backup->pinned_until_us / 1000000 * 1000000, until);
		(void) printf("[pinned until %s] ", until);
	}
}

static void list_line(const struct backup *backup, bool with_branch)
{
	char finished[CLOCK_TEXT_SIZE];
	char stop[LSN_TEXT_SIZE];
	char database[PRINT_SIZE_SIZE];
	char stored[PRINT_SIZE_SIZE];

	time_format_local(backup->finished_us / 1000000 * 1000000, finished);
	lsn_format(backup->stop_lsn, stop);
	print_size(backup->database_bytes, database);
	print_size(backup->stored_bytes, stored);
	(void) printf("%-34s  %-25s  %3" PRIu32 "  %-13s  %4" PRId64 "  %10s  %10s  ", backup->label, finished,
		      backup->start_timeline, stop, backup->server_version / 10000, database, stored);
	if (with_branch)
		(void) printf("%-16s  ", backup->branch);
	list_marks(backup);
	(void) printf("%s%s%s\n", backup->name, backup->note[0] != '\0' ? ": " : "", backup->note);
}

bool verb_list(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};

	TRY(repo_open(options, 0, &repo, err));
	TRY(facts_read_catalog(repo, &catalog, err));
	if (options->json)
		return list_json(&catalog, err);
	if (catalog.count == 0) {
		log_info("there is no base backup in \"%s\": nothing can be restored; run pitr-basebackup",
			 storage_url(repo->storage));
		return true;
	}
	bool with_branch = shows_branches(&catalog);
	(void) printf("%-34s  %-25s  %3s  %-13s  %4s  %10s  %10s  ", "label", "finished", "tli", "stop", "pg",
		      "database", "stored");
	if (with_branch)
		(void) printf("%-16s  ", "branch");
	(void) printf("name\n");
	for (int i = 0; i < catalog.count; i++)
		list_line(&catalog.backups[i], with_branch);
	return true;
}
