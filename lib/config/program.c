#include "config/program.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/exit.h"
#include "config/option_table.h"

int program_main(enum program program, enum error_audience audience, int argc, char **argv, program_run run)
{
	const char *name = program_row_of(program)->name;
	struct options options OPTIONS_CLEANUP = {0};
	enum options_outcome outcome;
	struct error err = {0};
	int status = EXIT_SUCCESS;

	process_init();
	log_init(name, LOG_LEVEL_WARNING);
	if (!options_parse(program, argc, argv, &options, &outcome, &err))
		return exit_with(&err, audience);
	if (outcome == OPTIONS_RUN) {
		log_init(name, options_log_level(&options));
		status = run(&options);
	}
	if (status == EXIT_SUCCESS && !stdout_finish(&err))
		return exit_with(&err, audience);
	return status;
}
