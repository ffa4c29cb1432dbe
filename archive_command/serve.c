#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "archive.h"
#include "base/clock.h"
#include "config/program.h"

/* After so long without a request, connections and memory are given back. */
#define IDLE_MAX_MS 60000
/* What has been told to end, and is in the middle of a request over a network that does not answer, ends so soon. */
#define END_MAX_S 5

/* How long the clock of a file system may take to go on: spool.c. */
#define REST_ATTEMPTS 8
#define REST_PAUSE_MS 50

#define SOCKET STDIN_FILENO

/* What this process was made from. "": not known, so the next request is left to a new one. */
struct origin {
	char program[PATH_MAX];
	char program_stamp[SPOOL_STAMP_SIZE];
	char config_stamp[SPOOL_STAMP_SIZE];
	/* Whatever was wrong is to be read again: a configuration file that was not there, the name of a host. */
	bool has_failed;
};

/* ------------------------------------------------------------------------------------------------------ ending */

/* The postmaster of a container, which inherits what outlives its parent, takes the end of a child by a signal for a
 * crash of the server (CleanupBackend() of postmaster.c, 15 to 18). */
static void end_now(int number)
{
	(void) number;
	_exit(EXIT_SUCCESS);
}

/* As if nobody asked any more: what is under way is finished. */
static void end_soon(int number)
{
	(void) number;
	(void) shutdown(SOCKET, SHUT_RD);
	(void) alarm(END_MAX_S);
}

static bool signals_catch(struct error *err)
{
	const struct sigaction now = {.sa_handler = end_now}, soon = {.sa_handler = end_soon};

	if (sigaction(SIGALRM, &now, NULL) == 0 && sigaction(SIGQUIT, &now, NULL) == 0 &&
	    sigaction(SIGTERM, &soon, NULL) == 0 && sigaction(SIGINT, &soon, NULL) == 0)
		return true;
	return fail_errno(err, "could not catch signals");
}

/* ------------------------------------------------------------------------------------------------------ origin */

/* Where a file was just written to, a moment is waited: it may be written to again within the same tick of its clock.
 * "none" where there is none. */
static void stamp_read(const char *path, char stamp[SPOOL_STAMP_SIZE])
{
	struct error failure = {0};
	bool is_at_rest = false;

	for (int attempt = 0; attempt < REST_ATTEMPTS && !is_at_rest; attempt++) {
		if (attempt > 0)
			clock_sleep_ms(REST_PAUSE_MS);
		if (!spool_stamp_at_rest(path, stamp, &is_at_rest, &failure)) {
			(void) snprintf(stamp, SPOOL_STAMP_SIZE, "%s", failure.kind == ERROR_NOT_FOUND ? "none" : "");
			return;
		}
	}
	if (!is_at_rest)
		stamp[0] = '\0';
}

static bool origin_read(const struct options *options, struct origin *origin, struct error *err)
{
	origin->has_failed = false;
	TRY(program_path(PROGRAM_WHOLE, "pitr-archiver", origin->program, err));
	stamp_read(origin->program, origin->program_stamp);
	stamp_read(options->config_path, origin->config_stamp);
	return true;
}

static bool is_changed(const char *path, const char *stamp)
{
	char now[SPOOL_STAMP_SIZE];
	struct error failure = {0};

	if (!spool_stamp(path, now, &failure))
		(void) snprintf(now, sizeof(now), "%s", failure.kind == ERROR_NOT_FOUND ? "none" : "unknown");
	return strcmp(now, stamp) != 0;
}

static bool origin_is_changed(const struct options *options, const struct origin *origin)
{
	return origin->has_failed || is_changed(origin->program, origin->program_stamp) ||
	       is_changed(options->config_path, origin->config_stamp);
}

/* ---------------------------------------------------------------------------------------------------- requests */

/* Waits for a request; *is_there is false when none will come. */
static bool request_await(struct archive *archive, bool *is_there, struct error *err)
{
	struct pollfd socket = {.fd = SOCKET, .events = POLLIN};
	int count;

	while ((count = poll(&socket, 1, IDLE_MAX_MS)) == 0 || (count < 0 && errno == EINTR))
		if (count == 0)
			archive_release(archive);
	if (count < 0)
		return fail_errno(err, "could not wait for the server");
	*is_there = (socket.revents & POLLIN) != 0;
	return true;
}

