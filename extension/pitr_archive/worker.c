#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "portability/instr_time.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "worker.h"

/* How often a wait looks up: whether the server is shutting down, whether other processes want something of us
 * (DROP DATABASE waits for every process to come by). */
#define LOOK_MS 250
/* A child that is killed ends at once, unless it waits for a disk that does not answer: then without us. */
#define END_MAX_MS   2000
#define END_PAUSE_US 10000

/* An archiver has one child, which is as much a part of the process as its latch. */
static struct worker {
	pid_t pid; /* 0: there is none */
	int socket;
	bool is_asked; /* an answer is to come */
	char program[MAXPGPATH];
	char config_file[MAXPGPATH];
	/* The server has written all it will write, and waits for nothing but us: since then, or since the last file
	 * that was archived after that. 0: it has not. */
	int64 down_since_ms;
} worker = {.socket = -1};

/* For durations, whatever happens to the time of day. Never 0. */
static int64 now_ms(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now) + 1;
}

static bool failed(struct worker_failure *failure, const char *hint, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool failed(struct worker_failure *failure, const char *hint, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(failure->text, sizeof(failure->text), format, arguments);
	va_end(arguments);
	failure->is_answer = false;
	(void) snprintf(failure->hint, sizeof(failure->hint), "%s", hint);
	return false;
}

/* ----------------------------------------------------------------------------------------------------- process */

/* False when it does not end in time; then it is nobody's any more. */
static bool worker_reap(int wait_ms, int *status)
{
	pid_t ended;

	for (int waited_ms = 0;; waited_ms += END_PAUSE_US / 1000) {
		do
			ended = waitpid(worker.pid, status, WNOHANG);
		while (ended < 0 && errno == EINTR);
		if (ended != 0 || waited_ms >= wait_ms)
			break;
		pg_usleep(END_PAUSE_US);
	}
	if (ended != 0)
		worker.pid = 0;
	return ended > 0;
}

static void worker_close(void)
{
	(void) close(worker.socket);
	worker.socket = -1;
}

static void worker_kill(void)
{
	int status;

	if (worker.socket >= 0)
		worker_close();
	if (worker.pid == 0)
		return;
	(void) kill(worker.pid, SIGKILL);
	(void) worker_reap(END_MAX_MS, &status);
	worker.pid = 0;
}

void worker_stop(void)
{
	int status;

	if (worker.pid == 0)
		return;
	worker_close(); /* nobody asks any more: it ends by itself, behind the file that is under way */
	if (!worker_reap(END_MAX_MS, &status))
		worker_kill();
}

/* Standard input is the socket; what it prints goes where the server's messages go. Signals that the archiver ignores,
 * as SIGPIPE, are inherited otherwise, and a blocked SIGTERM too. */
static int worker_spawn(int socket, char *const arguments[])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	(void) sigemptyset(&none);
	(void) sigfillset(&all);
	int result = posix_spawn_file_actions_init(&files);
	if (result != 0)
		return result;
	result = posix_spawnattr_init(&attributes);
	if (result == 0) {
		(void) (posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK) ||
			posix_spawnattr_setsigdefault(&attributes, &all) ||
			posix_spawnattr_setsigmask(&attributes, &none));
		if (posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO) != 0 ||
		    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO) != 0 ||
		    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1) != 0)
			result = ENOMEM;
		else
			result = posix_spawn(&worker.pid, worker.program, &files, &attributes, arguments, environ);
		(void) posix_spawnattr_destroy(&attributes);
	}
	(void) posix_spawn_file_actions_destroy(&files);
	return result;
}

static bool worker_start(const struct worker_settings *settings, struct worker_failure *failure)
{
	char option[MAXPGPATH + 16];
	char *arguments[] = {worker.program, settings->config_file[0] != '\0' ? option : NULL, NULL};
	int ends[2];

	if (worker.socket >= 0)
		worker_close();
	(void) snprintf(worker.program, sizeof(worker.program), "%s", settings->program);
	(void) snprintf(worker.config_file, sizeof(worker.config_file), "%s", settings->config_file);
	(void) snprintf(option, sizeof(option), "--config=%s", worker.config_file);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return failed(failure, "", "could not create a socket: %s", strerror(errno));
	int result = worker_spawn(ends[1], arguments);
	(void) close(ends[1]);
	if (result == 0) {
		worker.socket = ends[0];
		return true;
	}
	(void) close(ends[0]);
	worker.pid = 0;
	return failed(failure, "Set \"pitr_archive.program\" to where pitr has put pitr-archiver, in libexec/pitr/.",
		      "could not execute \"%s\": %s", worker.program, strerror(result));
}

