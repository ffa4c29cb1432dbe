#include "report_reached.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "config/options.h"

/* " -h DIR -p PORT" as words for a shell; the port only where psql does not take it by itself. */
static bool connection_append(const struct reached *reached, struct buf *words, struct error *err)
{
	TRY(buf_append_text(words, " -h ", err));
	TRY(shell_quote(words, reached->server.host, err));
	return strcmp(reached->server.port, "5432") == 0 ? true
							 : buf_format(words, err, " -p %s", reached->server.port);
}

static bool next_print(const struct launch *launch, const struct reached *reached, FILE *stream, struct error *err)
{
	const char *connection, *pgdata;
	BUF(words, 64 * KiB);
	BUF(place, 64 * KiB);

	TRY(shell_quote(&place, launch->pgdata, err));
	TRY(buf_text(&place, &pgdata, err));
	TRY(connection_append(reached, &words, err));
	TRY(buf_text(&words, &connection, err));
	if (reached->state != REACHED_SHUT_DOWN)
		(void) fprintf(stream, "Look at it:\n    psql%s postgres\n", connection);
	if (reached->state == REACHED_PAUSED)
		(void) fprintf(stream,
			       "If it is the right point, this makes it an ordinary server:\n"
			       "    psql%s postgres -c 'SELECT pg_wal_replay_resume()'\n",
			       connection);
	if (reached->state != REACHED_PROMOTED)
		(void) fprintf(stream,
			       "If a later one is wanted, this goes on to it; for an earlier one, restore again:\n"
			       "    pitr-restore --step '+5 min' -D %s\n",
			       pgdata);
	if (reached->state != REACHED_SHUT_DOWN)
		(void) fprintf(stream, "%s until it is stopped, and started as usual.\n",
			       launch->port[0] == '\0' ? "It is reached only through that socket, and its log is there,"
						       : "Its log is there");
	return true;
}

bool report_reached(const struct launch *launch, const struct reached *reached, const struct verdict *verdict,
		    FILE *stream, struct error *err)
{
	char lsn[LSN_TEXT_SIZE], local[CLOCK_TEXT_SIZE], utc[CLOCK_TEXT_SIZE];

	lsn_format(reached->lsn, lsn);
	(void) fprintf(stream, "Reached:      %s at LSN %s on timeline %" PRIu32 "%s\n",
		       reached_state_name(reached->state), lsn, reached->timeline,
		       verdict->count == 0 ? ", as planned" : "");
	for (int i = 0; i < verdict->count; i++)
		(void) fprintf(stream, "not planned:  %s\n", verdict->differences[i]);
	if (reached->last_time_us != 0) {
		time_format_local(reached->last_time_us, local);
		time_format_utc(reached->last_time_us, utc);
		(void) fprintf(stream, "replayed to:  %s (%s), the time of the last commit or rollback\n", local, utc);
	}
	if (reached->halt.kind != HALT_NONE)
		(void) fprintf(stream, "server says:  %s\n", reached->halt.sentence);
	(void) fprintf(stream, "server log:   %s\n", launch->log);
	TRY(next_print(launch, reached, stream, err));
	(void) fflush(stream);
	return true;
}

static bool encode_server(const struct launch *launch, const struct reached *reached, json_t *json, struct error *err)
{
	json_t *member = json_object();

	TRY(json_put(json, "server", member, err));
	TRY(json_put(member, "bin", json_string(launch->bin), err));
	TRY(json_put(member, "log", json_string(launch->log), err));
	if (reached->server.pid == 0)
		return true;
	TRY(json_put(member, "pid", json_integer(reached->server.pid), err));
	TRY(json_put(member, "host", json_string(reached->server.host), err));
	return json_put(member, "port", json_string(reached->server.port), err);
}

static bool encode_differences(const struct verdict *verdict, json_t *json, struct error *err)
{
	json_t *array = json_array();

	TRY(json_put(json, "differences", array, err));
	for (int i = 0; i < verdict->count; i++)
		TRY(json_add(array, json_string(verdict->differences[i]), err));
	return true;
}

bool report_reached_encode(const struct launch *launch, const struct reached *reached, const struct verdict *verdict,
			   json_t *json, struct error *err)
{
	json_t *member = json_object();
	char text[CLOCK_TEXT_SIZE];

	TRY(encode_server(launch, reached, json, err));
	TRY(json_put(json, "reached", member, err));
	TRY(json_put(member, "state", json_string(reached_state_name(reached->state)), err));
	TRY(lsn_put(member, "lsn", reached->lsn, err));
	TRY(json_put(member, "timeline", json_integer(reached->timeline), err));
	time_format_utc(reached->last_time_us, text);
	TRY(json_put(member, "last_transaction", reached->last_time_us != 0 ? json_string(text) : json_null(), err));
	TRY(json_put(member, "server_says",
		     reached->halt.kind != HALT_NONE ? json_string(reached->halt.sentence) : json_null(), err));
	TRY(json_put(member, "replay_ms", json_integer(reached->replay_ms), err));
	TRY(json_put(member, "as_planned", json_boolean(verdict->count == 0), err));
	return encode_differences(verdict, member, err);
}
