#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "config/answer.h"
#include "pg/wal_name.h"
#include "print.h"
#include "repo/fact.h"
#include "repo/relation_map.h"
#include "verbs.h"

static void show_time(const char *title, int64_t time_us)
{
	char local[CLOCK_TEXT_SIZE];
	char utc[CLOCK_TEXT_SIZE];

	time_format_local(time_us, local);
	time_format_utc(time_us, utc);
	(void) printf("%-20s %s (%s)\n", title, local, utc);
}

static void show_lsn(const char *title, uint64_t lsn, uint32_t timeline)
{
	char text[LSN_TEXT_SIZE];

	lsn_format(lsn, text);
	(void) printf("%-20s %s, timeline %" PRIu32 "\n", title, text, timeline);
}

static void show_size(const char *title, uint64_t size_bytes)
{
	char text[PRINT_SIZE_SIZE];

	print_size(size_bytes, text);
	(void) printf("%-20s %s (%" PRIu64 " bytes)\n", title, text, size_bytes);
}

/* "412 in 3 databases, 1 database missing" */
static void show_relations(const struct relation_map_summary *map)
{
	if (map->parts == 0) {
		(void) printf("%-20s %s\n", "relations", "their names are not stored");
		return;
	}
	(void) printf("%-20s %" PRIu64 " in %" PRIu64 " database%s", "relations", map->relations, map->databases,
		      map->databases == 1 ? "" : "s");
	if (map->databases_missing > 0)
		(void) printf(", %" PRIu64 " database%s missing", map->databases_missing,
			      map->databases_missing == 1 ? "" : "s");
	(void) printf("\n");
}

static bool show_missing_database(void *context, const struct relation_map_database *database, struct error *err)
{
	(void) context;
	(void) err;
	if (database->missing[0] != '\0')
		(void) printf("%-20s %s: %s\n", "missing", database->name.text, database->missing);
	return true;
}

static bool show_missing(struct repo *repo, const struct backup *backup, struct error *err)
{
	struct relation_map_visitor visitor = {.database = show_missing_database};

	return backup->relation_map.databases_missing == 0 || relation_map_each(repo, backup, &visitor, err);
}

static void show_backup(const struct backup *backup)
{
	(void) printf("%-20s %s\n", "label", backup->label);
	(void) printf("%-20s %s\n", "name", backup->name);
	(void) printf("%-20s %s\n", "branch", backup->branch);
	if (backup->note[0] != '\0')
		(void) printf("%-20s %s\n", "note", backup->note);
	(void) printf("%-20s %s\n", "status", backup_status(backup));
	if (backup->pinned_until_us == FACT_UNTIL_FOREVER)
		(void) printf("%-20s for ever\n", "pinned");
	else if (backup->pinned_until_us != 0)
		show_time("pinned until", backup->pinned_until_us);
	if (backup->verified_us != 0)
		show_time("verified", backup->verified_us);
	(void) printf("%-20s %s%s\n", "taken by", backup->host, backup->from_standby ? ", from a standby" : "");
	(void) printf("%-20s %" PRId64 ".%" PRId64 "\n", "PostgreSQL", backup->server_version / 10000,
		      backup->server_version % 10000);
	show_time("started", backup->started_us);
	show_time("finished", backup->finished_us);
	show_lsn("WAL from", backup->start_lsn, backup->start_timeline);
	show_lsn("consistent at", backup->stop_lsn, backup->stop_timeline);
	show_size("WAL segments of", backup->segment_size);
	(void) printf("%-20s %" PRIu64 "\n", "files", backup->file_count);
	show_size("database", backup->database_bytes);
	show_size("stored", backup->stored_bytes);
	if (backup->checksum_failures > 0)
		(void) printf("%-20s %" PRIu64 "\n", "damaged pages", backup->checksum_failures);
	for (int i = 0; i < backup->tablespace_count; i++)
		(void) printf("%-20s %" PRIu32 " at %s\n", "tablespace", backup->tablespaces[i].oid,
			      backup->tablespaces[i].path);
	show_relations(&backup->relation_map);
}

bool verb_show(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	const struct backup *backup;
	json_t *json JSON_CLEANUP = json_object();

	TRY(repo_open(options, 0, &repo, err));
	TRY(facts_read_catalog(repo, &catalog, err));
	TRY(catalog_find(&catalog, options->arguments.items[1], &backup, err));
	if (!options->json) {
		show_backup(backup);
		return show_missing(repo, backup, err);
	}
	TRY(backup_encode_listed(backup, json, err));
	return answer_print(json, err);
}