static bool is_what_is_set(const struct worker_settings *settings)
{
	return strcmp(worker.program, settings->program) == 0 && strcmp(worker.config_file, settings->config_file) == 0;
}

/* One that is ready to be asked. What has ended since it was last asked is replaced without a failure. */
static bool worker_ready(const struct worker_settings *settings, struct worker_failure *failure)
{
	int status;

	/* An ERROR that the server raised while it was waited for, which the archiver of 17 and later catches: its
	 * answer would be taken for that to the next request. */
	if (worker.is_asked)
		worker_kill();
	worker.is_asked = false;
	if (worker.pid != 0 && !is_what_is_set(settings))
		worker_stop();
	if (worker.pid != 0 && worker_reap(0, &status)) {
		worker_close();
		ereport(LOG, (errmsg("pitr_archive: \"%s\" had ended with %s %d; starting it again", worker.program,
				     WIFEXITED(status) ? "exit status" : "signal",
				     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status))));
	}
	return worker.pid != 0 || worker_start(settings, failure);
}

/* ---------------------------------------------------------------------------------------------------- shutdown */

/* pg_control as get_controlfile() of controldata_utils.c (15 to 18) reads it, but for its ERROR when the file cannot be
 * opened; false then, and when it is written at this moment. The data directory is where the server works. */
static bool control_read(ControlFileData *control)
{
	int file = open(XLOG_CONTROL_FILE, O_RDONLY | O_CLOEXEC);
	pg_crc32c crc;

	if (file < 0)
		return false;
	ssize_t size = read(file, control, sizeof(*control));
	(void) close(file);
	if (size != (ssize_t) sizeof(*control))
		return false;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, control, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, control->crc);
}

/* PostmasterStateMachine() of postmaster.c (15 to 18) lets the archiver end when the checkpointer has written the last
 * checkpoint; that is then what pg_control says. (SIGTERM is for what has to end at once.) But the checkpoint at the
 * end of recovery says so too, of a server that goes on (CreateCheckPoint() of xlog.c): what was seen may be over. */
static void shutdown_look(void)
{
	ControlFileData control;
	bool is_down = ShutdownRequestPending;

	if (!is_down) {
		if (!control_read(&control))
			return;
		is_down = control.state == DB_SHUTDOWNED || control.state == DB_SHUTDOWNED_IN_RECOVERY;
	}
	if (!is_down)
		worker.down_since_ms = 0;
	else if (worker.down_since_ms == 0)
		worker.down_since_ms = now_ms();
}

/* The moment at which an answer is too late that is waited for since `begin_ms`. While the server shuts down, one that
 * does not answer has half of the time, so that another one is tried in the other half. */
static int64 deadline_of(const struct worker_settings *settings, int64 begin_ms)
{
	int64 shutdown_ms = (int64) settings->shutdown_timeout_s * 1000;
	int64 deadline_ms = begin_ms + (int64) settings->timeout_s * 1000;

	if (worker.down_since_ms == 0)
		return deadline_ms;
	deadline_ms = Min(deadline_ms, Max(begin_ms, worker.down_since_ms) + shutdown_ms / 2);
	return Min(deadline_ms, worker.down_since_ms + shutdown_ms);
}

/* ------------------------------------------------------------------------------------------------ conversation */

static bool request_send(const char *path, struct worker_failure *failure)
{
	char line[MAXPGPATH + 2];
	int size = snprintf(line, sizeof(line), "%s\n", path);

	if (size < 0 || size >= (int) sizeof(line))
		return failed(failure, "", "its name is too long");
	/* It waits for a request, and a line always fits into what the socket holds. */
	if (send(worker.socket, line, (size_t) size, MSG_NOSIGNAL | MSG_DONTWAIT) == size)
		return true;
	return failed(failure, "", "could not ask \"%s\": %s", worker.program, strerror(errno));
}

