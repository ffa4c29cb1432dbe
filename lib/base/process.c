#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

/* Ignored signals are inherited through exec; a server is to begin as a shell would start it. */
static bool session_make(const char *log)
{
	static const int ignored[] = {SIGPIPE, SIGXFSZ};
	struct sigaction normal = {.sa_handler = SIG_DFL};
	int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int output = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (sigaction(ignored[i], &normal, NULL) != 0)
			return false;
	return input >= 0 && output >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	       dup2(output, STDERR_FILENO) >= 0 && setsid() >= 0;
}

/* In the child: only what POSIX allows between fork() and exec(). */
static void process_become(const struct process *process, int output)
{
	if (output >= 0 && dup2(output, STDOUT_FILENO) < 0)
		_exit(127);
	if (process->log != NULL && !session_make(process->log))
		_exit(127);
	if (process->directory != NULL && chdir(process->directory) != 0)
		_exit(127);
	(void) close_range(STDERR_FILENO + 1, ~0U, 0);
	(void) execve(process->program, (char *const *) process->arguments,
		      process->environment != NULL ? process->environment : environ);
	_exit(127);
}

static bool process_fork(const struct process *process, int output, pid_t *pid, struct error *err)
{
	*pid = fork();
	if (*pid < 0)
		return fail_errno(err, "could not start a process");
	if (*pid == 0)
		process_become(process, output);
	return true;
}

static bool process_wait(pid_t pid, int *status, struct error *err)
{
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return fail_errno(err, "could not wait for a process");
	return true;
}

bool process_start(const struct process *process, pid_t *pid, struct error *err)
{
	return process_fork(process, -1, pid, err);
}

bool process_run(const struct process *process, int *status, struct error *err)
{
	pid_t pid;

	return process_fork(process, -1, &pid, err) && process_wait(pid, status, err);
}

bool process_has_ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

/* To the end of the file; more than there is room for is read and thrown away, so that nobody waits for us. */
static bool pipe_read(int fd, struct buf *output, struct error *err)
{
	uint8_t block[4096];

	for (;;) {
		ssize_t size = read(fd, block, sizeof(block));

		if (size == 0)
			return true;
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return fail_errno(err, "could not read from a process");
		if ((size_t) size <= output->size_max - output->size)
			TRY(buf_append(output, bytes_of(block, (size_t) size), err));
	}
}

bool process_read(const struct process *process, struct buf *output, struct error *err)
{
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail_errno(err, "could not make a pipe");
	bool is_started = process_fork(process, ends[1], &pid, err);
	fd_close(&ends[1]);
	bool is_read = is_started && pipe_read(ends[0], output, err);
	fd_close(&ends[0]);
	TRY(is_started);
	TRY(process_wait(pid, &status, err) && is_read);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	return fail(err, ERROR_SYSTEM, "\"%s\" ended with %s %d", process->program,
		    WIFEXITED(status) ? "exit status" : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

bool process_shelter(void)
{
	static const int ended_by[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
	struct sigaction ignored = {.sa_handler = SIG_IGN};
	pid_t pid = fork();

	if (pid == 0)
		return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
	for (size_t i = 0; i < sizeof(ended_by) / sizeof(ended_by[0]); i++)
		(void) sigaction(ended_by[i], &ignored, NULL);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	return false;
}
