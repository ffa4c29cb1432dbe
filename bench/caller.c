/* Calls archive_command and restore_command as PostgreSQL does:
 *
 *   caller archive PGDATA COMMAND           each .ready of pg_wal/archive_status in order, renamed to .done afterwards
 *   caller restore PGDATA COMMAND <NAMES    each name of stdin into pg_wal/RECOVERYXLOG, renamed to its name afterwards
 *   caller repeat COUNT COMMAND             COUNT times in turn with /bin/true; prints both medians in milliseconds
 *
 * by `sh -c` in PGDATA with %p and %f replaced: src/backend/postmaster/pgarch.c and access/transam/xlogarchive.c of
 * PostgreSQL 15. Stops at the first command that fails. Nothing is done between two calls. While it restores, this
 * process is the one that postmaster.pid of PGDATA names.
 */
#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_SIZE 8192
#define NAME_SIZE    64

extern char **environ;

static void die(const char *what, const char *name)
{
	fprintf(stderr, "caller: error: could not %s \"%s\": %s\n", what, name, strerror(errno));
	exit(2);
}

static double now_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		die("read", "the clock");
	return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static void shell_run(const char *command)
{
	char shell[] = "sh";
	char option[] = "-c";
	char text[COMMAND_SIZE];
	char *arguments[] = {shell, option, text, NULL};
	pid_t pid;
	int status = 0;

	snprintf(text, sizeof(text), "%s", command);
	errno = posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ);
	if (errno != 0 || waitpid(pid, &status, 0) != pid)
		die("run", command);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "caller: error: wait status %d of: %s\n", status, command);
		exit(1);
	}
}

/* %p and %f of one file. */
static void command_format(const char *pattern, const char *path, const char *name, char command[COMMAND_SIZE])
{
	size_t size = 0;

	for (const char *c = pattern; *c != '\0' && size < COMMAND_SIZE - 1; c++) {
		const char *text = strncmp(c, "%p", 2) == 0 ? path : strncmp(c, "%f", 2) == 0 ? name : NULL;
		if (text == NULL) {
			command[size++] = *c;
			continue;
		}
		size += (size_t) snprintf(command + size, COMMAND_SIZE - size, "%s", text);
		c++;
	}
	command[size < COMMAND_SIZE ? size : COMMAND_SIZE - 1] = '\0';
}

static int names_select(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 6 && size < NAME_SIZE && strcmp(entry->d_name + size - 6, ".ready") == 0;
}

static void archive_all(const char *command)
{
	struct dirent **entries;
	char name[NAME_SIZE];
	char path[128];
	char ready[128];
	char done[128];
	char text[COMMAND_SIZE];
	int count = scandir("pg_wal/archive_status", &entries, names_select, alphasort);

	if (count < 0)
		die("read", "pg_wal/archive_status");
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%.*s", (int) strlen(entries[i]->d_name) - 6, entries[i]->d_name);
		snprintf(path, sizeof(path), "pg_wal/%s", name);
		snprintf(ready, sizeof(ready), "pg_wal/archive_status/%s.ready", name);
		snprintf(done, sizeof(done), "pg_wal/archive_status/%s.done", name);
		command_format(command, path, name, text);
		shell_run(text);
		if (rename(ready, done) != 0)
			die("rename", ready);
		free(entries[i]);
	}
	free(entries);
}

static void postmaster_pretend(void)
{
	FILE *file = fopen("postmaster.pid", "w");
	char directory[4096];

	if (file == NULL || getcwd(directory, sizeof(directory)) == NULL)
		die("create", "postmaster.pid");
	fprintf(file, "%ld\n%s\n%ld\n5432\n%s\n\n  0 0\nstarting\n", (long) getpid(), directory, (long) time(NULL),
		directory);
	if (fclose(file) != 0)
		die("write", "postmaster.pid");
}

static void restore_all(const char *command)
{
	char name[NAME_SIZE];
	char path[128];
	char text[COMMAND_SIZE];

	postmaster_pretend();
	while (scanf("%63s", name) == 1) {
		command_format(command, "pg_wal/RECOVERYXLOG", name, text);
		shell_run(text);
		snprintf(path, sizeof(path), "pg_wal/%s", name);
		if (rename("pg_wal/RECOVERYXLOG", path) != 0)
			die("rename to", path);
	}
}

static int times_compare(const void *left, const void *right)
{
	double l = *(const double *) left;
	double r = *(const double *) right;

	return (l > r) - (l < r);
}

static double shell_time_ms(const char *command)
{
	double began_ms = now_ms();

	shell_run(command);
	return now_ms() - began_ms;
}

static void repeat(size_t count, const char *command)
{
	double *times = calloc(count * 2, sizeof(*times));

	if (times == NULL || count == 0)
		die("allocate for", "the times");
	for (size_t i = 0; i < count; i++) {
		times[i] = shell_time_ms(command);
		times[count + i] = shell_time_ms("/bin/true");
	}
	qsort(times, count, sizeof(*times), times_compare);
	qsort(times + count, count, sizeof(*times), times_compare);
	printf("command_ms=%.3f true_ms=%.3f\n", times[count / 2], times[count + count / 2]);
	free(times);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: caller archive|restore PGDATA COMMAND, or caller repeat COUNT COMMAND\n");
		return 2;
	}
	if (strcmp(argv[1], "repeat") == 0) {
		repeat(strtoul(argv[2], NULL, 10), argv[3]);
		return 0;
	}
	if (chdir(argv[2]) != 0)
		die("change to", argv[2]);
	if (strcmp(argv[1], "archive") == 0)
		archive_all(argv[3]);
	else
		restore_all(argv[3]);
	return 0;
}
