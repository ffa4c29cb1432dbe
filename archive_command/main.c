/* pitr-archive: archive_command = 'pitr-archive %p' */

#include <stdlib.h>

#include "archive.h"
#include "base/exit.h"

int main(int argc, char **argv)
{
	struct options options OPTIONS_CLEANUP = {0};
	enum options_outcome outcome;
	struct error err = {0};

	process_init();
	log_init("pitr-archive", LOG_LEVEL_WARNING);
	if (!options_parse(PITR_ARCHIVE, argc, argv, &options, &outcome, &err))
		return exit_with(&err, FOR_ARCHIVE);
	if (outcome == OPTIONS_ANSWERED)
		return stdout_finish(&err) ? EXIT_SUCCESS : exit_with(&err, FOR_ARCHIVE);
	log_init("pitr-archive", options_log_level(&options));
	return archive_file(&options, options.arguments.items[0], &err) ? EXIT_SUCCESS : exit_with(&err, FOR_ARCHIVE);
}
