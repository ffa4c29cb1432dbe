/* Starting and stopping the server of a restored data directory.
 *
 * It is a server to look at what was restored, and outlives the program. Unless a port is asked for, nobody but its
 * owner (and root) can reach it: it listens on a Unix socket in a private directory and at no address, and lets its
 * owner in as any role. With a port the addresses, sockets and pg_hba.conf of its configuration apply.
 */
#pragma once

#include <limits.h>

#include "config/options.h"
#include "pg/postmaster.h"

#define LAUNCH_DIRECTORY "pitr.start" /* below the data directory: the server's log, and what makes it private */

struct launch {
	char pgdata[PATH_MAX]; /* absolute, like all of them */
	char bin[PATH_MAX];
	char config_file[PATH_MAX]; /* empty: the one in the data directory */
	char port[8];		    /* empty: a private server */
	char log[PATH_MAX];
	char sockets[PATH_MAX]; /* of a private server: the directory of its socket */
};

/* With the programs for that version; writes nothing. USAGE for --pg-bin, --port and --config-file that cannot be. */
bool launch_plan(const struct options *options, int64_t server_version, struct launch *launch,
		 struct error *err) MUST_CHECK;
/* In the data directory `pgdata`, an absolute path. */
bool launch_place(struct launch *launch, const char *pgdata, struct error *err) MUST_CHECK;
/* The configuration that the directory will be started with is there. */
bool launch_check(const struct launch *launch, struct error *err) MUST_CHECK;
bool launch_start(struct launch *launch, pid_t *pid, struct error *err) MUST_CHECK;
/* Fast shutdown, waited for. Takes the socket's directory away if that is one of ours. */
bool launch_stop(const struct launch *launch, const struct postmaster *running, struct error *err) MUST_CHECK;
