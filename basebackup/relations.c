#include "relations.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/workers.h"
#include "relation_query.h"
#include "repo/relation_map.h"

/* A server with a million relations answers within half a minute. */
#define TIME_MAX_MS	   (5 * 60 * 1000)
#define LIST_ROWS	   256	/* databases that are asked for at once */
#define BATCH_ROWS_MAX	   2048 /* relations that are asked for at once */
#define BATCH_STEP	   16
#define DATABASE_NAME_SIZE 256
#define REPORTED_MAX	   10

/* A database that could not be read: reported at the end, so that lines of two threads do not mix. */
struct unread {
	char database[RELATION_NAME_SIZE];
	struct error reason;
};

struct relations {
	struct repo *repo;
	const struct server_address *address;
	char label[BACKUP_LABEL_SIZE];
	struct workers *workers; /* NULL: not begun */
	atomic_bool is_abandoned;
	int64_t deadline;

	struct relation_map_writer *writer;
	struct relation_map_summary summary;
	bool is_writer_broken; /* the repository's failure, not the server's */
	bool has_shared;       /* relations that all databases share have been taken */
	struct unread unread[REPORTED_MAX];
};

/* ------------------------------------------------------------------------------------------- one database */

/* What is not to be begun any more. */
static bool relations_check(struct relations *relations, struct error *err)
{
	if (atomic_load(&relations->is_abandoned))
		return fail(err, ERROR_SYSTEM, "it was broken off");
	if (deadline_left_ms(relations->deadline) <= 0)
		return fail(err, ERROR_UNREACHABLE, "no time was left after %d s", TIME_MAX_MS / 1000);
	return true;
}

/* `database` NULL: the one that the address says; names as bytes. */
static bool session_open(struct relations *relations, const char *database, struct server **server, struct error *err)
{
	TRY(relations_check(relations, err));
	return relation_query_open(relations->address, database, database == NULL, server, err);
}

/* Reads the relations of one database in batches. Usually names come as text, which the server turns into UTF-8. When
 * one cannot be (a name in a database of SQL_ASCII, or one that somebody damaged) it is closed in on, and comes as
 * bytes. */
struct reading {
	struct relations *relations;
	const struct relation_map_database *database;
	struct server *server;
	struct relation_batch batch; /* the next */
};

static bool reading_name(const struct reading *reading, const json_t *row, size_t place, struct relation_name *name,
			 struct error *err)
{
	const char *encoding = reading->database->encoding;
	const char *text;
	char bytes[RELATION_NAME_SIZE];

	if (!reading->batch.takes_bytes) {
		TRY(relation_row_text(row, place, &text, err));
		return relation_name_init(name, bytes_of_text(text), true, err);
	}
	TRY(relation_row_bytes(row, place, bytes, sizeof(bytes), err));
	return relation_name_init(name, bytes_of_text(bytes),
				  strcmp(encoding, "UTF8") == 0 || strcmp(encoding, "SQL_ASCII") == 0, err);
}

static bool reading_row(struct reading *reading, const json_t *row, struct error *err)
{
	struct relations *relations = reading->relations;
	struct relation relation = {.database = reading->database->oid};

	TRY(relation_row_number(row, 0, &relation.oid, err));
	TRY(relation_row_number(row, 1, &relation.filenode, err));
	TRY(relation_row_number(row, 2, &relation.tablespace, err));
	TRY(relation_row_number(row, 3, &relation.table, err));
	TRY(relation_row_letter(row, 4, &relation.kind, err));
	TRY(relation_row_letter(row, 5, &relation.persistence, err));
	TRY(reading_name(reading, row, 6, &relation.schema, err));
	TRY(reading_name(reading, row, 7, &relation.name, err));
	if (relation.oid <= reading->batch.behind_oid)
		return fail(err, ERROR_CORRUPT, "the server answered relations out of order");
	reading->batch.behind_oid = relation.oid;
	relations->summary.relations++;
	relations->is_writer_broken = !relation_map_writer_add(relations->writer, &relation, err);
	return !relations->is_writer_broken;
}

