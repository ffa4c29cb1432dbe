/* Runs a command and prints what it cost, with everything it left behind:
 *
 *   measure [--server PID] [--linger SECONDS] [--output FILE] -- COMMAND [ARGUMENT]...
 *
 *   wall=SECONDS cpu=SECONDS server_cpu=SECONDS peak_kb=KILOBYTES status=STATUS
 *
 * to FILE or stderr. Workers that made themselves daemons are adopted, waited for and counted: wall is until the
 * command itself ended, cpu is user and system time of all. What still runs SECONDS (20) after the command is ended by
 * SIGTERM and counted, too. peak is that of the largest process. server_cpu is what the PostgreSQL server with the
 * postmaster PID used meanwhile, without the programs that it started (archive_command). Exits with the command's
 * status.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct settings {
	long server_pid;
	double linger_s;
	const char *output;
	char **command;
};

static void die(const char *what)
{
	fprintf(stderr, "measure: error: could not %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_s(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		die("read the clock");
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static struct settings settings_parse(int argc, char **argv)
{
	struct settings settings = {.linger_s = 20};
	int i = 1;

	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		if (strcmp(argv[i], "--server") == 0)
			settings.server_pid = strtol(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--linger") == 0)
			settings.linger_s = strtod(argv[i + 1], NULL);
		else if (strcmp(argv[i], "--output") == 0)
			settings.output = argv[i + 1];
		else
			break;
	}
	if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
		fprintf(stderr, "usage: measure [--server PID] [--linger SECONDS] [--output FILE] -- COMMAND...\n");
		exit(2);
	}
	settings.command = argv + i + 1;
	return settings;
}

/* proc(5): the fields of /proc/PID/stat behind the name in parentheses, of which utime is the 12th. */
static bool process_times(long pid, long *parent, unsigned long ticks[4])
{
	char path[64];
	char text[1024];

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return false;
	size_t size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = '\0';
	const char *rest = strrchr(text, ')');
	return rest != NULL && sscanf(rest, ") %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", parent,
				      &ticks[0], &ticks[1], &ticks[2], &ticks[3]) == 5;
}

/* A server process that has ended is in the postmaster's sum of its children. */
static double server_cpu_s(long postmaster)
{
	unsigned long sum = 0;
	unsigned long ticks[4];
	long parent;
	struct dirent *entry;

	if (postmaster == 0)
		return 0;
	DIR *directory = opendir("/proc");
	if (directory == NULL)
		die("open \"/proc\"");
	while ((entry = readdir(directory)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || !process_times(pid, &parent, ticks))
			continue;
		if (pid == postmaster)
			sum += ticks[0] + ticks[1] + ticks[2] + ticks[3];
		else if (parent == postmaster)
			sum += ticks[0] + ticks[1];
	}
	closedir(directory);
	return (double) sum / (double) sysconf(_SC_CLK_TCK);
}

static void adopted_end(void)
{
	char path[64];
	long pid;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long) getpid());
	FILE *file = fopen(path, "r");
	if (file == NULL)
		die("list the children that are left");
	while (fscanf(file, "%ld", &pid) == 1)
		kill((pid_t) pid, SIGTERM);
	fclose(file);
}

/* Reaps until nobody is left; returns the wait status of `pid`, and the time it ended. */
static int children_wait(pid_t pid, double linger_s, double *ended_s)
{
	int result = 0;
	int status;
	double deadline_s = 0;

	for (;;) {
		pid_t one = waitpid(-1, &status, deadline_s > 0 ? WNOHANG : 0);
		if (one < 0 && errno == ECHILD)
			return result;
		if (one < 0 && errno != EINTR)
			die("wait");
		if (one == pid) {
			result = status;
			*ended_s = now_s();
			deadline_s = *ended_s + linger_s;
		}
		if (one == 0) {
			if (now_s() > deadline_s)
				adopted_end();
			nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		}
	}
}

int main(int argc, char **argv)
{
	struct settings settings = settings_parse(argc, argv);
	struct rusage usage;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) != 0)
		die("become the one who adopts");
	double server_before_s = server_cpu_s(settings.server_pid);
	double began_s = now_s();
	double ended_s = began_s;
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		execvp(settings.command[0], settings.command);
		die("execute the command");
	}
	int status = children_wait(pid, settings.linger_s, &ended_s);
	if (getrusage(RUSAGE_CHILDREN, &usage) != 0)
		die("ask for the resources used");
	double cpu_s = (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	FILE *output = settings.output != NULL ? fopen(settings.output, "w") : stderr;
	if (output == NULL)
		die("create the output");
	fprintf(output, "wall=%.3f cpu=%.3f server_cpu=%.2f peak_kb=%ld status=%d\n", ended_s - began_s, cpu_s,
		server_cpu_s(settings.server_pid) - server_before_s, usage.ru_maxrss, code);
	if (fclose(output) != 0)
		die("write the output");
	return code;
}
