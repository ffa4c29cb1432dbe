/* pitr-fetch: restore_command = 'pitr-fetch %f %p'
 *
 * A segment that was fetched ahead of the server is handed over here; everything else is the whole program's.
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "audience.h"
#include "base/exit.h"
#include "config/program.h"
#include "hand_over.h"

/* What is fetched ahead is tried for so long, and a little more. Then the whole program tries by itself. */
#define WAIT_MAX_MS 15000

static int run(const struct options *options)
{
	const char *name = options->arguments.items[0], *destination = options->arguments.items[1];
	struct error err = {0};

	if (hand_over(options, name, destination, options->retry_for < WAIT_MAX_MS ? options->retry_for : WAIT_MAX_MS))
		return EXIT_SUCCESS;
	return program_become_whole(options, &err) ? EXIT_SUCCESS : exit_with(&err, fetch_audience(destination));
}

int main(int argc, char **argv)
{
	/* Whoever asked and is gone may have a successor, whose segment this one must not replace. */
	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
	return program_main(PITR_FETCH, FOR_RECOVERY, argc, argv, run);
}
