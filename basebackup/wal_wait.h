/* A backup is worth nothing without its WAL: waits until all of it, and the history of its timeline, is proven to be
 * in the repository. */
#pragma once

#include "pg/replication.h"
#include "repo/catalog.h"

struct wal_wait {
	struct repo *repo;
	const struct backup *backup;
	int64_t timeout_ms;
	bool has_primary;		      /* that was asked to switch */
	const struct server_address *address; /* of the server, to ask why nothing comes */
};

/* UNREACHABLE, naming the file, when it does not come in time. */
bool wal_wait_all(const struct wal_wait *wait, struct error *err) MUST_CHECK;
