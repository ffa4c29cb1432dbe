/* pitr-basebackup: a base backup of a running server, straight into the repository. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/exit.h"
#include "base/json.h"
#include "take.h"

static bool print_fact(const struct backup *backup, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	const char *line;
	BUF(text, 4 * MiB);

	TRY(backup_encode(backup, json, err));
	TRY(json_encode(json, &text, err));
	TRY(buf_text(&text, &line, err));
	if (puts(line) < 0)
		return fail_errno(err, "could not write to standard output");
	return true;
}

static bool run(const struct options *options, struct backup *backup, struct error *err)
{
	TRY(take_backup(options, backup, err));
	if (options->json)
		TRY(print_fact(backup, err) && stdout_finish(err));
	if (backup->checksum_failures == 0)
		return true;
	(void) fail(err, ERROR_CORRUPT, "the backup %s is complete, but %" PRIu64 " pages in it have a wrong checksum",
		    backup->label, backup->checksum_failures);
	return fail_hint(
		err, "They are damaged on the server: the backup holds them as they are. Look at its disks, and keep "
		     "an older backup.");
}

int main(int argc, char **argv)
{
	struct options options OPTIONS_CLEANUP = {0};
	struct backup backup = {.label = ""};
	enum options_outcome outcome;
	struct error err = {0};

	process_init();
	log_init("pitr-basebackup", LOG_LEVEL_INFO);
	if (!options_parse(PITR_BASEBACKUP, argc, argv, &options, &outcome, &err))
		return exit_with(&err, FOR_PROGRAM);
	if (outcome == OPTIONS_ANSWERED)
		return stdout_finish(&err) ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
	log_init("pitr-basebackup", options_log_level(&options));

	bool done = run(&options, &backup, &err);
	backup_release(&backup);
	return done ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
}
