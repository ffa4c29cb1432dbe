#include "relation_query.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "pg/lsn.h"

#define STATEMENT_TIMEOUT_MS "50000"
#define ANSWER_SIZE_MAX	     (16 * MiB)

/* -------------------------------------------------------------------------------------------------- texts */

/* No name of ours may mean something that a user has made, nobody be kept waiting by us, and a walk along an index stay
 * one whatever the server's statistics say. */
static const char query_session[] =
	"SELECT pg_catalog.json_build_array(pg_catalog.set_config('search_path', '', false), "
	"pg_catalog.set_config('statement_timeout', $1, false), pg_catalog.set_config('lock_timeout', '10000', false), "
	"pg_catalog.set_config('jit', 'off', false), pg_catalog.set_config('enable_seqscan', 'off', false), "
	"pg_catalog.set_config('default_transaction_read_only', 'on', false))::pg_catalog.text";

static const char query_encoding[] = "SELECT pg_catalog.set_config('client_encoding', $1, false)";

static const char query_position[] =
	"SELECT pg_catalog.json_build_object('oldest_xid', "
	"pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::int8, 'lsn', "
	"CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() "
	"ELSE pg_catalog.pg_current_wal_insert_lsn() END::text)::text";

/* Bytes, because a database's name is in the encoding of whatever database it was created from. datconnlimit -2 is a
 * database whose DROP was interrupted (DATCONNLIMIT_INVALID_DB, pg_database.h of 17). */
static const char query_databases[] =
	"SELECT pg_catalog.json_build_object('rows', coalesce(pg_catalog.json_agg(pg_catalog.json_build_array("
	"d.oid::int8, pg_catalog.encode(pg_catalog.namesend(d.datname), 'hex'), "
	"pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datallowconn AND d.datconnlimit <> -2) ORDER BY d.oid), "
	"'[]'))::text FROM (SELECT * FROM pg_catalog.pg_database WHERE oid > $1::oid ORDER BY oid LIMIT $2::int8) d";

/* Everything beside pg_class is looked up by an index for each row of the batch, so that a batch costs the same
 * whatever the size of the catalog. A TOAST table and an owned sequence depend on their table, except that TOAST tables
 * of catalogs depend on nothing (toasting.c, pg_depend.c): those are few. */
#define QUERY_RELATIONS(before, after)                                                                             \
	"SELECT pg_catalog.json_build_object('rows', coalesce(pg_catalog.json_agg(pg_catalog.json_build_array("    \
	"r.oid::int8, coalesce(pg_catalog.pg_relation_filenode(r.oid), 0)::int8, "                                 \
	"coalesce(nullif(r.reltablespace, 0), r.of_database)::int8, coalesce(r.owner, 0)::int8, r.relkind::text, " \
	"r.relpersistence::text, " before "r.schema" after ", " before "r.relname" after                           \
	") ORDER BY r.oid), '[]'))::text FROM (SELECT c.*, "                                                       \
	"(SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace) AS schema, "               \
	"(SELECT d.dattablespace FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) "  \
	"AS of_database, CASE WHEN c.relkind = 'i' THEN "                                                          \
	"(SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid) "                               \
	"WHEN c.relispartition THEN (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid "   \
	"LIMIT 1) WHEN c.relkind IN ('t', 'S') THEN coalesce("                                                     \
	"(SELECT p.refobjid FROM pg_catalog.pg_depend p WHERE p.classid = 'pg_catalog.pg_class'::regclass "        \
	"AND p.objid = c.oid AND p.objsubid = 0 AND p.refclassid = 'pg_catalog.pg_class'::regclass "               \
	"AND p.deptype IN ('a', 'i') LIMIT 1), "                                                                   \
	"(SELECT t.oid FROM pg_catalog.pg_class t WHERE c.relkind = 't' AND c.oid < 16384 AND t.oid < 16384 "      \
	"AND t.reltoastrelid = c.oid)) END AS owner FROM pg_catalog.pg_class c WHERE c.oid > $1::oid "             \
	"AND c.relkind IN ('r', 'i', 't', 'S', 'm', 'p') AND c.relpersistence <> 't' "                             \
	"AND ($3::bool OR NOT c.relisshared) ORDER BY c.oid LIMIT $2::int8) r"

static const char query_relations[] = QUERY_RELATIONS("", "::text");
static const char query_relations_as_bytes[] = QUERY_RELATIONS("pg_catalog.encode(pg_catalog.namesend(", "), 'hex')");

