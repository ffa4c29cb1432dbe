/* The whole of pitr-archive, where the front cannot answer at once. */

#include <stdlib.h>

#include "archive.h"
#include "base/exit.h"
#include "config/program.h"
#include "drain.h"

static bool archive_run(const struct options *options, struct error *err)
{
	if (options->drain != NULL && options->arguments.count > 0)
		return fail(err, ERROR_USAGE, "--drain takes a data directory and no WAL file");
	if (options->drain != NULL)
		return drain_run(options, err);
	if (options->arguments.count == 0)
		return fail(err, ERROR_USAGE, "missing argument: pitr-archive WAL-PATH") ||
		       fail_hint(err, "Try \"pitr-archive --help\".");
	return archive_file(options, options->arguments.items[0], err);
}

static int run(const struct options *options)
{
	struct error err = {0};

	return archive_run(options, &err) ? EXIT_SUCCESS : exit_with(&err, FOR_ARCHIVE);
}

int main(int argc, char **argv)
{
	return program_main(PITR_ARCHIVE, FOR_ARCHIVE, argc, argv, run);
}
