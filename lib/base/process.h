/* Other programs, run without a shell in between: waited for, read from, or left running behind us. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

struct process {
	const char *program;	      /* its full path */
	const char *const *arguments; /* from the name it is to see for itself, NULL at the end */
	char *const *environment;     /* NULL: ours */
	const char *directory;	      /* to run in; NULL: where we are */
	/* A session of its own, which outlives us and no terminal interrupts; what it prints is appended to this file.
	 * NULL: it is ours, and so is its output. */
	const char *log;
};

/* *status as waitpid(2) gives it. One that cannot be executed ends with exit status 127. */
bool process_run(const struct process *process, int *status, struct error *err) MUST_CHECK;
/* Appends what it prints on stdout; SYSTEM unless it ends with exit status 0. */
bool process_read(const struct process *process, struct buf *output, struct error *err) MUST_CHECK;
/* Leaves it running. */
bool process_start(const struct process *process, pid_t *pid, struct error *err) MUST_CHECK;
/* Has the child that was started ended? Then *status is set. */
bool process_has_ended(pid_t pid, int *status);

/* For a program that outlives who started it, so that it becomes the child of the first process: which may be one that
 * takes the end of a child by a signal for its own misfortune, as the postmaster does. Goes on in a child, true; the
 * process that is seen waits for that one, whatever signals it is sent, and is then to end, false. It ends the child
 * when it is killed. */
bool process_shelter(void);
