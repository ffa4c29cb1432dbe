#include "pg/replication.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "pg/server_message.h"

#define CONNECT_TIMEOUT_MS (30 * 1000)
#define QUERY_TIMEOUT_MS   (60 * 1000)
/* A server that reads files or waits for a throttled client sends something every few seconds. */
#define IDLE_TIMEOUT_MS (10 * 60 * 1000)
#define PARAMETERS_MAX	8
#define OPTIONS_MAX	64

struct server {
	PGconn *connection;
	int version;
};

/* ------------------------------------------------------------------------------------------------ messages */

static const char *connection_user(const PGconn *connection)
{
	const char *user = PQuser(connection);

	return user != NULL && *user != '\0' ? user : "backup";
}

/* "local" for a Unix socket, else "host". */
static bool connection_is_local(const PGconn *connection)
{
	const char *host = PQhost(connection);

	return host == NULL || *host == '\0' || *host == '/' || *host == '@';
}

/* The same address, or both of 127.0.0.0/8 (Debian gives 127.0.1.1 to the host's name). */
static bool address_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET) {
		uint32_t first = ntohl(((const struct sockaddr_in *) a)->sin_addr.s_addr);
		uint32_t second = ntohl(((const struct sockaddr_in *) b)->sin_addr.s_addr);

		return first == second || (first >> 24 == 127 && second >> 24 == 127);
	}
	return a->ss_family == AF_INET6 &&
	       memcmp(&((const struct sockaddr_in6 *) a)->sin6_addr, &((const struct sockaddr_in6 *) b)->sin6_addr,
		      sizeof(struct in6_addr)) == 0;
}

/* Over a Unix socket, or from an address of this host to the same one, loopback or not. */
static bool connection_is_within_host(const PGconn *connection)
{
	struct sockaddr_storage here = {0}, there = {0};
	socklen_t here_size = sizeof(here), there_size = sizeof(there);

	if (connection_is_local(connection))
		return true;
	if (getsockname(PQsocket(connection), (struct sockaddr *) &here, &here_size) != 0 ||
	    getpeername(PQsocket(connection), (struct sockaddr *) &there, &there_size) != 0)
		return false;
	return here.ss_family == AF_UNIX || address_same(&here, &there);
}

static bool fail_pg_hba(const PGconn *connection, enum server_protocol protocol, struct error *err)
{
	bool is_local = connection_is_local(connection);
	const char *database = protocol == SERVER_REPLICATION ? "replication" : "all";

	return fail_hint(
		err,
		"Put the line \"%s %s %s%s %s\" at the beginning of pg_hba.conf on the server and reload it with "
		"\"SELECT pg_reload_conf()\".",
		is_local ? "local" : "host", database, connection_user(connection),
		is_local ? "" : " <address of this host>/32", is_local ? "peer" : "scram-sha-256");
}

/* What a server that refuses a connection wants. */
static bool fail_connection_hint(const PGconn *connection, enum server_protocol protocol, const char *line,
				 const char *sqlstate, struct error *err)
{
	/* The names of files and settings are the same in every language of the server. */
	if (strcmp(sqlstate, "28000") == 0 && strstr(line, "pg_hba.conf") != NULL)
		return fail_pg_hba(connection, protocol, err);
	if (strcmp(sqlstate, "28000") == 0)
		return fail_hint(
			err,
			"Does the role exist (CREATE ROLE %s LOGIN REPLICATION)? With peer authentication, run "
			"this as the operating system's user of that name. -U names another role.",
			connection_user(connection));
	if (strcmp(sqlstate, "42501") == 0)
		return protocol == SERVER_REPLICATION
			       ? fail_hint(err, "A superuser can allow it with \"ALTER ROLE %s REPLICATION\".",
					   connection_user(connection))
			       : fail_hint(err, "Allow it with \"GRANT CONNECT ON DATABASE %s TO %s\".",
					   PQdb(connection), connection_user(connection));
	if (strncmp(sqlstate, "28P", 3) == 0 || PQconnectionNeedsPassword(connection))
		return fail_hint(err, "Put the password into ~/.pgpass (mode 0600), or use -W to be asked for it.");
	if (strcmp(sqlstate, "53300") == 0 && strstr(line, "max_wal_senders") != NULL)
		return fail_hint(err,
				 "Set max_wal_senders = 10 and wal_level = replica on the server and restart it; if "
				 "they are so already, all senders are in use.");
	if (strcmp(sqlstate, "57P03") == 0)
		return fail_hint(err, "The server is starting up, shutting down or recovering: try again later.");
	if (*sqlstate == '\0')
		return fail_hint(err, "Check that the server runs, and -h, -p and -d (or PGHOST, PGPORT, PGSERVICE).");
	return false;
}

