/* postmaster.pid, in which a running server says what it is and where it listens (utils/pidfile.h, 13 to 18). */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/error.h"

enum postmaster_state {
	POSTMASTER_STARTING, /* accepts no connections yet */
	POSTMASTER_STANDBY,  /* accepts connections while it recovers */
	POSTMASTER_READY,    /* recovery, if there was one, is over */
	POSTMASTER_STOPPING,
};

struct postmaster {
	pid_t pid; /* 0: no server is running */
	char port[8];
	/* The first it listens at, as libpq takes it: a directory of a Unix socket, else an address; empty: not yet
	 * known. */
	char host[PATH_MAX];
	enum postmaster_state state;
};

/* A file that a server left behind which no longer runs says that none does. */
bool postmaster_read(const char *pgdata, struct postmaster *postmaster, struct error *err) MUST_CHECK;
