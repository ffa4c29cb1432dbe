#include "recovery/trial.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "recovery/recovery_conf.h"

#define TRIAL_PATH "pg_wal/RECOVERYXLOG" /* what PostgreSQL gives as %p (xlogarchive.c) */

/* What systemd gives to a service with User= (systemd.exec(5)), and what is set in most of their files. */
static const char *const basics[] = {"PATH=", "HOME=", "LANG=", "LC_ALL=", "USER=", "LOGNAME=", "TZ="};

/* What the programs and their libraries are known to read. */
static const char *const telling[] = {"AWS_",	     "PITR_",	     "LD_",	     "SSL_CERT_",
				      "http_proxy=", "https_proxy=", "HTTPS_PROXY=", "all_proxy=",
				      "ALL_PROXY=",  "no_proxy=",    "NO_PROXY="};

#define BASICS_COUNT  (sizeof(basics) / sizeof(basics[0]))
#define TELLING_COUNT (sizeof(telling) / sizeof(telling[0]))

struct trial {
	const char *pgdata;
	const char *command; /* expanded */
	char path[PATH_MAX];
	uint64_t size;
};

static bool variable_is_among(const char *variable, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void environment_reduce(char *reduced[BASICS_COUNT + 1])
{
	size_t count = 0;

	for (char **variable = environ; *variable != NULL && count < BASICS_COUNT; variable++)
		if (variable_is_among(*variable, basics, BASICS_COUNT))
			reduced[count++] = *variable;
	reduced[count] = NULL;
}

/* What PostgreSQL makes of restore_command (BuildRestoreCommand, common/archive.c). */
static bool command_expand(const char *command, const char *name, struct buf *expanded, struct error *err)
{
	for (; *command != '\0'; command++) {
		if (*command != '%') {
			TRY(buf_append(expanded, bytes_of(command, 1), err));
			continue;
		}
		command++;
		TRY(buf_append_text(expanded, *command == 'f' ? name : *command == 'p' ? TRIAL_PATH : "%", err));
	}
	return true;
}

static bool shell_run(const struct trial *trial, char *const *environment, int *status, struct error *err)
{
	const char *const arguments[] = {"sh", "-c", trial->command, NULL};
	struct process shell = {
		.program = "/bin/sh", .arguments = arguments, .environment = environment, .directory = trial->pgdata};

	return process_run(&shell, status, err);
}

static bool trial_check(const struct trial *trial, int status, struct error *err)
{
	struct stat found;

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		(void) fail(err, ERROR_USAGE, "the restore_command for the server does not work: it ended with %s %d",
			    WIFEXITED(status) ? "exit status" : "signal",
			    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	else if (stat(trial->path, &found) != 0 || (uint64_t) found.st_size != trial->size)
		(void) fail(err, ERROR_USAGE, "the restore_command for the server does not bring the file");
	else
		return true;
	return fail_hint(err, "It was run in \"%.200s\" as: %.250s", trial->pgdata, trial->command);
}

static bool trial_run_with(const struct trial *trial, char *const *environment, struct error *err)
{
	struct error ignored;
	int status;

	(void) !fs_remove(trial->path, &ignored);
	bool works = shell_run(trial, environment, &status, err) && trial_check(trial, status, err);
	(void) !fs_remove(trial->path, &ignored);
	return works;
}

/* "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" */
static bool telling_list(struct buf *names, struct error *err)
{
	for (char **variable = environ; *variable != NULL && names->size < names->size_max / 2; variable++) {
		size_t size = strcspn(*variable, "=");

		if (!variable_is_among(*variable, telling, TELLING_COUNT) || size > names->size_max / 4)
			continue;
		TRY(buf_append_text(names, names->size > 0 ? ", " : "", err));
		TRY(buf_append(names, bytes_of(*variable, size), err));
	}
	return true;
}

static bool environment_warn(struct error *err)
{
	BUF(names, 1000);
	const char *text = "";

	TRY(telling_list(&names, err));
	if (names.size > 0)
		TRY(buf_text(&names, &text, err));
	log_warning("the restore_command works only with variables of this environment, which a server that is started "
		    "as a service does not have%s%s",
		    *text != '\0' ? ": " : "", text);
	log_hint("Put them into the server's environment (Environment= of its systemd unit; on Debian "
		 "/etc/postgresql/VERSION/CLUSTER/environment), AWS keys rather into ~/.aws/credentials of the "
		 "server's user; or start the server from this environment.");
	return true;
}

bool trial_run(const char *pgdata, const char *command, const char *name, uint64_t size, struct error *err)
{
	struct trial trial = {.pgdata = pgdata, .size = size};
	char *reduced[BASICS_COUNT + 1];
	BUF(expanded, RECOVERY_COMMAND_MAX);

	TRY(command_expand(command, name, &expanded, err));
	TRY(buf_text(&expanded, &trial.command, err));
	TRY(path_join(trial.path, pgdata, TRIAL_PATH, err));
	environment_reduce(reduced);
	return trial_run_with(&trial, reduced, err) || (trial_run_with(&trial, environ, err) && environment_warn(err));
}
