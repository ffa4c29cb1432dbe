/* The log of a server that was started by launch.h, read as it grows: how far recovery has come, where it stopped, and
 * what it failed of. The server was told to write in English, with "… [PID] BACKEND " in front of each message.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "pg/wal_name.h"

#define SERVER_LOG_PREFIX "%m [%p] %b "
#define SENTENCE_SIZE	  512

/* Where the server says that recovery stopped (recoveryStopsBefore() and …After() of xlogrecovery.c). */
enum halt_kind { HALT_NONE, HALT_LSN, HALT_COMMIT, HALT_ABORT, HALT_NAME, HALT_CONSISTENT };

struct halt {
	enum halt_kind kind;
	bool is_before;
	uint64_t lsn;		      /* of HALT_LSN */
	uint32_t xid;		      /* of HALT_COMMIT and HALT_ABORT */
	char sentence[SENTENCE_SIZE]; /* "recovery stopping after WAL location (LSN) …" */
};

struct server_log {
	char path[PATH_MAX];
	uint64_t offset; /* read up to here: whole lines */

	char segment[WAL_NAME_MAX + 1]; /* the last that was restored from the archive; empty: none yet */
	struct halt halt;
	char failure[SENTENCE_SIZE]; /* what the server or its recovery ended with; empty: nothing */
	char cause[SENTENCE_SIZE];   /* what pitr-fetch had said just before, else the detail */
	char hint[SENTENCE_SIZE];    /* … and advised */
	char warning[SENTENCE_SIZE]; /* the last that recovery gave */
	bool is_logging;	     /* the server has come to writing messages as it was told */
	char last[SENTENCE_SIZE];    /* the last line there was; before it writes messages: the first */
};

/* Begins at the end of the file as it is now: an earlier server's messages are not this one's. */
bool server_log_open(struct server_log *log, const char *path, struct error *err) MUST_CHECK;
/* Takes in what has been added. *has_grown may be NULL. */
bool server_log_read(struct server_log *log, bool *has_grown, struct error *err) MUST_CHECK;
