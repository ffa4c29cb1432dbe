#include "base/exit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"

void process_init(void)
{
	static const int fatal[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGALRM};
	sigset_t all;

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		(void) signal(fatal[i], SIG_DFL);
	(void) signal(SIGPIPE, SIG_IGN);
	(void) signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(2) to us */
	(void) sigemptyset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, NULL);
	(void) setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	(void) umask(077);
}

int exit_with(const struct error *err, enum error_audience audience)
{
	log_error(err);
	return error_exit_status(err->kind, audience);
}

bool stdout_finish(struct error *err)
{
	if (fflush(stdout) != 0 || ferror(stdout) || fclose(stdout) != 0)
		return fail_errno(err, "could not write to standard output");
	return true;
}
