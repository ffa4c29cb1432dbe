/* The whole of pitr-archive, where the front cannot answer at once. */

#include <stdlib.h>

#include "archive.h"
#include "base/exit.h"
#include "config/program.h"
#include "drain.h"

static bool archive_run(const struct options *options, struct error *err)
{
	struct archive archive ARCHIVE_CLEANUP = {.options = options};

	if (options->drain != NULL && options->arguments.count > 0)
		return fail(err, ERROR_USAGE, "--drain takes a data directory and no WAL file");
	if (options->drain != NULL)
		return drain_run(options, err);
	if (options->arguments.count == 0)
		return fail(err, ERROR_USAGE, "missing argument: pitr-archive WAL-PATH") ||
		       fail_hint(err, "Try \"pitr-archive --help\".");
	TRY(archive_file(&archive, options->arguments.items[0], err));
	archive_mirror(&archive, options->arguments.items[0]);
	return true;
}

/* PostgreSQL's %p, which stands last: also where a flag before it could not be read. */
static const char *path_find(const struct options *options)
{
	int last = 0;

	if (options->drain != NULL)
		return NULL;
	if (options->arguments.count > 0)
		return options->arguments.items[0];
	while (options->argv[last] != NULL)
		last++;
	return last > 1 ? options->argv[last - 1] : NULL;
}

static void failure_note(const struct options *options, const struct error *why)
{
	const char *path = path_find(options);

	if (path != NULL)
		archive_note(path, why);
}

static int run(const struct options *options)
{
	struct error err = {0};

	if (archive_run(options, &err))
		return EXIT_SUCCESS;
	failure_note(options, &err);
	return exit_with(&err, FOR_ARCHIVE);
}

int main(int argc, char **argv)
{
	return program_main_or(PITR_ARCHIVE, FOR_ARCHIVE, argc, argv, run, failure_note);
}
