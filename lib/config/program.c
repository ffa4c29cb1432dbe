#include "config/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "config/option_table.h"

#define FOLDER_WHOLE "libexec/pitr"
#define FOLDER_BIN   "bin"
/* What is put behind the common folder of both. */
#define PROGRAM_TAIL_MAX (sizeof(FOLDER_WHOLE) + 32)

int program_main_or(enum program program, enum error_audience audience, int argc, char **argv, program_run run,
		    program_refused refused)
{
	const char *name = program_row_of(program)->name;
	struct options options OPTIONS_CLEANUP = {0};
	enum options_outcome outcome;
	struct error err = {0};
	int status = EXIT_SUCCESS;

	process_init();
	log_init(name, LOG_LEVEL_WARNING);
	if (!options_parse(program, argc, argv, &options, &outcome, &err)) {
		if (refused != NULL)
			refused(&options, &err);
		return exit_with(&err, audience);
	}
	if (outcome == OPTIONS_RUN) {
		log_init(name, options_log_level(&options));
		status = run(&options);
	}
	if (status == EXIT_SUCCESS && !stdout_finish(&err))
		return exit_with(&err, audience);
	return status;
}

int program_main(enum program program, enum error_audience audience, int argc, char **argv, program_run run)
{
	return program_main_or(program, audience, argc, argv, run, NULL);
}

/* Cuts "/bin/NAME" or "/libexec/pitr/NAME" off the path of the running program. */
static bool folder_find(char path[PATH_MAX], struct error *err)
{
	static const char *const folders[] = {"/" FOLDER_WHOLE, "/" FOLDER_BIN};
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - PROGRAM_TAIL_MAX);

	if (length < 0 || length >= (ssize_t) (PATH_MAX - PROGRAM_TAIL_MAX))
		return fail_errno(err, "could not tell where this program is");
	path[length] = '\0';
	*strrchr(path, '/') = '\0';
	length = (ssize_t) strlen(path);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t tail = strlen(folders[i]);

		if ((size_t) length >= tail && strcmp(path + (size_t) length - tail, folders[i]) == 0) {
			path[(size_t) length - tail] = '\0';
			return true;
		}
	}
	return fail(err, ERROR_SYSTEM, "could not find the other programs of pitr: \"%s\" is neither \"%s\" nor \"%s\"",
		    path, FOLDER_BIN, FOLDER_WHOLE) ||
	       fail_hint(err, "Keep the folders that \"make install\" makes together.");
}

bool program_path(enum program_place place, const char *name, char path[PATH_MAX], struct error *err)
{
	TRY(folder_find(path, err));
	size_t length = strlen(path);
	(void) snprintf(path + length, PATH_MAX - length, "/%s/%s", place == PROGRAM_BIN ? FOLDER_BIN : FOLDER_WHOLE,
			name);
	if (access(path, X_OK) == 0)
		return true;
	return fail_errno(err, "could not find \"%s\"", path) ||
	       fail_hint(err, "pitr is not installed whole: the programs belong together, as \"make install\" puts "
			      "them.");
}

bool program_become_whole(const struct options *options, struct error *err)
{
	char path[PATH_MAX];

	TRY(program_path(PROGRAM_WHOLE, program_row_of(options->program)->name, path, err));
	(void) execv(path, options->argv);
	return fail_errno(err, "could not execute \"%s\"", path);
}
