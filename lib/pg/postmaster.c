#include "pg/postmaster.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define POSTMASTER_FILE "postmaster.pid"
#define FILE_SIZE_MAX	(64 * KiB)
#define LINE_PID	1 /* LOCK_FILE_LINE_…: pidfile.h */
#define LINE_PORT	4
#define LINE_SOCKET	5
#define LINE_LISTEN	6
#define LINE_STATUS	8

/* Line `number` (from 1), without blanks behind it (the status is padded); false when it is not there yet. */
static bool line_take(const char *text, int number, char *line, size_t size)
{
	while (--number > 0) {
		text = strchr(text, '\n');
		if (text == NULL)
			return false;
		text++;
	}
	const char *end = strchr(text, '\n');
	if (end == NULL)
		return false;
	while (end > text && end[-1] == ' ')
		end--;
	return snprintf(line, size, "%.*s", (int) (end - text), text) < (int) size;
}

static enum postmaster_state state_parse(const char *status)
{
	if (strcmp(status, "ready") == 0)
		return POSTMASTER_READY;
	if (strcmp(status, "standby") == 0)
		return POSTMASTER_STANDBY;
	return strcmp(status, "stopping") == 0 ? POSTMASTER_STOPPING : POSTMASTER_STARTING;
}

/* "*" and the like are no addresses to connect to. */
static void host_take(const char *text, struct postmaster *postmaster)
{
	char address[256];

	if (line_take(text, LINE_SOCKET, postmaster->host, sizeof(postmaster->host)) && postmaster->host[0] != '\0')
		return;
	postmaster->host[0] = '\0';
	if (!line_take(text, LINE_LISTEN, address, sizeof(address)) || address[0] == '\0')
		return;
	bool is_any = strcmp(address, "*") == 0 || strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
	(void) snprintf(postmaster->host, sizeof(postmaster->host), "%s", is_any ? "localhost" : address);
}

bool postmaster_read(const char *pgdata, struct postmaster *postmaster, struct error *err)
{
	char path[PATH_MAX], status[32] = "";
	const char *text;
	BUF(content, FILE_SIZE_MAX);

	*postmaster = (struct postmaster){.pid = 0};
	TRY(path_join(path, pgdata, POSTMASTER_FILE, err));
	if (!fs_read_file(path, &content, err)) {
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		*err = (struct error){0};
		return true;
	}
	TRY(buf_text(&content, &text, err));
	long pid = labs(strtol(text, NULL, 10)); /* negative: a single-user server */
	if (pid == 0 || pid > INT_MAX || (kill((pid_t) pid, 0) != 0 && errno != EPERM))
		return true;
	postmaster->pid = (pid_t) pid;
	if (!line_take(text, LINE_PORT, postmaster->port, sizeof(postmaster->port)))
		postmaster->port[0] = '\0';
	host_take(text, postmaster);
	if (line_take(text, LINE_STATUS, status, sizeof(status)))
		postmaster->state = state_parse(status);
	return true;
}
