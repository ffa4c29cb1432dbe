/* pitr-restore: one cluster back, to a point */

#include <stdlib.h>

#include "base/exit.h"
#include "config/program.h"
#include "restore.h"

static int run(const struct options *options)
{
	struct error err = {0};

	return restore_run(options, &err) ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_RESTORE, FOR_PROGRAM, argc, argv, run);
}
