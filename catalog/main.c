/* pitr-catalog: what is in the repository, and making one. */

#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "config/program.h"
#include "verbs.h"

static const struct verb {
	const char *name;
	int argument_least, argument_most; /* behind the verb */
	const char *usage;
	verb_run run;
} verbs[] = {
	{"list", 0, 0, "pitr-catalog list", verb_list},
	{"show", 1, 1, "pitr-catalog show LABEL", verb_show},
	{"window", 0, 0, "pitr-catalog window", verb_window},
	{"pin", 1, 1, "pitr-catalog pin LABEL [--until=TIME | --for=TIME]", verb_pin},
	{"unpin", 1, 1, "pitr-catalog unpin LABEL", verb_unpin},
	{"note", 2, 2, "pitr-catalog note LABEL TEXT", verb_note},
	{"mirror", 0, 0, "pitr-catalog mirror", verb_mirror},
	{"rebuild", 0, 0, "pitr-catalog rebuild", verb_rebuild},
	{"adopt", 0, 1, "pitr-catalog adopt [BRANCH]", verb_adopt},
	{"fork", 0, 1, "pitr-catalog fork [BRANCH]", verb_fork},
	{"init", 0, 0, "pitr-catalog init", verb_init},
	{"keygen", 1, 1, "pitr-catalog keygen FILE [--host-key-of=FILE]", verb_keygen},
	{"key", 1, 2, "pitr-catalog key list | key add FILE | key remove FINGERPRINT", verb_key},
};

static bool catalog_run(const struct options *options, struct error *err)
{
	const char *name = options->arguments.count == 0 ? "list" : options->arguments.items[0];
	int argument_count = options->arguments.count == 0 ? 0 : options->arguments.count - 1;

	if (options->new_system && strcmp(name, "init") != 0)
		return fail(err, ERROR_USAGE, "--new-system belongs to the verb \"init\"");
	if (options->host_key_of != NULL && strcmp(name, "keygen") != 0)
		return fail(err, ERROR_USAGE, "--host-key-of belongs to the verb \"keygen\"");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		if (argument_count >= verbs[i].argument_least && argument_count <= verbs[i].argument_most)
			return verbs[i].run(options, err);
		return fail(err, ERROR_USAGE, "wrong number of arguments for \"%s\": %d", name, argument_count) ||
		       fail_hint(err, "Usage: %s", verbs[i].usage);
	}
	return fail(err, ERROR_USAGE, "\"%s\" is not something pitr-catalog can do", name) ||
	       fail_hint(err,
			 "It can: list, show LABEL, window, pin LABEL, unpin LABEL, note LABEL TEXT, mirror, rebuild, "
			 "adopt [BRANCH], fork [BRANCH], init, keygen FILE, key list, key add "
			 "FILE, key remove FINGERPRINT.");
}

static int run(const struct options *options)
{
	struct error err = {0};

	return catalog_run(options, &err) ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_CATALOG, FOR_PROGRAM, argc, argv, run);
}