/* Fewer at a time next time, in the end one as bytes. False when that is what failed, or the server is not there. */
static bool batch_shrink(struct reading *reading, const struct error *err)
{
	if ((err->kind != ERROR_SYSTEM && err->kind != ERROR_CORRUPT) || reading->batch.takes_bytes)
		return false;
	reading->batch.takes_bytes = reading->batch.rows_max == 1;
	reading->batch.rows_max = reading->batch.rows_max > BATCH_STEP ? reading->batch.rows_max / BATCH_STEP : 1;
	return true;
}

static bool batch_read(struct reading *reading, bool *is_last, struct error *err)
{
	json_t *object JSON_CLEANUP = NULL;
	json_t *rows;

	*is_last = false;
	TRY(relations_check(reading->relations, err));
	if (!relation_query_relations(reading->server, &reading->batch, &object, &rows, err)) {
		if (!batch_shrink(reading, err))
			return false;
		*err = (struct error){0};
		return true;
	}
	for (size_t i = 0; i < json_array_size(rows); i++)
		TRY(reading_row(reading, json_array_get(rows, i), err));
	*is_last = json_array_size(rows) < reading->batch.rows_max;
	reading->batch.takes_bytes = false;
	if (reading->batch.rows_max < BATCH_ROWS_MAX)
		reading->batch.rows_max *= BATCH_STEP;
	if (reading->batch.rows_max > BATCH_ROWS_MAX)
		reading->batch.rows_max = BATCH_ROWS_MAX;
	return true;
}

static bool database_read(struct relations *relations, const struct relation_map_database *database, const char *name,
			  struct error *err)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct reading reading = {
		.relations = relations,
		.database = database,
		.batch = {.rows_max = BATCH_ROWS_MAX, .takes_shared = !relations->has_shared},
	};
	bool is_last = false;

	TRY(session_open(relations, name, &server, err));
	reading.server = server;
	while (!is_last)
		TRY(batch_read(&reading, &is_last, err));
	relations->has_shared = true;
	relations->summary.databases++;
	return true;
}

/* ------------------------------------------------------------------------------------------- all databases */

static bool database_store(struct relations *relations, const struct relation_map_database *database, struct error *err)
{
	relations->is_writer_broken = !relation_map_writer_database(relations->writer, database, err);
	return !relations->is_writer_broken;
}

static bool database_missing(struct relations *relations, struct relation_map_database *database,
			     const struct error *reason, struct error *err)
{
	uint64_t place = relations->summary.databases_missing++;

	if (place < REPORTED_MAX) {
		struct unread *unread = &relations->unread[place];

		(void) snprintf(unread->database, sizeof(unread->database), "%s", database->name.text);
		unread->reason = *reason;
	}
	(void) snprintf(database->missing, sizeof(database->missing), "%s", reason->text);
	return database_store(relations, database, err);
}

static bool database_take(struct relations *relations, const json_t *row, uint32_t *oid, struct error *err)
{
	struct relation_map_database database = {0};
	struct error reason = {0};
	char name[DATABASE_NAME_SIZE];
	const char *encoding;

	TRY(relation_row_number(row, 0, &database.oid, err));
	TRY(relation_row_bytes(row, 1, name, sizeof(name), err));
	TRY(relation_row_text(row, 2, &encoding, err));
	if (database.oid <= *oid)
		return fail(err, ERROR_CORRUPT, "the server answered databases out of order");
	*oid = database.oid;
	TRY(relation_name_init(&database.name, bytes_of_text(name), true, err));
	(void) snprintf(database.encoding, sizeof(database.encoding), "%s", encoding);
	database.is_closed = !json_is_true(json_array_get(row, 3));
	TRY(database_store(relations, &database, err));
	if (database.is_closed || database_read(relations, &database, name, &reason))
		return true;
	if (relations->is_writer_broken || atomic_load(&relations->is_abandoned)) {
		*err = reason;
		return false;
	}
	return database_missing(relations, &database, &reason, err);
}