static bool fail_connection(const PGconn *connection, enum server_protocol protocol, struct error *err)
{
	char line[sizeof(err->text)];
	char sqlstate[SQLSTATE_SIZE];
	enum error_kind kind = ERROR_UNREACHABLE;

	server_message_join(PQerrorMessage(connection), line, sizeof(line));
	server_message_take_sqlstate(line, sqlstate);
	if (strncmp(sqlstate, "28", 2) == 0 || strcmp(sqlstate, "42501") == 0 || PQconnectionNeedsPassword(connection))
		kind = ERROR_DENIED;
	else if (strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "3D", 2) == 0)
		kind = ERROR_USAGE;
	(void) fail(err, kind, "could not connect to the server: %s", *line != '\0' ? line : "libpq gave no reason");
	return fail_connection_hint(connection, protocol, line, sqlstate, err);
}

/* What a failed command says: message and detail of the server, or what libpq has to say about the connection. */
static bool fail_result(const struct server *server, const PGresult *result, struct error *err, const char *doing)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	char line[sizeof(err->text)];

	if (message == NULL) {
		server_message_join(PQerrorMessage(server->connection), line, sizeof(line));
		return fail(err, ERROR_UNREACHABLE, "could not %s: %s", doing,
			    *line != '\0' ? line : "the server answered something unexpected");
	}
	enum error_kind kind = sqlstate != NULL && strcmp(sqlstate, "42501") == 0 ? ERROR_DENIED : ERROR_SYSTEM;
	/* 57P0x: shut down or terminated by an administrator; 08: connection lost. */
	if (sqlstate != NULL && (strncmp(sqlstate, "57P", 3) == 0 || strncmp(sqlstate, "08", 2) == 0))
		kind = ERROR_UNREACHABLE;
	(void) fail(err, kind, "could not %s: %s%s%s%s", doing, message, detail != NULL ? " (" : "",
		    detail != NULL ? detail : "", detail != NULL ? ")" : "");
	return hint != NULL ? fail_hint(err, "%s", hint) : false;
}

/* Warnings and notices of the server. They come while something else is waited for and are no reason to stop. */
static void server_notice(void *context, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);

	(void) context;
	if (message == NULL)
		return;
	if (severity != NULL && strcmp(severity, "WARNING") == 0)
		log_warning("the server says: %s%s%s", message, detail != NULL ? ": " : "",
			    detail != NULL ? detail : "");
	else
		log_debug("the server says: %s", message);
}

/* ---------------------------------------------------------------------------------------------- connecting */

struct parameters {
	int count;
	const char *names[OPTIONS_MAX + 1];
	const char *values[OPTIONS_MAX + 1];
};

static void parameters_add(struct parameters *parameters, const char *name, const char *value)
{
	if (value == NULL || parameters->count == OPTIONS_MAX)
		return;
	parameters->names[parameters->count] = name;
	parameters->values[parameters->count++] = value;
}

/* What comes later wins (PQconnectdbParams), so: ours that may be overruled, the conninfo's, the flags', ours. As
 * GetConnection() of pg_basebackup (streamutil.c). */
static void parameters_fill(struct parameters *parameters, const struct server_address *address,
			    enum server_protocol protocol, const PQconninfoOption *given)
{
	bool is_replication = protocol == SERVER_REPLICATION;

