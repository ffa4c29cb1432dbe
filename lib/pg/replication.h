/* The door to libpq: a connection to a PostgreSQL server (13 to 18), the replication protocol's BASE_BACKUP, and the
 * few SQL queries that a backup needs.
 *
 * Nothing is waited for without a deadline: connecting has one, and a server that sends nothing for too long is
 * UNREACHABLE. What the server says in notices is logged; an error of the server or of libpq becomes one sentence with
 * a hint that says what to set. Knows nothing of repositories.
 */
#pragma once

#include "base/buf.h"
#include "pg/base_backup.h"
#include "pg/wal_name.h"

/* Where the server is, as libpq and pg_basebackup take it. NULL: libpq's default (PG*, service file, .pgpass). */
struct server_address {
	const char *conninfo; /* "host=… user=…", a URI, or "service=…" */
	const char *host, *port, *user;
	const char *password; /* asked for; NULL: none was */
	const char *database; /* SERVER_SQL: instead of the one of the conninfo; as the server stores its name */
	const char *program;  /* for application_name */
};

enum server_protocol {
	SERVER_REPLICATION, /* a walsender: replication commands and SHOW only */
	SERVER_SQL,	    /* an ordinary session, in the database of the conninfo or else in "postgres" */
};

struct server;

/* `*needs_password`: the server asked for one and none was given (asking the user and trying again may help). */
bool server_open(const struct server_address *address, enum server_protocol protocol, struct server **server,
		 bool *needs_password, struct error *err) MUST_CHECK;
void server_close(struct server *server); /* NULL is fine */
#define SERVER_CLEANUP __attribute__((cleanup(server_cleanup)))
void server_cleanup(struct server **server);

/* What a backup depends on, from SHOW. */
struct server_settings {
	int version; /* PQserverVersion(): 150020 */
	bool in_recovery;
	bool has_data_checksums;
	bool is_archiving;	  /* archive_mode is on or always */
	bool has_archive_command; /* or an archive_library; true also where it may not be read */
	char wal_level[16];
	uint32_t wal_segment_size; /* bytes */
	uint32_t block_size;
	uint32_t segment_blocks; /* of one segment file of a relation */
	int64_t checkpoint_timeout_ms;
};

bool server_read_settings(struct server *server, struct server_settings *settings, struct error *err) MUST_CHECK;

/* What SHOW says of one setting; empty when the server does not know it or does not let us read it. */
bool server_read_setting(struct server *server, const char *name, char *value, size_t size,
			 struct error *err) MUST_CHECK;

struct server_identity {
	uint64_t system_identifier;
	uint32_t timeline;
	uint64_t flushed; /* LSN */
};

/* IDENTIFY_SYSTEM. */
bool server_identify(struct server *server, struct server_identity *identity, struct error *err) MUST_CHECK;

/* One statement that answers with one row of one column, over SERVER_SQL; `parameters` are $1, $2, … (at most 8), as
 * text. An SQL null is an empty text. After an error of the server the next one may be asked. */
bool server_query(struct server *server, const char *statement, int parameter_count, const char *const *parameters,
		  struct buf *answer, struct error *err) MUST_CHECK;

/* Runs BASE_BACKUP to its end. True only when the server has said that the backup is complete: any error on the way,
 * also behind the last byte of the last file (a standby that was promoted), is a failure. Where it is faster the server
 * is asked to compress the archives, and that is logged; the visitor is told when it begins. */
bool server_base_backup(struct server *server, const struct base_backup_request *request,
			const struct base_backup_visitor *visitor, struct base_backup_end *end,
			struct error *err) MUST_CHECK;
