/* pitr-prefetch: see prefetch.h. Started by pitr-fetch, with its own arguments.
 *
 * Whoever started it is gone when it ends. In a container its parent may then be the postmaster, which restarts the
 * server for a child that ends otherwise than with 0 or 1, as when the kernel kills one for its memory. So the process
 * that is seen only waits for the one that works, and ends with 0.
 */

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "config/program.h"
#include "prefetch.h"

static int run(const struct options *options)
{
	struct error err = {0};

	if (!prefetch(options, &err))
		log_debug("%s", err.text);
	_exit(EXIT_SUCCESS); /* with threads in the middle of requests that nobody waits for any more */
}

int main(int argc, char **argv)
{
	return process_shelter() ? program_main(PITR_FETCH, FOR_RECOVERY, argc, argv, run) : EXIT_SUCCESS;
}
