/* pitr-archive: archive_command = 'pitr-archive %p'
 *
 * A segment that an earlier call has stored ahead of the server is acknowledged here; everything else is the whole
 * program's.
 */

#include <stdlib.h>

#include "archived.h"
#include "base/exit.h"
#include "config/program.h"

static int run(const struct options *options)
{
	struct error err = {0};

	if (options->drain == NULL && options->arguments.count == 1 &&
	    archived_before(options, options->arguments.items[0]))
		return EXIT_SUCCESS;
	return program_become_whole(options, &err) ? EXIT_SUCCESS : exit_with(&err, FOR_ARCHIVE);
}

/* The whole program will be refused the same, and writes that down. */
static void refused(const struct options *options, const struct error *why)
{
	struct error ignored = {0};

	(void) why;
	(void) !program_become_whole(options, &ignored);
}

int main(int argc, char **argv)
{
	return program_main_or(PITR_ARCHIVE, FOR_ARCHIVE, argc, argv, run, refused);
}
