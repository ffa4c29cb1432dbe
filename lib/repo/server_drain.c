#include "repo/server_drain.h"

#include <inttypes.h>

#include "pg/postmaster.h"

bool server_stopped_check(const char *pgdata, struct control_file *control, struct error *err)
{
	struct postmaster postmaster;

	if (!control_file_read(pgdata, control, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return fail_in(err, "\"%s\" is not a data directory", pgdata);
	}
	TRY(postmaster_read(pgdata, &postmaster, err));
	if (postmaster.pid == 0)
		return true;
	(void) fail(err, ERROR_USAGE, "a server is running in \"%s\" (process %d)", pgdata, (int) postmaster.pid);
	return fail_hint(err, "Stop it first: pg_ctl -D '%.300s' stop", pgdata);
}

/* All WAL of the path is there up to where the server was? */
static bool end_check(const struct wal_drain *drain, const struct control_file *control, struct error *err)
{
	char lsn[2][LSN_TEXT_SIZE];

	if (drain->damage.kind != ERROR_NONE) {
		*err = drain->damage;
		return false;
	}
	if (drain->end == 0 || drain->end > control->checkpoint)
		return true;
	lsn_format(drain->end, lsn[0]);
	lsn_format(control->checkpoint, lsn[1]);
	return fail(err, ERROR_CORRUPT, "the WAL in \"%s\" ends at LSN %s, before the server's last checkpoint at %s",
		    drain->directory->path, lsn[0], lsn[1]);
}

static bool drain_directory(struct repo *repo, const char *path, uint64_t system_identifier,
			    const struct control_file *control, struct wal_drain *drain, struct error *err)
{
	struct wal_directory directory WAL_DIRECTORY_CLEANUP = {.count = 0};
	struct wal_path wal_path;

	*drain = (struct wal_drain){.repo = repo, .path = &wal_path, .directory = &directory, .keeps_partial = true};
	TRY(wal_directory_read(path, system_identifier, &directory, err));
	if (!wal_drain_path(repo, &directory, control != NULL ? control->timeline : 0,
			    control != NULL ? control->checkpoint : 0, &wal_path, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return false;
	}
	bool done = wal_drain_run(drain, err) && (control == NULL || end_check(drain, control, err));
	drain->path = NULL;
	drain->directory = NULL;
	return done;
}

bool server_drain(struct repo *repo, const char *pgdata, const struct control_file *control, struct wal_drain *drain,
		  struct error *err)
{
	return drain_directory(repo, pgdata, control->system_identifier, control, drain, err);
}

bool server_drain_remains(struct repo *repo, const char *directory, struct wal_drain *drain, struct error *err)
{
	return drain_directory(repo, directory, repo->layout.system_identifier, NULL, drain, err);
}
