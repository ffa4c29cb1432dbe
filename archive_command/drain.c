#include "drain.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "repo/branch_mark.h"
#include "repo/server_drain.h"

static void holes_warn(const struct wal_drain *drain)
{
	char text[WAL_HOLE_TEXT_SIZE];

	for (int i = 0; i < drain->hole_count && i < WAL_HOLES_MAX; i++) {
		wal_hole_format(&drain->holes[i], text);
		log_warning("neither the archive nor this server has %s", text);
	}
	if (drain->hole_count > 0)
		log_hint("A restore cannot pass them. \"pitr-catalog window\" shows what can be restored.");
}

static void drain_print(const struct wal_drain *drain)
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(drain->end, lsn);
	(void) printf("Stored %" PRIu64 " WAL segment%s", drain->stored, drain->stored == 1 ? "" : "s");
	if (drain->has_partial)
		(void) printf(" and the last one, to LSN %s, as \"%s\"", lsn, drain->partial.text);
	(void) printf("; %" PRIu64 " had been archived.\n", drain->present);
}

bool drain_run(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct branch_mark mark;
	struct control_file control;
	struct wal_drain drain;

	TRY(server_stopped_check(options->drain, &control, err));
	TRY(repo_open(options, control.system_identifier, &repo, err));
	TRY(branch_mark_apply(repo, options->drain, &mark, err));
	TRY(branch_mark_store(repo, &mark, err));
	if (!server_drain(repo, options->drain, &control, &drain, err))
		return fail_in(err, "could not store all WAL of the server in \"%s\"", options->drain);
	holes_warn(&drain);
	drain_print(&drain);
	return true;
}
