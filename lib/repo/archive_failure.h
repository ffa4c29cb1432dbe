/* What archiving last failed of, told where the server's own users can read it: the file "pitr.archive-failure" of a
 * data directory. pg_stat_archiver counts failures and names the file; why is in the server's log alone.
 *
 * Nothing removes it when archiving goes on, so that success costs nothing: it is over when pg_stat_archiver says that
 * something was archived since (last_archived_time is later than time_us). Written by what archives, the program and
 * the worker of the archive module, with the words that they print. docs/format.md, "Local documents".
 */
#pragma once

#include "repo/local_document.h"

#define ARCHIVE_FAILURE_NAME_SIZE 256

struct archive_failure {
	int64_t time_us;
	char program[64];		      /* "pitr-archive 0.1.0" */
	char file[ARCHIVE_FAILURE_NAME_SIZE]; /* the WAL file; empty: not known */
	char text[sizeof(((struct error *) NULL)->text)];
	char hint[sizeof(((struct error *) NULL)->hint)];
};

/* `file` may be a path (PostgreSQL's %p), of which the last part is kept, or NULL. USAGE when `pgdata` is no data
 * directory or a newer program wrote the file, DENIED when it is not ours to write in: nothing is written then. What
 * came of it never matters for the archiving itself. */
bool archive_failure_write(const char *pgdata, const char *file, const struct error *why, struct error *err) MUST_CHECK;
/* NOT_FOUND: nothing has failed. Else as local_document_read(). */
bool archive_failure_read(const char *pgdata, struct archive_failure *failure, struct error *err) MUST_CHECK;
/* The same of a document that has been read already. */
bool archive_failure_decode(const json_t *json, struct archive_failure *failure, struct error *err) MUST_CHECK;
