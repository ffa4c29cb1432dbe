/* pitr-fetch: restore_command = 'pitr-fetch %f %p'
 *
 * A segment that was fetched ahead of the server is handed over here; everything else is the whole program's.
 */

#include <stdlib.h>

#include "audience.h"
#include "base/exit.h"
#include "config/program.h"
#include "hand_over.h"

static int run(const struct options *options)
{
	const char *name = options->arguments.items[0], *destination = options->arguments.items[1];
	struct error err = {0};

	if (hand_over(options, name, destination))
		return EXIT_SUCCESS;
	return program_become_whole(options, &err) ? EXIT_SUCCESS : exit_with(&err, fetch_audience(destination));
}

int main(int argc, char **argv)
{
	return program_main(PITR_FETCH, FOR_RECOVERY, argc, argv, run);
}
