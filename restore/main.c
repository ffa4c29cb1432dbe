/* pitr-restore: one cluster back, to a point */

#include <stdlib.h>

#include "base/exit.h"
#include "restore.h"

int main(int argc, char **argv)
{
	struct options options OPTIONS_CLEANUP = {0};
	enum options_outcome outcome;
	struct error err = {0};

	process_init();
	log_init("pitr-restore", LOG_LEVEL_INFO);
	if (!options_parse(PITR_RESTORE, argc, argv, &options, &outcome, &err))
		return exit_with(&err, FOR_PROGRAM);
	if (outcome == OPTIONS_ANSWERED)
		return stdout_finish(&err) ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
	log_init("pitr-restore", options_log_level(&options));
	if (!restore_run(&options, &err) || !stdout_finish(&err))
		return exit_with(&err, FOR_PROGRAM);
	return EXIT_SUCCESS;
}
