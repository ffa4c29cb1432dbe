/* What libpq says when it cannot connect becomes one line, and the SQLSTATE is found in any language. */

#include "pg/server_message.h"

#include "tap.h"

struct sample {
	const char *text, *line, *sqlstate;
};

static const struct sample samples[] = {
	{"connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: FATAL:  28000: no pg_hba.conf entry for "
	 "replication "
	 "connection\nLOCATION:  ClientAuthentication, auth.c:540\n",
	 "connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: FATAL:  no pg_hba.conf entry for replication "
	 "connection",
	 "28000"},
	{"connection failed: No such file or directory\n\tIs the server running locally?\n",
	 "connection failed: No such file or directory; Is the server running locally?", ""},
	{"a failed: FATAL:  57P03: starting\nb failed: FATAL:  28P01: password\n",
	 "a failed: FATAL:  starting; b failed: FATAL:  password", "28P01"},
	{"x: FATAL:  28P01: le mot de passe est faux\nDETAIL:  peut-être\n",
	 "x: FATAL:  le mot de passe est faux; DETAIL:  peut-être", "28P01"},
	{"x: FATAL:  no code here", "x: FATAL:  no code here", ""},
	{"x:  ABCD: too short", "x:  ABCD: too short", ""},
	{"x:  ABCDE", "x:  ABCDE", ""},
	{"\n\n  \n", "", ""},
	{"", "", ""},
};

int main(void)
{
	char line[400];
	char small[8];
	char sqlstate[SQLSTATE_SIZE];

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		server_message_join(samples[i].text, line, sizeof(line));
		server_message_take_sqlstate(line, sqlstate);
		is_text(line, samples[i].line, "the line");
		is_text(sqlstate, samples[i].sqlstate, "its SQLSTATE");
	}
	server_message_join("0123456789\nabc", small, sizeof(small));
	ok(strlen(small) == sizeof(small) - 1, "what does not fit is cut off");
	return done_testing();
}
