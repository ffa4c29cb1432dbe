/* The whole of pitr-fetch, where the front cannot answer at once. */

#include <stdlib.h>

#include "audience.h"
#include "base/exit.h"
#include "config/program.h"
#include "fetch.h"

static int run(const struct options *options)
{
	const char *destination = options->arguments.items[1];
	struct error err = {0};
	bool is_absent;

	if (!fetch_file(options, options->arguments.items[0], destination, &is_absent, &err))
		return exit_with(&err, fetch_audience(destination));
	return is_absent ? FETCH_EXIT_ABSENT : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	return program_main(PITR_FETCH, FOR_RECOVERY, argc, argv, run);
}
