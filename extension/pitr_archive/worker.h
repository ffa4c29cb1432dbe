/* The child process that archives, pitr-archiver: started, asked, listened to, and ended when it does not answer. It is
 * archive_command/serve.h's other end.
 *
 * At most one at a time. Nothing here waits without a deadline, raises an ERROR of its own or allocates memory; what
 * the child does, or is kept from, never ends the archiver, whose end would restart the whole server.
 */
#pragma once

#include <stdbool.h>

#define WORKER_TEXT_SIZE 4096

/* What to run. A worker that was started with other settings is replaced. */
struct worker_settings {
	const char *program;
	const char *config_file; /* "": pitr's own default */
	int timeout_s;		 /* for an answer */
	int shutdown_timeout_s;	 /* … of a server that shuts down: counted from its end, or from the last success */
};

/* Why a file is not archived. */
struct worker_failure {
	char text[WORKER_TEXT_SIZE];
	char hint[WORKER_TEXT_SIZE]; /* "": none */
	bool is_answer;		     /* pitr-archiver says so, and names the file */
};

/* True when the file at `path` is stored durably. */
bool worker_archive(const struct worker_settings *settings, const char *path, struct worker_failure *failure);
/* Ends the child, which is given a moment for what it is about. */
void worker_stop(void);
