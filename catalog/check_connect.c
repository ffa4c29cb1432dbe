#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "config/password.h"

bool check_way_find(const struct options *options, const char *pgdata, struct check_way *way, struct error *err)
{
	*way = (struct check_way){.address = {.conninfo = options->dbname,
					      .host = options->host,
					      .port = options->port,
					      .user = options->username,
					      .program = "pitr-check"}};
	if (pgdata == NULL)
		return true;
	TRY(postmaster_read(pgdata, &way->postmaster, err));
	if (way->postmaster.pid == 0)
		return true;
	if (options->host == NULL)
		way->address.host = way->postmaster.host;
	if (options->port == NULL)
		way->address.port = way->postmaster.port;
	return true;
}

void check_way_wipe(struct check_way *way)
{
	secret_wipe(way->password, sizeof(way->password));
}

bool check_connect(const struct options *options, struct check_way *way, struct server **server, struct error *err)
{
	bool needs_password = options->password;

	if (options->password && options->no_password)
		return fail(err, ERROR_USAGE, "--password and --no-password exclude each other");
	if (!needs_password && server_open(&way->address, SERVER_SQL, server, &needs_password, err))
		return true;
	if (!needs_password || options->no_password || isatty(STDIN_FILENO) != 1)
		return false;
	TRY(password_ask(way->password, sizeof(way->password), err));
	way->address.password = way->password;
	return server_open(&way->address, SERVER_SQL, server, &needs_password, err);
}

bool check_archive_timeout(struct server *server, int64_t *timeout_s, struct error *err)
{
	const char *text;
	BUF(answer, 64);

	TRY(server_query(server, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'archive_timeout'", 0, NULL,
			 &answer, err));
	TRY(buf_text(&answer, &text, err));
	*timeout_s = strtoll(text, NULL, 10);
	return true;
}
