#include "recovery/launch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "recovery/installation.h"
#include "recovery/server_log.h"

#define PRIVATE_PORT	"5432"	/* nobody else is in that directory, and psql asks for it by itself */
#define PRIVATE_SOCKETS "pitr." /* begins the name of a directory for sockets alone */
#define HBA_FILE	"pg_hba.conf"
#define IDENT_FILE	"pg_ident.conf"
#define SOCKET_NAME	"/.s.PGSQL.65535"
#define SOCKET_PATH_MAX 107 /* sockaddr_un of Linux, without its zero */
#define SETTINGS_MAX	32
#define STOP_TIMEOUT_S	"3600" /* a fast shutdown writes what is dirty: with large buffers that takes its time */

static bool port_take(const char *text, char port[8], struct error *err)
{
	char *end;

	if (text == NULL)
		return true;
	unsigned long number = isdigit((unsigned char) *text) ? strtoul(text, &end, 10) : 0;
	if (number == 0 || number > UINT16_MAX || *end != '\0')
		return fail(err, ERROR_USAGE, "--port: \"%s\" is not a number from 1 to 65535", text);
	(void) snprintf(port, 8, "%lu", number);
	return true;
}

/* The server changes its directory. */
static bool path_make_absolute(const char *text, char path[PATH_MAX], struct error *err)
{
	char here[PATH_MAX];

	if (*text == '/')
		return path_join(path, "/", text + 1, err);
	if (getcwd(here, sizeof(here)) == NULL)
		return fail_errno(err, "could not tell the working directory");
	return path_join(path, here, text, err);
}

bool launch_plan(const struct options *options, int64_t server_version, struct launch *launch, struct error *err)
{
	char bin[PATH_MAX];

	*launch = (struct launch){.port = ""};
	TRY(port_take(options->port, launch->port, err));
	if (options->server_config != NULL)
		TRY(path_make_absolute(options->server_config, launch->config_file, err));
	TRY(installation_find(options->pg_bin, server_version, bin, err));
	return path_make_absolute(bin, launch->bin, err);
}

bool launch_place(struct launch *launch, const char *pgdata, struct error *err)
{
	(void) snprintf(launch->pgdata, sizeof(launch->pgdata), "%s", pgdata);
	return path_join(launch->log, launch->pgdata, LAUNCH_DIRECTORY "/server.log", err);
}

bool launch_check(const struct launch *launch, struct error *err)
{
	const char *given = launch->config_file;
	char path[PATH_MAX];
	bool exists;

	if (*given == '\0')
		TRY(path_join(path, launch->pgdata, "postgresql.conf", err));
	TRY(fs_exists(*given != '\0' ? given : path, &exists, err));
	if (exists)
		return true;
	if (*given != '\0')
		return fail(err, ERROR_USAGE, "--config-file: there is no \"%s\"", given);
	(void) fail(err, ERROR_USAGE, "there is no postgresql.conf in \"%s\": the server's was elsewhere",
		    launch->pgdata);
	return fail_hint(err,
			 "Give one with --config-file, such as /etc/postgresql/15/main/postgresql.conf, or the one "
			 "that --included-to wrote.");
}

/* ---------------------------------------------------------------------------------------------- its settings */

struct settings {
	int count;
	const char *arguments[2 * SETTINGS_MAX + 4];
	char *owned[SETTINGS_MAX];
	int owned_count;
};

static void settings_release(struct settings *settings)
{
	for (int i = 0; i < settings->owned_count; i++)
		free(settings->owned[i]);
}

#define SETTINGS_CLEANUP __attribute__((cleanup(settings_release)))

static bool setting_add(struct settings *settings, const char *name, const char *value, struct error *err)
{
	char *text;

	if (settings->owned_count == SETTINGS_MAX || asprintf(&text, "%s=%s", name, value) < 0)
		return fail(err, ERROR_SYSTEM, "out of memory");
	settings->owned[settings->owned_count++] = text;
	settings->arguments[settings->count++] = "-c";
	settings->arguments[settings->count++] = text;
	return true;
}

/* What follow.h reads, and what must not be shared with the server whose configuration it is. */
static bool settings_common(const struct launch *launch, struct settings *settings, struct error *err)
{
	static const char *const fixed[][2] = {
		{"logging_collector", "off"},
		{"log_destination", "stderr"},
		{"log_line_prefix", SERVER_LOG_PREFIX},
		{"log_min_messages", "warning"},
		{"log_error_verbosity", "default"},
		{"lc_messages", "C"},
		{"external_pid_file", LAUNCH_DIRECTORY "/external.pid"}, /* an empty one is an error in its log */
	};

	TRY(setting_add(settings, "data_directory", launch->pgdata, err));
	if (launch->config_file[0] != '\0')
		TRY(setting_add(settings, "config_file", launch->config_file, err));
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		TRY(setting_add(settings, fixed[i][0], fixed[i][1], err));
	return true;
}