	if (!is_replication)
		parameters_add(parameters, "dbname", "postgres");
	/* A peer that vanished is noticed within two minutes, not two hours. */
	parameters_add(parameters, "keepalives_idle", "60");
	parameters_add(parameters, "keepalives_interval", "10");
	parameters_add(parameters, "keepalives_count", "6");
	for (const PQconninfoOption *option = given; option != NULL && option->keyword != NULL; option++) {
		if (option->val == NULL || *option->val == '\0' || strcmp(option->keyword, "replication") == 0 ||
		    (is_replication && strcmp(option->keyword, "dbname") == 0))
			continue;
		parameters_add(parameters, option->keyword, option->val);
	}
	parameters_add(parameters, "host", address->host);
	parameters_add(parameters, "port", address->port);
	parameters_add(parameters, "user", address->user);
	parameters_add(parameters, "password", address->password);
	parameters_add(parameters, "fallback_application_name", address->program);
	parameters_add(parameters, "client_encoding", "UTF8");
	parameters_add(parameters, "dbname", is_replication ? "replication" /* for .pgpass */ : address->database);
	parameters_add(parameters, "replication", is_replication ? "true" : NULL);
}

/* Waits until the socket is ready; false when the deadline comes first. */
static bool connection_wait(const PGconn *connection, short events, int64_t deadline)
{
	struct pollfd socket = {.fd = PQsocket(connection), .events = events};

	if (socket.fd < 0)
		return true; /* libpq will say what is wrong */
	for (;;) {
		int64_t left_ms = deadline_left_ms(deadline);

		if (left_ms <= 0)
			return false;
		int ready = poll(&socket, 1, (int) (left_ms < 60 * 1000 ? left_ms : 60 * 1000));
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return true;
	}
}

static int64_t connection_timeout_ms(PGconn *connection)
{
	int64_t timeout_ms = CONNECT_TIMEOUT_MS;
	PQconninfoOption *options = PQconninfo(connection);

	for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
		long seconds = option->val != NULL ? strtol(option->val, NULL, 10) : 0;

		if (strcmp(option->keyword, "connect_timeout") == 0 && seconds > 0 && seconds < 24 * 3600)
			timeout_ms = 1000 * (int64_t) seconds;
	}
	PQconninfoFree(options);
	return timeout_ms;
}

