/* WAL files outward: parse the name of one, read it, check that it is what the name says, store it; of segments also
 * those that come next (ahead.h).
 * PostgreSQL manual, section 26.3.1; the caller's exit status 0 means "durably stored", and nothing else does.
 */
#pragma once

#include <limits.h>

#include "ahead.h"
#include "archived.h"
#include "config/options.h"
#include "repo/repo.h"

/* {.options = …} to begin with. */
struct archive {
	const struct options *options;
	/* Other files will follow: the repository stays open for them, for some minutes, until anything that it depends
	 * on has changed (spool.h) or something fails. */
	bool stays;

	struct repo *repo; /* NULL: not open */
	char binding[SPOOL_BINDING_SIZE];
	int64_t deadline_ms;
	struct segment_file asked;
	/* What is stored ahead, and from where. */
	struct ahead ahead;
	struct ready ready;
	struct spool spool;
	char path[PATH_MAX];
	char record[ARCHIVED_RECORD_SIZE];
};

/* `path` as PostgreSQL's %p: relative to the data directory, which is the working directory. True when that file is
 * stored durably; those behind it may still be under way, until the next call. */
bool archive_file(struct archive *archive, const char *path, struct error *err) MUST_CHECK;
/* Behind that: refreshes the server's mirror of the catalog when it is time for it (mirroring.h), and waits for what is
 * under way then. */
void archive_mirror(struct archive *archive, const char *path);
/* Writes down why the file could not be archived, for those who look from within the server (repo/archive_failure.h).
 * What comes of it changes nothing about the failure. */
void archive_note(const char *path, const struct error *why);
/* Waits for that file, if it is under way: whether it is stored, archived_before() says. */
void archive_await(struct archive *archive, const char *path);
/* Begins no further one. */
void archive_end(struct archive *archive);
/* Waits for those that are under way, then gives everything back; for the next file all is opened again. */
void archive_release(struct archive *archive);
#define ARCHIVE_CLEANUP __attribute__((cleanup(archive_release)))