static bool databases_take(struct relations *relations, struct server *server, struct error *err)
{
	uint32_t last_oid = 0;

	for (;;) {
		json_t *object JSON_CLEANUP = NULL;
		json_t *rows;

		TRY(relation_query_databases(server, last_oid, LIST_ROWS, &object, &rows, err));
		for (size_t i = 0; i < json_array_size(rows); i++)
			TRY(database_take(relations, json_array_get(rows, i), &last_oid, err));
		if (json_array_size(rows) < LIST_ROWS)
			return true;
	}
}

static bool relations_make(struct relations *relations, struct error *err)
{
	struct relation_map_summary *summary = &relations->summary;
	struct server *server SERVER_CLEANUP = NULL;
	uint64_t ignored_xid;

	TRY(session_open(relations, NULL, &server, err));
	TRY(relation_query_position(server, &summary->lsn_before, &summary->oldest_xid, err));
	TRY(relation_map_writer_open(relations->repo, relations->label, &relations->writer, err));
	TRY(databases_take(relations, server, err));
	TRY(relation_query_position(server, &summary->lsn_after, &ignored_xid, err));
	return relation_map_writer_finish(relations->writer, &summary->parts, err);
}

static bool relations_run(void *job, bool cancelled, struct error *err)
{
	return cancelled || relations_make(job, err);
}

/* ----------------------------------------------------------------------------------------------- the outside */

bool relations_open(struct repo *repo, const struct server_address *address, struct relations **relations,
		    struct error *err)
{
	struct relations *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	made->repo = repo;
	made->address = address;
	atomic_init(&made->is_abandoned, false);
	*relations = made;
	return true;
}

/* That somebody is not let in is how a server was set up, and no reason to mail a warning every night. */
static void report(const char *what, const char *database, const struct error *reason)
{
	char text[sizeof(reason->text) + sizeof(reason->hint) + 512];

	(void) snprintf(text, sizeof(text),
			"the names of the tables %s%s%s are not stored with the backup, so that later one of them can "
			"only be found by its number: %s%s%s",
			what, *database != '\0' ? " " : "", database, reason->text, reason->hint[0] != '\0' ? ". " : "",
			reason->hint);
	if (reason->kind == ERROR_DENIED)
		log_info("%s", text);
	else
		log_warning("%s", text);
}

static void relations_report(const struct relations *relations)
{
	uint64_t missing = relations->summary.databases_missing;

	for (uint64_t i = 0; i < missing && i < REPORTED_MAX; i++) {
		char database[RELATION_NAME_SIZE + 2];

		(void) snprintf(database, sizeof(database), "\"%s\"", relations->unread[i].database);
		report("of database", database, &relations->unread[i].reason);
	}
	if (missing > REPORTED_MAX)
		log_info("so it is with %" PRIu64 " more databases (\"pitr-catalog show\" names them)",
			 missing - REPORTED_MAX);
}

void relations_begin(struct relations *relations, const char *label)
{
	struct error err = {0};

	(void) snprintf(relations->label, sizeof(relations->label), "%s", label);
	relations->deadline = deadline_in(TIME_MAX_MS);
	if (workers_open(1, 1, &relations->workers, &err) &&
	    workers_submit(relations->workers, relations_run, relations, &err))
		return;
	report("of the server", "", &err);
}

void relations_finish(struct relations *relations, struct relation_map_summary *summary)
{
	struct error err = {0};

	if (relations->workers == NULL)
		return;
	bool done = workers_finish(relations->workers, &err);
	relations->workers = NULL;
	if (!done) {
		report("of the server", "", &err);
		return;
	}
	*summary = relations->summary;
	relations_report(relations);
}

void relations_close(struct relations *relations)
{
	struct error ignored = {0};

	if (relations == NULL)
		return;
	atomic_store(&relations->is_abandoned, true);
	if (relations->workers != NULL)
		(void) !workers_finish(relations->workers, &ignored);
	relation_map_writer_close(relations->writer);
	free(relations);
}