static bool connection_finish(PGconn *connection, enum server_protocol protocol, struct error *err)
{
	int64_t timeout_ms = connection_timeout_ms(connection);
	int64_t deadline = deadline_in(timeout_ms);
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	while (PQstatus(connection) != CONNECTION_BAD && status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		if (!connection_wait(connection, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
			return fail(err, ERROR_UNREACHABLE,
				    "could not connect to the server: it did not answer within %" PRId64 " s",
				    timeout_ms / 1000) ||
			       fail_hint(err, "Check -h, -p and -d; connect_timeout in -d sets another time.");
		status = PQconnectPoll(connection);
	}
	if (PQstatus(connection) == CONNECTION_OK)
		return true;
	return fail_connection(connection, protocol, err);
}

static bool server_check_version(struct server *server, struct error *err)
{
	server->version = PQserverVersion(server->connection);
	if (server->version < 130000)
		return fail(err, ERROR_USAGE, "the server is of version %s, but PostgreSQL 13 or newer is needed",
			    PQparameterStatus(server->connection, "server_version") != NULL
				    ? PQparameterStatus(server->connection, "server_version")
				    : "unknown");
	return true;
}

bool server_open(const struct server_address *address, enum server_protocol protocol, struct server **server,
		 bool *needs_password, struct error *err)
{
	struct server *made SERVER_CLEANUP = calloc(1, sizeof(*made));
	struct parameters parameters = {0};
	PQconninfoOption *given = NULL;

	*needs_password = false;
	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (address->conninfo != NULL) {
		char *reason = NULL;
		char line[512];

		given = PQconninfoParse(address->conninfo, &reason);
		if (given == NULL) {
			server_message_join(reason != NULL ? reason : "out of memory", line, sizeof(line));
			PQfreemem(reason);
			return fail(err, ERROR_USAGE, "the connection string cannot be read: %s", line) ||
			       fail_hint(err, "It looks like \"host=db1 port=5432 user=backup\" or \"service=main\".");
		}
	}
	parameters_fill(&parameters, address, protocol, given);
	made->connection = PQconnectStartParams(parameters.names, parameters.values, 0);
	PQconninfoFree(given);
	if (made->connection == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	(void) PQsetErrorVerbosity(made->connection, PQERRORS_VERBOSE);
	(void) PQsetNoticeReceiver(made->connection, server_notice, NULL);
	if (!connection_finish(made->connection, protocol, err)) {
		*needs_password = PQconnectionNeedsPassword(made->connection) != 0 && address->password == NULL;
		return false;
	}
	TRY(server_check_version(made, err));
	*server = made;
	made = NULL;
	return true;
}

void server_close(struct server *server)
{
	if (server == NULL)
		return;
	PQfinish(server->connection);
	free(server);
}

void server_cleanup(struct server **server)
{
	server_close(*server);
	*server = NULL;
}

/* ------------------------------------------------------------------------------------------------- results */

static void result_release(PGresult **result)
{
	PQclear(*result);
}

#define RESULT_CLEANUP __attribute__((cleanup(result_release)))

static bool fail_silent(struct error *err, const char *doing, int64_t timeout_ms)
{
	return fail(err, ERROR_UNREACHABLE, "could not %s: the server sent nothing for %" PRId64 " s", doing,
		    timeout_ms / 1000) ||
	       fail_hint(err, "Check the network, and what the server is doing (pg_stat_activity, its log).");
}

/* Sends what libpq still holds back and waits until there is something to read. */
static bool server_wait(struct server *server, int64_t deadline, int64_t timeout_ms, const char *doing,
			struct error *err)
{
	int unsent = PQflush(server->connection);
	short events = unsent == 1 ? POLLIN | POLLOUT : POLLIN;

	if (!connection_wait(server->connection, events, deadline))
		return fail_silent(err, doing, timeout_ms);
	if (unsent < 0 || PQconsumeInput(server->connection) == 0)
		return fail_result(server, NULL, err, doing);
	return true;
}

/* The next result, NULL when there are no more. */
static bool server_result(struct server *server, int64_t timeout_ms, const char *doing, PGresult **result,
			  struct error *err)
{
	int64_t deadline = deadline_in(timeout_ms);

	while (PQisBusy(server->connection))
		TRY(server_wait(server, deadline, timeout_ms, doing, err));
	*result = PQgetResult(server->connection);
	return true;
}

/* A result must have this status, and if it is rows, at least one of so many columns. */
static bool result_check(const struct server *server, const PGresult *result, ExecStatusType status, int columns,
			 const char *doing, struct error *err)
{
	if (PQresultStatus(result) != status)
		return fail_result(server, result, err, doing);
	if (status == PGRES_TUPLES_OK && (PQntuples(result) < 1 || PQnfields(result) < columns))
		return fail(err, ERROR_CORRUPT, "could not %s: the server answered %d rows of %d columns", doing,
			    PQntuples(result), PQnfields(result));
	return true;
}

/* The next result, checked. */
static bool server_expect(struct server *server, int64_t timeout_ms, ExecStatusType status, int columns,
			  const char *doing, PGresult **result, struct error *err)
{
	TRY(server_result(server, timeout_ms, doing, result, err));
	return result_check(server, *result, status, columns, doing, err);
}

/* Reads what is left of a command. An error among it counts. */
static bool server_drain(struct server *server, const char *doing, struct error *err)
{
	for (;;) {
		PGresult *result RESULT_CLEANUP = NULL;

		TRY(server_result(server, QUERY_TIMEOUT_MS, doing, &result, err));
		if (result == NULL)
			return true;
		if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
			return fail_result(server, result, err, doing);
	}
}

static bool server_send(struct server *server, const char *command, const char *doing, struct error *err)
{
	return PQsendQuery(server->connection, command) == 1 ? true : fail_result(server, NULL, err, doing);
}

bool server_query(struct server *server, const char *statement, int parameter_count, const char *const *parameters,
		  struct buf *answer, struct error *err)
{
	PGresult *result RESULT_CLEANUP = NULL;
	static const char doing[] = "ask the server";
	struct error ignored;

	if (PQsendQueryParams(server->connection, statement, parameter_count, NULL, parameters, NULL, NULL, 0) != 1)
		return fail_result(server, NULL, err, doing);
	bool is_answered =
		server_expect(server, QUERY_TIMEOUT_MS, PGRES_TUPLES_OK, 1, doing, &result, err) &&
		buf_append(answer, bytes_of(PQgetvalue(result, 0, 0), (size_t) PQgetlength(result, 0, 0)), err);
	if (!is_answered && err->kind == ERROR_UNREACHABLE)
		return false;
	/* Behind an error too, so that the next question may be asked. */
	return server_drain(server, doing, is_answered ? err : &ignored) && is_answered;
}

/* ------------------------------------------------------------------------------------------------ settings */

/* Text of a setting. `fallback` (unless NULL) when the server does not let us read it. */
static bool server_show(struct server *server, const char *name, const char *fallback, char *value, size_t size,
			struct error *err)
{
	PGresult *result RESULT_CLEANUP = NULL;
	char command[64];
	char doing[96];

	(void) snprintf(command, sizeof(command), "SHOW %s", name);
	(void) snprintf(doing, sizeof(doing), "read the setting \"%s\" of the server", name);
	TRY(server_send(server, command, doing, err));
	if (!server_expect(server, QUERY_TIMEOUT_MS, PGRES_TUPLES_OK, 1, doing, &result, err)) {
		if (fallback == NULL || err->kind == ERROR_UNREACHABLE)
			return false;
		*err = (struct error){0};
		(void) snprintf(value, size, "%s", fallback);
		return server_drain(server, doing, err);
	}
	(void) snprintf(value, size, "%s", PQgetvalue(result, 0, 0));
	return server_drain(server, doing, err);
}

bool server_read_setting(struct server *server, const char *name, char *value, size_t size, struct error *err)
{
	return server_show(server, name, "", value, size, err);
}

struct unit {
	const char *name;
	int64_t factor;
};

/* "16MB", "8192", "5min": a number and one of the units, as SHOW writes them (guc.c, ShowGUCOption). */
static bool number_with_unit_parse(const char *text, const struct unit *units, int64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	if (end == text || errno != 0 || *number < 0 || *number > INT32_MAX)
		return false;
	for (; units->name != NULL; units++) {
		if (strcmp(end, units->name) == 0) {
			*number *= units->factor;
			return true;
		}
	}
	return false;
}

static bool server_show_number(struct server *server, const char *name, const struct unit *units, int64_t *number,
			       struct error *err)
{
	char text[64];

	TRY(server_show(server, name, NULL, text, sizeof(text), err));
	if (!number_with_unit_parse(text, units, number))
		return fail(err, ERROR_CORRUPT, "the setting \"%s\" of the server is \"%s\", which is no number", name,
			    text);
	return true;
}

static bool server_read_sizes(struct server *server, struct server_settings *settings, struct error *err)
{
	static const struct unit sizes[] = {{"", 1},	     {"B", 1},	      {"kB", 1024},
					    {"MB", 1 << 20}, {"GB", 1 << 30}, {NULL, 0}};
	static const struct unit times[] = {{"ms", 1},		{"s", 1000},	     {"min", 60 * 1000},
					    {"h", 3600 * 1000}, {"d", 86400 * 1000}, {NULL, 0}};
	int64_t number;

	TRY(server_show_number(server, "wal_segment_size", sizes, &number, err));
	if (!wal_segment_size_valid((uint64_t) number))
		return fail(err, ERROR_CORRUPT, "the server has WAL segments of %" PRId64 " bytes", number);
	settings->wal_segment_size = (uint32_t) number;
	TRY(server_show_number(server, "block_size", sizes, &number, err));
	if (number < 1024 || number > 32768)
		return fail(err, ERROR_CORRUPT, "the server has blocks of %" PRId64 " bytes", number);
	settings->block_size = (uint32_t) number;
	TRY(server_show_number(server, "segment_size", sizes, &number, err));
	settings->segment_blocks = (uint32_t) (number / settings->block_size);
	return server_show_number(server, "checkpoint_timeout", times, &settings->checkpoint_timeout_ms, err);
}

/* Since 14 the server reports it by itself; before, a transaction that must be read-only although that is not the
 * default says so (StartTransaction(), xact.c). */
static bool server_read_recovery(struct server *server, bool *in_recovery, struct error *err)
{
	const char *reported = PQparameterStatus(server->connection, "in_hot_standby");
	char by_default[8];
	char now[8];

	if (reported != NULL) {
		*in_recovery = strcmp(reported, "on") == 0;
		return true;
	}
	TRY(server_show(server, "default_transaction_read_only", NULL, by_default, sizeof(by_default), err));
	TRY(server_show(server, "transaction_read_only", NULL, now, sizeof(now), err));
	*in_recovery = strcmp(now, "on") == 0 && strcmp(by_default, "on") != 0;
	return true;
}

bool server_read_settings(struct server *server, struct server_settings *settings, struct error *err)
{
	char text[16];
	char command[16];
	char library[16] = "";

	memset(settings, 0, sizeof(*settings));
	settings->version = server->version;
	TRY(server_read_recovery(server, &settings->in_recovery, err));
	TRY(server_show(server, "wal_level", NULL, settings->wal_level, sizeof(settings->wal_level), err));
	TRY(server_show(server, "archive_mode", NULL, text, sizeof(text), err));
	settings->is_archiving = strcmp(text, "on") == 0 || strcmp(text, "always") == 0;
	TRY(server_show(server, "archive_command", "unknown", command, sizeof(command), err));
	if (server->version >= 150000)
		TRY(server_show(server, "archive_library", "unknown", library, sizeof(library), err));
	/* SHOW says "(disabled)" for an empty command on some versions (show_archive_command()). */
	settings->has_archive_command = *library != '\0' || (*command != '\0' && strcmp(command, "(disabled)") != 0);
	TRY(server_show(server, "data_checksums", NULL, text, sizeof(text), err));
	settings->has_data_checksums = strcmp(text, "on") == 0;
	return server_read_sizes(server, settings, err);
}

static bool timeline_parse(const char *text, uint32_t *timeline)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	*timeline = (uint32_t) value;
	return end != text && *end == '\0' && value > 0 && value <= UINT32_MAX;
}

bool server_identify(struct server *server, struct server_identity *identity, struct error *err)
{
	PGresult *result RESULT_CLEANUP = NULL;
	static const char doing[] = "identify the server";
	char *end;

	TRY(server_send(server, "IDENTIFY_SYSTEM", doing, err));
	TRY(server_expect(server, QUERY_TIMEOUT_MS, PGRES_TUPLES_OK, 3, doing, &result, err));
	identity->system_identifier = strtoull(PQgetvalue(result, 0, 0), &end, 10);
	if (*end != '\0' || identity->system_identifier == 0 ||
	    !timeline_parse(PQgetvalue(result, 0, 1), &identity->timeline) ||
	    !lsn_parse(PQgetvalue(result, 0, 2), &identity->flushed))
		return fail(err, ERROR_CORRUPT, "could not identify the server: it answered \"%s\", \"%s\", \"%s\"",
			    PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
	return server_drain(server, doing, err);
}

/* --------------------------------------------------------------------------------------------- base backup */

static const char backing_up[] = "take the base backup";

static void start_release(struct base_backup_start *start)
{
	free(start->tablespaces);
	start->tablespaces = NULL;
}

#define START_CLEANUP __attribute__((cleanup(start_release)))

/* A result set of one row: LSN, timeline. */
static bool position_parse(const PGresult *result, uint64_t *lsn, uint32_t *timeline, struct error *err)
{
	if (lsn_parse(PQgetvalue(result, 0, 0), lsn) && timeline_parse(PQgetvalue(result, 0, 1), timeline))
		return true;
	return fail(err, ERROR_CORRUPT,
		    "could not take the base backup: the server says that it is at \"%s\", timeline \"%s\"",
		    PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
}

/* A row of the second result set: OID, path, kB. No OID for the data directory. */
static bool tablespace_parse(const PGresult *result, int row, struct base_backup_tablespace *tablespace,
			     struct error *err)
{
	const char *path = PQgetvalue(result, row, 1);

	memset(tablespace, 0, sizeof(*tablespace));
	tablespace->size = strtoull(PQgetvalue(result, row, 2), NULL, 10) * 1024;
	if (PQgetisnull(result, row, 0))
		return true;
	if (!timeline_parse(PQgetvalue(result, row, 0), &tablespace->oid) || strlen(path) >= sizeof(tablespace->path))
		return fail(err, ERROR_CORRUPT,
			    "could not take the base backup: the server has a tablespace \"%s\" at \"%s\"",
			    PQgetvalue(result, row, 0), path);
	(void) snprintf(tablespace->path, sizeof(tablespace->path), "%s", path);
	return true;
}

/* The two results before the files; the first one has come. */
static bool start_receive(struct server *server, const PGresult *position, struct base_backup_start *start,
			  struct error *err)
{
	PGresult *rows RESULT_CLEANUP = NULL;

	TRY(result_check(server, position, PGRES_TUPLES_OK, 2, backing_up, err));
	TRY(position_parse(position, &start->lsn, &start->timeline, err));
	/* Sizes are summed up by walking the whole data directory. */
	TRY(server_expect(server, IDLE_TIMEOUT_MS, PGRES_TUPLES_OK, 3, backing_up, &rows, err));
	if (PQntuples(rows) > BASE_BACKUP_TABLESPACES_MAX)
		return fail(err, ERROR_USAGE, "the server has more than %d tablespaces", BASE_BACKUP_TABLESPACES_MAX);
	start->tablespace_count = PQntuples(rows);
	start->tablespaces = calloc((size_t) start->tablespace_count, sizeof(*start->tablespaces));
	if (start->tablespaces == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < start->tablespace_count; i++)
		TRY(tablespace_parse(rows, i, &start->tablespaces[i], err));
	return true;
}

/* The next message of a COPY OUT; *size is -1 at its end. The caller frees *message with PQfreemem(). */
static bool copy_receive(struct server *server, char **message, int *size, struct error *err)
{
	int64_t deadline = deadline_in(IDLE_TIMEOUT_MS);
	bool has_looked = false; /* for what has come: mostly it is there, and poll() need not say so */

	for (;;) {
		*size = PQgetCopyData(server->connection, message, 1);
		if (*size == -2)
			return fail_result(server, NULL, err, backing_up);
		if (*size != 0)
			return true;
		if (has_looked)
			TRY(server_wait(server, deadline, IDLE_TIMEOUT_MS, backing_up, err));
		else if (PQconsumeInput(server->connection) == 0)
			return fail_result(server, NULL, err, backing_up);
		has_looked = true;
	}
}

static bool copy_begin(struct server *server, struct error *err)
{
	PGresult *result RESULT_CLEANUP = NULL;

	return server_expect(server, IDLE_TIMEOUT_MS, PGRES_COPY_OUT, 0, backing_up, &result, err);
}

/* One whole COPY OUT, every message to `take`. */
typedef bool (*copy_take)(void *context, struct bytes message, struct error *err);

static bool copy_each(struct server *server, copy_take take, void *context, struct error *err)
{
	TRY(copy_begin(server, err));
	for (;;) {
		char *message = NULL;
		int size;

		TRY(copy_receive(server, &message, &size, err));
		if (size < 0)
			return true;
		bool taken = take(context, bytes_of(message, (size_t) size), err);
		PQfreemem(message);
		TRY(taken);
	}
}

static bool files_receive(struct server *server, const struct base_backup_start *start,
			  const struct base_backup_visitor *visitor, struct error *err)
{
	struct base_backup_copy copy = {.visitor = visitor, .start = start};

	if (server->version >= BASE_BACKUP_MESSAGES_SINCE)
		return copy_each(server, base_backup_message, &copy, err);
	for (int i = 0; i < start->tablespace_count; i++) {
		TRY(visitor->archive(visitor->context, &start->tablespaces[i], err));
		TRY(copy_each(server, base_backup_content, &copy, err));
	}
	TRY(visitor->manifest(visitor->context, err));
	return copy_each(server, base_backup_content, &copy, err);
}

/* Why lz4 on the server's side makes it faster; NULL where it does not. What it saves is encryption, or the network;
 * within one host it saves copies only, and takes more of the server than it saves there
 * (docs/decisions/0015-compressed-by-the-server.md). A rate is counted behind the compression (SendBaseBackup(),
 * basebackup.c): the server would read several times as much as it is allowed. */
static const char *compression_reason(const struct server *server, const struct base_backup_request *request)
{
	if (request->rate_max > 0 || server->version < BASE_BACKUP_MESSAGES_SINCE)
		return NULL;
	if (PQsslInUse(server->connection) || PQgssEncInUse(server->connection))
		return "the connection is encrypted";
	return connection_is_within_host(server->connection) ? NULL : "the connection passes a network";
}

/* Asks for the backup, and waits for the first answer: where it starts, or an error. */
static bool position_receive(struct server *server, const struct base_backup_request *request, bool is_compressed,
			     PGresult **position, struct error *err)
{
	const char *text;
	BUF(command, 8 * KiB);

	TRY(base_backup_command(server->version, request, is_compressed, &command, err));
	TRY(buf_text(&command, &text, err));
	TRY(server_send(server, text, backing_up, err));
	return server_result(server, request->start_wait_ms, backing_up, position, err);
}

/* A server that was built without lz4 says so before it begins, and takes the next command: 0A000 (basebackup_lz4.c of
 * 15), or 42601 from where options are read (parse_compress_specification() of compression.c). */
static bool result_refuses_compression(const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return PQresultStatus(result) == PGRES_FATAL_ERROR && sqlstate != NULL &&
	       (strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "42601") == 0);
}

/* When the server cannot compress, *start says so and nothing is under way. */
static bool start_compressed(struct server *server, const struct base_backup_request *request, const char *reason,
			     struct base_backup_start *start, struct error *err)
{
	PGresult *position RESULT_CLEANUP = NULL;

	TRY(position_receive(server, request, true, &position, err));
	if (!result_refuses_compression(position)) {
		log_info("the server compresses the stream with lz4: %s", reason);
		start->is_compressed = true;
		return start_receive(server, position, start, err);
	}
	log_info("the server cannot compress the stream with lz4: %s",
		 PQresultErrorField(position, PG_DIAG_MESSAGE_PRIMARY));
	return server_drain(server, backing_up, err);
}

static bool start_plain(struct server *server, const struct base_backup_request *request,
			struct base_backup_start *start, struct error *err)
{
	PGresult *position RESULT_CLEANUP = NULL;

	TRY(position_receive(server, request, false, &position, err));
	return start_receive(server, position, start, err);
}

bool server_base_backup(struct server *server, const struct base_backup_request *request,
			const struct base_backup_visitor *visitor, struct base_backup_end *end, struct error *err)
{
	struct base_backup_start start START_CLEANUP = {0};
	PGresult *position RESULT_CLEANUP = NULL;
	const char *reason = compression_reason(server, request);

	if (reason != NULL)
		TRY(start_compressed(server, request, reason, &start, err));
	if (!start.is_compressed)
		TRY(start_plain(server, request, &start, err));
	TRY(visitor->begin(visitor->context, &start, err));
	TRY(files_receive(server, &start, visitor, err));
	TRY(server_expect(server, IDLE_TIMEOUT_MS, PGRES_TUPLES_OK, 2, backing_up, &position, err));
	TRY(position_parse(position, &end->lsn, &end->timeline, err));
	return server_drain(server, backing_up, err);
}