static bool fail_ended(struct worker_failure *failure)
{
	int status;

	if (!worker_reap(END_MAX_MS, &status))
		return failed(failure, "", "\"%s\" did not answer and does not listen any more", worker.program);
	worker_close();
	return failed(failure, "What it said stands above, in the server's log.",
		      "\"%s\" ended with %s %d before it answered", worker.program,
		      WIFEXITED(status) ? "exit status" : "signal",
		      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static bool fail_late(const struct worker_settings *settings, struct worker_failure *failure)
{
	if (worker.down_since_ms != 0)
		return failed(
			failure, "What is not archived stays in pg_wal, and is archived after the next start.",
			"the server shuts down, and \"%s\" does not answer (pitr_archive.shutdown_timeout is %d s)",
			worker.program, settings->shutdown_timeout_s);
	return failed(
		failure,
		"If the repository is that slow, set \"pitr_archive.timeout\" to more than the setting \"retry-for\" "
		"of pitr.",
		"\"%s\" did not answer within %d s (pitr_archive.timeout)", worker.program, settings->timeout_s);
}

/* Appends what has come of the answer, up to the end of its line; *is_whole. */
static bool answer_receive(char *answer, size_t *size, bool *is_whole, struct worker_failure *failure)
{
	ssize_t more = recv(worker.socket, answer + *size, WORKER_TEXT_SIZE - 1 - *size, MSG_DONTWAIT);

	if (more < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return true;
	if (more < 0 && errno != ECONNRESET)
		return failed(failure, "", "could not hear \"%s\": %s", worker.program, strerror(errno));
	if (more <= 0)
		return fail_ended(failure);
	*size += (size_t) more;
	answer[*size] = '\0';
	char *end = strchr(answer, '\n');
	*is_whole = end != NULL;
	if (end != NULL ? end + 1 == answer + *size : strlen(answer) == *size && *size < WORKER_TEXT_SIZE - 1)
		return true;
	return failed(failure, "", "\"%s\" says something that is no answer", worker.program);
}

static bool answer_await(const struct worker_settings *settings, char answer[WORKER_TEXT_SIZE],
			 struct worker_failure *failure)
{
	int64 begin_ms = now_ms();
	bool is_whole = false;
	size_t size = 0;

	while (!is_whole) {
		long left_ms = (long) (deadline_of(settings, begin_ms) - now_ms());

		if (left_ms <= 0)
			return fail_late(settings, failure);
		int events = WaitLatchOrSocket(NULL, WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					       worker.socket, left_ms < LOOK_MS ? left_ms : LOOK_MS, PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
		if ((events & WL_SOCKET_READABLE) == 0)
			shutdown_look();
		else if (!answer_receive(answer, &size, &is_whole, failure))
			return false;
	}
	return true;
}

/* Takes out what serve.c has put in; cuts `text` off at its end, the next tab or the end of the line. */
static const char *part_take(const char **rest, char part[WORKER_TEXT_SIZE])
{
	const char *from = *rest;
	size_t size = 0;

	for (; *from != '\0' && *from != '\t' && *from != '\n'; from++) {
		if (*from == '\\' && from[1] != '\0')
			part[size++] = *++from == 'n' ? '\n' : *from == 't' ? '\t' : *from;
		else
			part[size++] = *from;
	}
	part[size] = '\0';
	*rest = *from == '\t' ? from + 1 : from;
	return part;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* *is_known is false when it is none of the answers that there are, or one about another file. */
static bool answer_parse(const char *answer, const char *path, bool *is_known, struct worker_failure *failure)
{
	char word[WORKER_TEXT_SIZE], name[WORKER_TEXT_SIZE];
	bool is_stored = strcmp(part_take(&answer, word), "stored") == 0;

	*is_known = (is_stored || strcmp(word, "failed") == 0) && strcmp(part_take(&answer, name), name_of(path)) == 0;
	if (!*is_known)
		return failed(failure, "Its version and that of the module must be the same.",
			      "\"%s\" says something that is no answer", worker.program);
	if (is_stored)
		return true;
	failure->is_answer = true;
	(void) part_take(&answer, failure->text);
	(void) part_take(&answer, failure->hint);
	return false;
}

bool worker_archive(const struct worker_settings *settings, const char *path, struct worker_failure *failure)
{
	char answer[WORKER_TEXT_SIZE];
	bool is_known = false, is_stored = false;

	/* Once it is too late nothing is begun any more. */
	if (worker.down_since_ms != 0)
		shutdown_look();
	if (worker.down_since_ms != 0 && deadline_of(settings, now_ms()) <= now_ms())
		return fail_late(settings, failure);
	if (!worker_ready(settings, failure))
		return false;
	worker.is_asked = true;
	if (request_send(path, failure) && answer_await(settings, answer, failure))
		is_stored = answer_parse(answer, path, &is_known, failure);
	/* What has not answered would answer the next request with what it was asked before. */
	if (!is_known)
		worker_kill();
	worker.is_asked = false;
	if (is_stored && worker.down_since_ms != 0)
		worker.down_since_ms = now_ms();
	return is_stored;
}
