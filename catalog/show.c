#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "config/program.h"
#include "pg/wal_name.h"
#include "print.h"
#include "repo/catalog.h"
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

static void show_backup(const struct backup *backup)
{
	(void) printf("%-20s %s\n", "label", backup->label);
	(void) printf("%-20s %s\n", "name", backup->name);
	if (backup->note[0] != '\0')
		(void) printf("%-20s %s\n", "note", backup->note);
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
}

bool verb_show(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	const struct backup *backup;
	json_t *json JSON_CLEANUP = json_object();

	TRY(repo_open(options, 0, &repo, err));
	TRY(catalog_read(repo, &catalog, err));
	TRY(catalog_find(&catalog, options->arguments.items[1], &backup, err));
	if (!options->json) {
		show_backup(backup);
		return true;
	}
	TRY(backup_encode(backup, json, err));
	return program_print(json, err);
}