/* ------------------------------------------------------------------------------------------------ sessions */

/* One row of one column that holds an object. */
static bool query_object(struct server *server, const char *query, int parameter_count, const char *const *parameters,
			 json_t **object, struct error *err)
{
	BUF(answer, ANSWER_SIZE_MAX);

	TRY(server_query(server, query, parameter_count, parameters, &answer, err));
	return json_decode(buf_bytes(&answer), "the server's answer", object, err);
}

static bool set_encoding(struct server *server, const char *encoding, struct error *err)
{
	const char *const parameters[] = {encoding};
	BUF(answer, KiB);

	return server_query(server, query_encoding, 1, parameters, &answer, err);
}

bool relation_query_open(const struct server_address *address, const char *database, bool takes_bytes,
			 struct server **server, struct error *err)
{
	struct server_address changed = *address;
	const char *const parameters[] = {STATEMENT_TIMEOUT_MS};
	bool needs_password;
	BUF(answer, KiB);

	changed.database = database;
	TRY(server_open(&changed, SERVER_SQL, server, &needs_password, err));
	TRY(server_query(*server, query_session, 1, parameters, &answer, err));
	return !takes_bytes || set_encoding(*server, "SQL_ASCII", err);
}

bool relation_query_position(struct server *server, uint64_t *lsn, uint64_t *oldest_xid, struct error *err)
{
	json_t *object JSON_CLEANUP = NULL;

	TRY(query_object(server, query_position, 0, NULL, &object, err));
	TRY(lsn_get(object, "lsn", lsn, err));
	return json_get_u64(object, "oldest_xid", oldest_xid, err);
}

bool relation_query_databases(struct server *server, uint32_t behind_oid, int rows_max, json_t **object, json_t **rows,
			      struct error *err)
{
	char oid[16], count[16];
	const char *const parameters[] = {oid, count};

	(void) snprintf(oid, sizeof(oid), "%" PRIu32, behind_oid);
	(void) snprintf(count, sizeof(count), "%d", rows_max);
	TRY(query_object(server, query_databases, 2, parameters, object, err));
	return json_get_array(*object, "rows", rows, err);
}

bool relation_query_relations(struct server *server, const struct relation_batch *batch, json_t **object, json_t **rows,
			      struct error *err)
{
	char oid[16], count[16];
	const char *const parameters[] = {oid, count, batch->takes_shared ? "true" : "false"};

	(void) snprintf(oid, sizeof(oid), "%" PRIu32, batch->behind_oid);
	(void) snprintf(count, sizeof(count), "%" PRIu32, batch->rows_max);
	if (!batch->takes_bytes)
		TRY(query_object(server, query_relations, 3, parameters, object, err));
	else if (!set_encoding(server, "SQL_ASCII", err) ||
		 !query_object(server, query_relations_as_bytes, 3, parameters, object, err) ||
		 !set_encoding(server, "UTF8", err))
		return false;
	return json_get_array(*object, "rows", rows, err);
}

/* ---------------------------------------------------------------------------------------------------- rows */

bool relation_row_number(const json_t *row, size_t place, uint32_t *number, struct error *err)
{
	const json_t *member = json_array_get(row, place);
	json_int_t value = json_integer_value(member);

	if (!json_is_integer(member) || value < 0 || value > UINT32_MAX)
		return fail(err, ERROR_CORRUPT, "the server answered a row without a number at place %zu", place);
	*number = (uint32_t) value;
	return true;
}

bool relation_row_text(const json_t *row, size_t place, const char **text, struct error *err)
{
	*text = json_string_value(json_array_get(row, place));
	return *text != NULL ? true
			     : fail(err, ERROR_CORRUPT, "the server answered a row without a text at place %zu", place);
}

bool relation_row_letter(const json_t *row, size_t place, char *letter, struct error *err)
{
	const char *text;

	TRY(relation_row_text(row, place, &text, err));
	*letter = text[0];
	return true;
}

/* Bytes from hexadecimal digits, with a zero behind them. */
bool relation_row_bytes(const json_t *row, size_t place, char *bytes, size_t size, struct error *err)
{
	const char *hex;

	TRY(relation_row_text(row, place, &hex, err));
	size_t length = strlen(hex) / 2;
	if (length >= size || !hex_parse(hex, (uint8_t *) bytes, length))
		return fail(err, ERROR_CORRUPT, "the server answered an impossible name");
	bytes[length] = '\0';
	return true;
}
