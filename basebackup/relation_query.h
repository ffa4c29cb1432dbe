/* The questions to a server's catalogs that the relation map is made of, and how to take their answers apart. Nothing
 * that users have made (a search_path, an operator) changes what is asked, and every question has a deadline.
 *
 * Rows are JSON arrays inside `object`, which the caller releases. Knows nothing of what becomes of them.
 */
#pragma once

#include "base/json.h"
#include "pg/replication.h"

/* An ordinary session. `database` NULL: the one that the address says. `takes_bytes`: texts come as the server keeps
 * them, for relation_query_databases(); otherwise as UTF-8. */
bool relation_query_open(const struct server_address *address, const char *database, bool takes_bytes,
			 struct server **server, struct error *err) MUST_CHECK;
/* Where WAL is (on a standby: what has been replayed), and before which transaction all are visible. */
bool relation_query_position(struct server *server, uint64_t *lsn, uint64_t *oldest_xid, struct error *err) MUST_CHECK;
/* Rows of databases by OID: OID, name as bytes, encoding, does it allow connections. */
bool relation_query_databases(struct server *server, uint32_t behind_oid, int rows_max, json_t **object, json_t **rows,
			      struct error *err) MUST_CHECK;

struct relation_batch {
	uint32_t behind_oid;
	uint32_t rows_max;
	bool takes_shared; /* what all databases share, too */
	bool takes_bytes;  /* names as bytes instead of text */
};

/* Rows of the database's relations by OID: OID, filenode, tablespace, table it belongs to, relkind, relpersistence,
 * schema, name. */
bool relation_query_relations(struct server *server, const struct relation_batch *batch, json_t **object, json_t **rows,
			      struct error *err) MUST_CHECK;

/* The member at a place of a row: CORRUPT when it is something else. */
bool relation_row_number(const json_t *row, size_t place, uint32_t *number, struct error *err) MUST_CHECK;
bool relation_row_text(const json_t *row, size_t place, const char **text, struct error *err) MUST_CHECK;
bool relation_row_letter(const json_t *row, size_t place, char *letter, struct error *err) MUST_CHECK;
/* Bytes that came as hexadecimal digits, with a zero behind them. */
bool relation_row_bytes(const json_t *row, size_t place, char *bytes, size_t size, struct error *err) MUST_CHECK;
