/* What a recovering, or just promoted, server says of itself when it is asked. */
#pragma once

#include "pg/postmaster.h"
#include "pg/replication.h"

struct standing {
	bool in_recovery, is_paused;
	uint64_t lsn; /* behind the last record that was replayed */
	/* Of the last commit or rollback that was replayed, but for one at which replay stopped because of its LSN
	 * (recoveryStopsAfter() of xlogrecovery.c returns before it notes the time); 0: none since it started. */
	int64_t last_time_us;
};

/* As the user of the environment (PGUSER, else the operating system's), and else as "postgres": who the superuser is,
 * nobody but the cluster knows. */
bool standing_connect(const struct postmaster *postmaster, struct server **server, struct error *err) MUST_CHECK;
bool standing_read(struct server *server, int64_t server_version, struct standing *standing,
		   struct error *err) MUST_CHECK;
/* Does the server know the transaction as committed? */
bool standing_has_committed(struct server *server, uint32_t xid, bool *has_committed, struct error *err) MUST_CHECK;
/* The timeline that it is on now; false when it does not let us ask (the reason is logged for debugging). */
bool standing_timeline(const struct postmaster *postmaster, uint32_t *timeline);
