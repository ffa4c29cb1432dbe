/* A stopped server: is it one, and what has it not archived? Its data directory is only read. */
#pragma once

#include "pg/control_file.h"
#include "repo/wal_drain.h"

/* Reads the control file of a data directory in which no server runs (one that has crashed is fine). USAGE when one
 * does, or when it is no data directory. */
bool server_stopped_check(const char *pgdata, struct control_file *control, struct error *err) MUST_CHECK;

/* Stores every segment of the server's timeline that the archive lacks, and the one in which its WAL ends as .partial.
 * Fills the answers of *drain. `repo` writes to the branch of the directory. */
bool server_drain(struct repo *repo, const char *pgdata, const struct control_file *control, struct wal_drain *drain,
		  struct error *err) MUST_CHECK;
/* The same of a pg_wal (or data directory) whose server is gone: of the newest timeline that it has segments of. */
bool server_drain_remains(struct repo *repo, const char *directory, struct wal_drain *drain,
			  struct error *err) MUST_CHECK;
