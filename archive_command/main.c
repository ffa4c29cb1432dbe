/* pitr-archive: archive_command = 'pitr-archive %p' */

#include <stdlib.h>

#include "archive.h"
#include "base/exit.h"
#include "config/program.h"

static int run(const struct options *options)
{
	struct error err = {0};

	return archive_file(options, options->arguments.items[0], &err) ? EXIT_SUCCESS : exit_with(&err, FOR_ARCHIVE);
}

int main(int argc, char **argv)
{
	return program_main(PITR_ARCHIVE, FOR_ARCHIVE, argc, argv, run);
}
