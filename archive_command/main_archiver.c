/* pitr-archiver: pitr-archive for the server's archive module, which starts it and asks it for one file after the other
 * (serve.h). It ends with who asks: at the end of its standard input, or with its parent.
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/exit.h"
#include "config/program.h"
#include "serve.h"

static int run(const struct options *options)
{
	struct error err = {0};

	return serve(options, &err) ? EXIT_SUCCESS : exit_with(&err, FOR_ARCHIVE);
}

static void refused(const struct options *options, const struct error *why)
{
	(void) options;
	serve_refusal(why);
}

int main(int argc, char **argv)
{
	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
	return program_main_or(PITR_ARCHIVE, FOR_ARCHIVE, argc, argv, run, refused);
}
