/* pitr-fetch: restore_command = 'pitr-fetch %f %p' */

#include <stdlib.h>

#include "base/exit.h"
#include "fetch.h"

/* Absence is an answer, not an error: the server asks for files that never were. */
static int fetch_exit(const struct error *err, enum error_audience audience)
{
	if (err->kind != ERROR_NOT_FOUND)
		return exit_with(err, audience);
	log_info("%s", err->text);
	return error_exit_status(ERROR_NOT_FOUND, audience);
}

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
	if (options.arguments.count != 2) {
		(void) fail(&err, ERROR_USAGE, "a WAL file's name and a destination are expected, %d arguments are given",
			    options.arguments.count);
		(void) fail_hint(&err, "Set restore_command = 'pitr-fetch %%f %%p'.");
		return exit_with(&err, FOR_RECOVERY);
	}

	const char *destination = options.arguments.items[1];
	if (fetch_file(&options, options.arguments.items[0], destination, &err))
		return EXIT_SUCCESS;
	return fetch_exit(&err, fetch_audience(destination));
}
