/* pitr-basebackup: a base backup of a running server, straight into the repository. */

#include <inttypes.h>
#include <stdlib.h>

#include "base/exit.h"
#include "config/answer.h"
#include "config/program.h"
#include "repo/run.h"
#include "take.h"

static bool take_and_report(const struct options *options, struct backup *backup, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(take_backup(options, backup, err));
	if (options->json) {
		TRY(backup_encode(backup, json, err));
		TRY(answer_print(json, err));
	}
	if (backup->checksum_failures == 0)
		return true;
	(void) fail(err, ERROR_CORRUPT, "the backup %s is complete, but %" PRIu64 " pages in it have a wrong checksum",
		    backup->label, backup->checksum_failures);
	return fail_hint(
		err, "They are damaged on the server: the backup holds them as they are. Look at its disks, and keep "
		     "an older backup.");
}

static int run(const struct options *options)
{
	struct backup backup = {.label = ""};
	struct error err = {0};
	bool done = take_and_report(options, &backup, &err);

	backup_release(&backup);
	if (!done)
		run_record(options, &err);
	return done ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_BASEBACKUP, FOR_PROGRAM, argc, argv, run);
}
