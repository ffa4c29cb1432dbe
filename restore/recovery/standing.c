#include "recovery/standing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"

#define ANSWER_SIZE_MAX (4 * KiB)
#define PROGRAM_NAME	"pitr-restore"

/* Names that exist nearly everywhere. NULL: as libpq finds it. */
static const char *const users[] = {NULL, "postgres"};
static const char *const databases[] = {"postgres", "template1"};

static bool connect_as(const struct postmaster *postmaster, enum server_protocol protocol, const char *user,
		       const char *database, struct server **server, struct error *err)
{
	bool needs_password;
	struct server_address address = {.host = postmaster->host,
					 .port = postmaster->port,
					 .user = user,
					 .database = database,
					 .program = PROGRAM_NAME};

	return server_open(&address, protocol, server, &needs_password, err);
}

/* The first refusal is the one to be told about: it is of the user that was meant. */
static bool connect_any(const struct postmaster *postmaster, enum server_protocol protocol, struct server **server,
			struct error *err)
{
	struct error later = {0};

	for (size_t d = 0; d < sizeof(databases) / sizeof(databases[0]); d++) {
		for (size_t u = 0; u < sizeof(users) / sizeof(users[0]); u++) {
			struct error *reason = d + u == 0 ? err : &later;

			if (connect_as(postmaster, protocol, users[u], databases[d], server, reason)) {
				*err = (struct error){0};
				return true;
			}
			if (reason->kind == ERROR_UNREACHABLE) {
				*err = *reason;
				return false;
			}
		}
	}
	return false;
}

bool standing_connect(const struct postmaster *postmaster, struct server **server, struct error *err)
{
	return connect_any(postmaster, SERVER_SQL, server, err);
}

static bool standing_decode(struct bytes answer, struct standing *standing, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	const char *pause;

	TRY(json_decode(answer, "the server's answer", &json, err));
	TRY(json_get_text(json, "state", &pause, err));
	standing->in_recovery = strcmp(pause, "running") != 0;
	standing->is_paused = strcmp(pause, "paused") == 0;
	TRY(lsn_get(json, "lsn", &standing->lsn, err));
	return json_get_integer(json, "time_us", 0, INT64_MAX, &standing->last_time_us, err);
}

bool standing_read(struct server *server, int64_t server_version, struct standing *standing, struct error *err)
{
	/* 13 does not tell "about to be paused" from "paused". */
	const char *pause = server_version >= 140000
				    ? "pg_get_wal_replay_pause_state()"
				    : "CASE WHEN pg_is_wal_replay_paused() THEN 'paused' ELSE 'not paused' END";
	const char *statement;
	BUF(text, ANSWER_SIZE_MAX);
	BUF(answer, ANSWER_SIZE_MAX);

	TRY(buf_format(&text, err,
		       "SELECT json_build_object('state', CASE WHEN pg_is_in_recovery() THEN %s ELSE 'running' END, "
		       "'lsn', coalesce(pg_last_wal_replay_lsn(), '0/0'), 'time_us', "
		       "coalesce((extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint, 0))",
		       pause));
	TRY(buf_text(&text, &statement, err));
	TRY(server_query(server, statement, 0, NULL, &answer, err));
	return standing_decode(buf_bytes(&answer), standing, err);
}

/* Transactions are asked for with their epoch: it is that of the next one, or the one before. One that has not been
 * replayed lies "in the future", which is an error (TransactionIdInRecentPast() of xid8funcs.c), so it is not asked. */
bool standing_has_committed(struct server *server, uint32_t xid, bool *has_committed, struct error *err)
{
	static const char statement[] =
		"SELECT CASE WHEN low >= next % 4294967296 AND next < 4294967296 THEN 'unknown' ELSE pg_xact_status("
		"(next - next % 4294967296 + low - CASE WHEN low >= next % 4294967296 THEN 4294967296 ELSE 0 END)"
		"::text::xid8) END FROM (SELECT $1::numeric AS low, "
		"pg_snapshot_xmax(pg_current_snapshot())::text::numeric "
		"AS next) AS asked";
	char number[16];
	const char *parameters[] = {number};
	BUF(answer, ANSWER_SIZE_MAX);

	(void) snprintf(number, sizeof(number), "%" PRIu32, xid);
	TRY(server_query(server, statement, 1, parameters, &answer, err));
	*has_committed = bytes_equal(buf_bytes(&answer), bytes_of_text("committed"));
	return true;
}

/* Over SQL only the timeline of the last restartpoint can be seen; IDENTIFY_SYSTEM says which one is replayed
 * (IdentifySystem() of walsender.c). */
bool standing_timeline(const struct postmaster *postmaster, uint32_t *timeline)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct server_identity identity;
	struct error err = {0};

	if (connect_any(postmaster, SERVER_REPLICATION, &server, &err) && server_identify(server, &identity, &err)) {
		*timeline = identity.timeline;
		return true;
	}
	log_debug("the server's timeline cannot be asked: %s", err.text);
	return false;
}
