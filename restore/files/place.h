/* Where a backup is laid down: the data directory and the directory of each tablespace, checked to be free. Checks
 * write nothing. A marker file in the data directory says that a restore is under way, and of what: it lets the same
 * restore be resumed, and nothing else be mistaken for it.
 */
#pragma once

#include <limits.h>

#include "repo/catalog.h"

#define PLACE_MARKER "pitr_restore_in_progress"

struct place_tablespace {
	uint32_t oid;
	bool is_linked; /* false: made in place, below pg_tblspc (allow_in_place_tablespaces of PostgreSQL 15) */
	bool is_ours;	/* its directory may hold files: those of the directory that is restored onto */
	bool is_mapped; /* -T gives it another directory than it had */
	char source[1024];
	char target[PATH_MAX];
	size_t existing_length; /* of the part of `target` that was there before */
};

struct place {
	char pgdata[PATH_MAX]; /* absolute */
	bool exists;
	bool is_delta;		    /* a data directory of the same cluster is there, and restored onto */
	bool was_interrupted;	    /* … which a restore has begun to change already */
	bool is_resumed;	    /* an interrupted restore of the same backup is there */
	bool is_finished;	    /* … which had only its marker left to remove */
	char included_to[PATH_MAX]; /* empty: nothing that --include added is wanted */
	size_t included_existing_length;
	bool is_included_resumed; /* what is in it is that restore's */
	int tablespace_count;
	struct place_tablespace *tablespaces; /* owned */
	json_t *marker;			      /* what the marker file says, or will */
};

/* USAGE, saying what is in the way, when the data directory, any tablespace's or that of --included-to is in use.
 * `settings` is what the marker compares to tell a finished restore from another one. */
bool place_plan(struct repo *repo, const struct backup *backup, const struct options *options, const char *settings,
		struct place *place, struct error *err) MUST_CHECK;
void place_release(struct place *place);
#define PLACE_CLEANUP __attribute__((cleanup(place_release)))

/* The process of a server that runs in the directory, from its postmaster.pid; 0: none. */
int place_server_pid(const char *pgdata);

/* Makes the directories, the links to tablespaces, and the marker; durable. In a directory that is restored onto, only
 * the marker: what a server needs stays as it is. */
bool place_create(const struct place *place, struct error *err) MUST_CHECK;
/* Takes back the files and directories that place_create() made, as far as it can; for a restore that ends before
 * anything was laid down. */
void place_abandon(const struct place *place);
/* Removes the marker: the restore is complete. */
bool place_finish(const struct place *place, struct error *err) MUST_CHECK;
