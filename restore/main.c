/* pitr-restore: one cluster back, to a point */

#include <stdlib.h>

#include "base/exit.h"
#include "config/program.h"
#include "restore.h"
#include "step.h"

static int run(const struct options *options)
{
	struct error err = {0};

	bool done = options->step != NULL ? step_run(options, &err) : restore_run(options, &err);
	return done ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_RESTORE, FOR_PROGRAM, argc, argv, run);
}
