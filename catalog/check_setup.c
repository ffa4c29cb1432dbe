#include <stdio.h>
#include <string.h>

#include "base/exit.h"
#include "check.h"

#define TIMEOUT_USUAL_S 60

/* What the server is asked; by whom. */
struct setup {
	const struct options *options;
	struct server_settings settings;
	int64_t archive_timeout_s;
	char role[256];	    /* as SQL writes it */
	char client[64];    /* this host's address, as the server sees it; "": a Unix socket */
	char command[1024]; /* archive_command; "": empty, or not to be read */
	bool can_replicate; /* superuser or REPLICATION */
	bool can_read;	    /* settings that not everybody may read */
	int max_wal_senders;
	bool needs_restart;
	int missing;
};

static const char setup_query[] = "SELECT pg_catalog.concat_ws(E'\\n', (rolsuper OR rolreplication)::int || ' ' || "
				  "pg_catalog.pg_has_role(oid, 'pg_read_all_settings', 'USAGE')::int || ' ' || "
				  "pg_catalog.current_setting('max_wal_senders'), pg_catalog.quote_ident(rolname), "
				  "COALESCE(pg_catalog.host(pg_catalog.inet_client_addr()), '')) "
				  "FROM pg_catalog.pg_roles WHERE rolname = current_user";

static bool setup_parse(const char *text, struct setup *setup, struct error *err)
{
	int can_replicate, can_read;

	setup->client[0] = '\0';
	if (sscanf(text, "%d %d %d\n%255[^\n]\n%63s", &can_replicate, &can_read, &setup->max_wal_senders, setup->role,
		   setup->client) < 4)
		return fail(err, ERROR_CORRUPT, "the server's answer \"%.200s\" is not understood", text);
	setup->can_replicate = can_replicate != 0;
	setup->can_read = can_read != 0;
	return true;
}

static bool setup_ask(struct server *server, struct setup *setup, struct error *err)
{
	const char *text;
	BUF(answer, 4 * KiB);

	TRY(server_read_settings(server, &setup->settings, err));
	TRY(check_archive_timeout(server, &setup->archive_timeout_s, err));
	TRY(server_read_setting(server, "archive_command", setup->command, sizeof(setup->command), err));
	TRY(server_query(server, setup_query, 0, NULL, &answer, err));
	TRY(buf_text(&answer, &text, err));
	return setup_parse(text, setup, err);
}

/* ---------------------------------------------------------------------------------------------------- settings */

static void set_print(struct setup *setup, const char *name, const char *value, bool needs_restart)
{
	setup->missing++;
	setup->needs_restart = setup->needs_restart || needs_restart;
	(void) printf("ALTER SYSTEM SET %s = '", name);
	for (; *value != '\0'; value++)
		(void) printf(*value == '\'' ? "''" : "%c", *value);
	(void) printf("';\n");
}

/* As archive_command runs it: with the settings that this program was given. A % in them stands for itself. */
static bool command_print(struct setup *setup, struct error *err)
{
	const char *settings;
	char command[8 * KiB];
	size_t length;
	BUF(text, 4 * KiB);

	TRY(options_format_settings(setup->options, PITR_ARCHIVE, &text, err));
	TRY(buf_text(&text, &settings, err));
	length = (size_t) snprintf(command, sizeof(command), "pitr-archive");
	for (; *settings != '\0' && length + 8 < sizeof(command); settings++) {
		command[length++] = *settings;
		if (*settings == '%')
			command[length++] = '%';
	}
	(void) snprintf(command + length, sizeof(command) - length, " %%p");
	set_print(setup, "archive_command", command, false);
	return true;
}

static void timeout_print(struct setup *setup)
{
	int64_t rpo_s = setup->options->rpo / 1000, wanted_s = TIMEOUT_USUAL_S;
	char value[32];

	if (rpo_s != 0 && rpo_s / 2 < wanted_s)
		wanted_s = rpo_s > 1 ? rpo_s / 2 : 1;
	if (setup->archive_timeout_s != 0 && (rpo_s == 0 || setup->archive_timeout_s < rpo_s))
		return;
	(void) snprintf(value, sizeof(value), "%llds", (long long) wanted_s);
	set_print(setup, "archive_timeout", value, false);
}

static bool settings_print(struct setup *setup, struct error *err)
{
	const struct server_settings *settings = &setup->settings;

	if (setup->max_wal_senders == 0)
		set_print(setup, "max_wal_senders", "10", true);
	if (settings->in_recovery) {
		(void) printf("-- A standby: wal_level and what archives are set on the primary.\n");
		return true;
	}
	if (strcmp(settings->wal_level, "minimal") == 0)
		set_print(setup, "wal_level", "replica", true);
	if (!settings->is_archiving)
		set_print(setup, "archive_mode", "on", true);
	if (!settings->has_archive_command)
		TRY(command_print(setup, err));
	else if (setup->command[0] != '\0' && strcmp(setup->command, "(disabled)") != 0 &&
		 strstr(setup->command, "pitr-archive") == NULL)
		(void) printf("-- archive_command is none of pitr: does it run pitr-archive?\n");
	timeout_print(setup);
	return true;
}

/* --------------------------------------------------------------------------------------------------- the role */

static void role_print(struct setup *setup)
{
	if (!setup->can_replicate) {
		setup->missing++;
		(void) printf("ALTER ROLE %s REPLICATION;\n", setup->role);
	}
	if (!setup->can_read) {
		setup->missing++;
		(void) printf("GRANT pg_read_all_settings TO %s; -- archive_command can be read by nobody else\n",
			      setup->role);
	}
}

/* Who is let in is known by trying: pg_hba.conf can be read by superusers alone. A role that is turned away for
 * something else has passed it. */
static void pg_hba_print(struct setup *setup, const struct server_address *address)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct error err = {0};
	bool needs_password;

	if (server_open(address, SERVER_REPLICATION, &server, &needs_password, &err))
		return;
	if (strstr(err.text, "pg_hba.conf") == NULL) {
		if (setup->can_replicate && setup->max_wal_senders > 0)
			(void) printf("-- Not seen: whether \"replication\" is let in: %s\n", err.text);
		return;
	}
	setup->missing++;
	(void) printf("\n# pg_hba.conf, before its other lines; then SELECT pg_reload_conf()\n");
	if (setup->client[0] == '\0')
		(void) printf("local  replication  %s  peer\n", setup->role);
	else
		(void) printf("host  replication  %s  %s/%d  scram-sha-256\n", setup->role, setup->client,
			      strchr(setup->client, ':') != NULL ? 128 : 32);
}

static bool setup_run(struct setup *setup, struct error *err)
{
	struct check_way way CHECK_WAY_CLEANUP = {.password = ""};
	struct server *server SERVER_CLEANUP = NULL;

	TRY(check_way_find(setup->options, setup->options->pgdata, &way, err));
	TRY(check_connect(setup->options, &way, &server, err));
	TRY(setup_ask(server, setup, err));
	TRY(settings_print(setup, err));
	role_print(setup);
	if (setup->missing > 0)
		(void) printf("%s\n",
			      setup->needs_restart ? "-- Then restart the server." : "SELECT pg_reload_conf();");
	pg_hba_print(setup, &way.address);
	if (setup->missing == 0)
		(void) printf("-- Nothing is missing.\n");
	return true;
}

int check_setup(const struct options *options)
{
	struct setup setup = {.options = options};
	struct error err = {0};

	if (!setup_run(&setup, &err))
		return exit_with(&err, FOR_CHECK);
	return setup.missing == 0 ? CHECK_OK : CHECK_WARNING;
}
