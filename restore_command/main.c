/* pitr-fetch: restore_command = 'pitr-fetch %f %p' */

#include <stdlib.h>

#include "base/exit.h"
#include "fetch.h"

int main(int argc, char **argv)
{
	struct options options OPTIONS_CLEANUP = {0};
	enum options_outcome outcome;
	struct error err = {0};

	process_init();
	log_init("pitr-fetch", LOG_LEVEL_WARNING);
	if (!options_parse(PITR_FETCH, argc, argv, &options, &outcome, &err))
		return exit_with(&err, FOR_RECOVERY);
	if (outcome == OPTIONS_ANSWERED)
		return stdout_finish(&err) ? EXIT_SUCCESS : exit_with(&err, FOR_RECOVERY);
	log_init("pitr-fetch", options_log_level(&options));

	const char *destination = options.arguments.items[1];
	bool is_absent;
	if (!fetch_file(&options, options.arguments.items[0], destination, &is_absent, &err))
		return exit_with(&err, fetch_audience(destination));
	return is_absent ? FETCH_EXIT_ABSENT : EXIT_SUCCESS;
}
