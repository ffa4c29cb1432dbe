#include "announce.h"

#include <stdlib.h>
#include <string.h>

#include "audience.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "config/program.h"
#include "prefetched.h"

#define PREFETCHER "pitr-prefetch"

/* A standby at the end of the archive asks for the next segment again and again. There is nothing behind one that has
 * just arrived. */
static bool segment_announce(const struct options *options, const char *directory, const struct wal_name *name,
			     struct announcement *announcement, struct error *err)
{
	const struct spool *spool = &announcement->spool;
	struct wal_name last;

	if (recovering_server(directory) == 0)
		return true;
	TRY(spool_locate(options, directory, &announcement->spool, err));
	TRY(spool_make(spool, err));
	announcement->is_wanted = !prefetched_asked(spool, &last) || strcmp(last.text, name->text) != 0;
	return prefetched_ask(spool, name, err);
}

void announce_segment(const struct options *options, const char *directory, const struct wal_name *name,
		      struct announcement *announcement)
{
	struct error err = {0};

	announcement->is_wanted = false;
	if (name->kind == WAL_SEGMENT && !segment_announce(options, directory, name, announcement, &err)) {
		announcement->is_wanted = false;
		log_info("nothing is fetched ahead: %s", err.text);
	}
}

/* Everything as it was given to us, but under its own name. */
static bool prefetcher_start(const struct options *options, struct error *err)
{
	char path[PATH_MAX];
	struct process process = {.program = path, .log = "/dev/null"};
	const char **arguments;
	size_t count = 0;
	pid_t pid;

	TRY(program_path(PROGRAM_WHOLE, PREFETCHER, path, err));
	while (options->argv[count] != NULL)
		count++;
	arguments = calloc(count + 1, sizeof(*arguments));
	if (arguments == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	memcpy((void *) arguments, (const void *) options->argv, count * sizeof(*arguments));
	arguments[0] = PREFETCHER;
	process.arguments = arguments;
	bool is_started = process_start(&process, &pid, err);
	free((void *) arguments);
	return is_started;
}

void announce_success(const struct options *options, const struct announcement *announcement)
{
	struct error err = {0};

	if (announcement->is_wanted && prefetched_holder(&announcement->spool) == HOLDER_NONE &&
	    !prefetcher_start(options, &err))
		log_info("nothing is fetched ahead: %s", err.text);
}