/* Its certificates may be elsewhere, and nobody needs them. A list of directories takes quotes (guc.c). */
static bool settings_private(const struct launch *launch, struct settings *settings, struct error *err)
{
	char path[PATH_MAX], quoted[PATH_MAX + 2];

	TRY(setting_add(settings, "listen_addresses", "", err));
	(void) snprintf(quoted, sizeof(quoted), "\"%s\"", launch->sockets);
	TRY(setting_add(settings, "unix_socket_directories", quoted, err));
	TRY(setting_add(settings, "unix_socket_permissions", "0700", err));
	TRY(setting_add(settings, "unix_socket_group", "", err));
	TRY(setting_add(settings, "port", PRIVATE_PORT, err));
	TRY(setting_add(settings, "ssl", "off", err));
	TRY(path_join(path, launch->pgdata, LAUNCH_DIRECTORY "/" HBA_FILE, err));
	return setting_add(settings, "hba_file", path, err);
}

/* A file beside the given postgresql.conf belongs to it, wherever it says that it lay on the source. */
static bool setting_beside(const struct launch *launch, const char *name, const char *file, struct settings *settings,
			   struct error *err)
{
	char directory[PATH_MAX], path[PATH_MAX];
	bool exists;

	if (launch->config_file[0] == '\0')
		return true;
	(void) snprintf(directory, sizeof(directory), "%s", launch->config_file);
	*strrchr(directory, '/') = '\0';
	TRY(path_join(path, directory, file, err));
	TRY(fs_exists(path, &exists, err));
	return exists ? setting_add(settings, name, path, err) : true;
}

static bool settings_make(const struct launch *launch, struct settings *settings, struct error *err)
{
	settings->arguments[settings->count++] = "postgres";
	settings->arguments[settings->count++] = "-D";
	settings->arguments[settings->count++] = launch->pgdata;
	TRY(settings_common(launch, settings, err));
	if (launch->port[0] == '\0')
		return settings_private(launch, settings, err);
	TRY(setting_add(settings, "port", launch->port, err));
	TRY(setting_beside(launch, "hba_file", HBA_FILE, settings, err));
	return setting_beside(launch, "ident_file", IDENT_FILE, settings, err);
}

/* ------------------------------------------------------------------------------------------- start and stop */

/* Below the data directory, unless that path is too long for a socket. */
static bool sockets_make(struct launch *launch, const char *directory, struct error *err)
{
	const char *temporary = getenv("TMPDIR");

	if (strlen(directory) + strlen(SOCKET_NAME) <= SOCKET_PATH_MAX) {
		(void) snprintf(launch->sockets, sizeof(launch->sockets), "%s", directory);
		return true;
	}
	if (temporary == NULL || *temporary != '/' ||
	    strlen(temporary) + strlen("/" PRIVATE_SOCKETS "XXXXXX" SOCKET_NAME) > SOCKET_PATH_MAX)
		temporary = "/tmp";
	TRY(path_join(launch->sockets, temporary, PRIVATE_SOCKETS "XXXXXX", err));
	return mkdtemp(launch->sockets) != NULL ? true
						: fail_errno(err, "could not make a directory \"%s\"", launch->sockets);
}

static bool launch_prepare(struct launch *launch, struct error *err)
{
	static const char rules[] =
		"# Written by pitr-restore: only the owner of this directory reaches the socket in it.\n"
		"local all all trust\n"
		"local replication all trust\n";
	char directory[PATH_MAX], path[PATH_MAX];

	TRY(path_join(directory, launch->pgdata, LAUNCH_DIRECTORY, err));
	TRY(fs_make_directories(launch->pgdata, LAUNCH_DIRECTORY, err));
	if (launch->port[0] != '\0')
		return true;
	TRY(sockets_make(launch, directory, err));
	TRY(path_join(path, directory, HBA_FILE, err));
	return fs_replace_file(path, 0600, bytes_of_text(rules), err);
}

bool launch_start(struct launch *launch, pid_t *pid, struct error *err)
{
	struct settings settings SETTINGS_CLEANUP = {.count = 0};
	char program[PATH_MAX];
	struct process server = {
		.program = program, .arguments = settings.arguments, .directory = launch->pgdata, .log = launch->log};

	TRY(launch_check(launch, err));
	TRY(launch_prepare(launch, err));
	TRY(settings_make(launch, &settings, err));
	TRY(path_join(program, launch->bin, "postgres", err));
	return process_start(&server, pid, err);
}

/* An empty directory of that name, outside of the data directory. */
static void sockets_remove(const struct launch *launch, const char *directory)
{
	const char *name = strrchr(directory, '/');

	if (name != NULL && strncmp(name + 1, PRIVATE_SOCKETS, strlen(PRIVATE_SOCKETS)) == 0 &&
	    strncmp(directory, launch->pgdata, strlen(launch->pgdata)) != 0)
		(void) rmdir(directory);
}

bool launch_stop(const struct launch *launch, const struct postmaster *running, struct error *err)
{
	const char *const arguments[] = {"pg_ctl", "stop",	   "-s", "-w",		 "-m", "fast",
					 "-t",	   STOP_TIMEOUT_S, "-D", launch->pgdata, NULL};
	char program[PATH_MAX];
	struct process stopping = {.program = program, .arguments = arguments};
	int status;

	TRY(path_join(program, launch->bin, "pg_ctl", err));
	TRY(process_run(&stopping, &status, err));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail(err, ERROR_SYSTEM, "could not stop the server in \"%s\" (process %d)", launch->pgdata,
			    (int) running->pid);
	sockets_remove(launch, running->host);
	return true;
}