/* There is one request at a time: a line, and nothing behind it. An empty path: nobody asks any more. */
static bool request_read(char path[PATH_MAX], struct error *err)
{
	size_t size = 0;

	while (size == 0 || path[size - 1] != '\n') {
		ssize_t more = read(SOCKET, path + size, PATH_MAX - size);

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0 && errno != ECONNRESET)
			return fail_errno(err, "could not read from the server");
		if (more <= 0)
			size = 0;
		if (more <= 0)
			break;
		size += (size_t) more;
		if (size == PATH_MAX)
			return fail(err, ERROR_USAGE, "the server asks for a file with too long a name");
	}
	path[size == 0 ? 0 : size - 1] = '\0';
	if (size > 0 && (strlen(path) != size - 1 || strchr(path, '\n') != NULL))
		return fail(err, ERROR_USAGE, "the server asks for several files at once");
	return true;
}

static bool escaped_append(struct buf *line, const char *text, struct error *err)
{
	for (; *text != '\0'; text++) {
		const char *escaped = *text == '\\' ? "\\\\" : *text == '\n' ? "\\n" : *text == '\t' ? "\\t" : NULL;

		TRY(buf_append(line, escaped != NULL ? bytes_of(escaped, 2) : bytes_of(text, 1), err));
	}
	return true;
}

/* `why` is NULL for a file that is stored. */
static bool answer_write(const char *path, const struct error *why, struct error *err)
{
	const char *slash = strrchr(path, '/');
	BUF(line, SERVE_LINE_SIZE_MAX);

	TRY(buf_append_text(&line, why == NULL ? "stored\t" : "failed\t", err) &&
	    escaped_append(&line, slash != NULL ? slash + 1 : path, err));
	if (why != NULL)
		TRY(buf_append_text(&line, "\t", err) && escaped_append(&line, why->text, err) &&
		    buf_append_text(&line, "\t", err) && escaped_append(&line, why->hint, err));
	TRY(buf_append_text(&line, "\n", err));
	for (size_t sent = 0; sent < line.size;) {
		ssize_t more = send(SOCKET, line.data + sent, line.size - sent, MSG_NOSIGNAL);

		if (more < 0 && errno != EINTR)
			return fail_errno(err, "could not answer the server");
		sent += more < 0 ? 0 : (size_t) more;
	}
	return true;
}

static bool request_serve(struct archive *archive, struct origin *origin, const char *path, struct error *err)
{
	struct error why = {0};

	archive_await(archive, path);
	if (archived_before(archive->options, path))
		return answer_write(path, NULL, err);
	if (!archive_file(archive, path, &why)) {
		origin->has_failed = true;
		archive_note(path, &why);
		return answer_write(path, &why, err);
	}
	TRY(answer_write(path, NULL, err));
	archive_mirror(archive, path);
	return true;
}

static bool requests_serve(struct archive *archive, struct origin *origin, struct error *err)
{
	char path[PATH_MAX];
	bool is_there;

	for (;;) {
		TRY(request_await(archive, &is_there, err));
		/* Before the request is read: it is the new one's. */
		if (is_there && origin_is_changed(archive->options, origin)) {
			archive_end(archive);
			archive_release(archive);
			(void) execv(origin->program, archive->options->argv);
			return fail_errno(err, "could not execute \"%s\"", origin->program);
		}
		path[0] = '\0';
		if (is_there)
			TRY(request_read(path, err));
		if (path[0] == '\0')
			return true;
		TRY(request_serve(archive, origin, path, err));
	}
}

void serve_refusal(const struct error *why)
{
	char path[PATH_MAX];
	struct error ignored = {0};

	if (!request_read(path, &ignored) || path[0] == '\0')
		return;
	archive_note(path, why);
	(void) !answer_write(path, why, &ignored);
}

/* The settings again, now that their file has its stamp: what was written between the first reading and the stamp would
 * never be seen otherwise, and what is written from here on has another stamp. */
static bool options_renew(const struct options *first, struct options *options, struct error *err)
{
	enum options_outcome outcome;
	int count = 0;

	while (first->argv[count] != NULL)
		count++;
	TRY(options_parse(first->program, count, first->argv, options, &outcome, err));
	log_init("pitr-archive", options_log_level(options));
	return true;
}

bool serve(const struct options *first, struct error *err)
{
	struct options options OPTIONS_CLEANUP = {0};
	struct archive archive ARCHIVE_CLEANUP = {.options = &options, .stays = true};
	struct origin origin;

	TRY(signals_catch(err));
	TRY(origin_read(first, &origin, err));
	if (!options_renew(first, &options, err)) {
		serve_refusal(err);
		return false;
	}
	bool done = requests_serve(&archive, &origin, err);
	archive_end(&archive);
	return done;
}
