/* Watches a server recover, to the point where it pauses, is promoted, or shuts down, and shows how far it has come in
 * between. What was reached is what the server itself says: over a connection, in its log, and in pg_control once it
 * has shut down.
 *
 * Nothing hangs: a server that ends is seen by its process, and one that stands still for ten minutes, besides the
 * time that fetching is retried, is given up on (and left running).
 */
#pragma once

#include "plan/plan.h"
#include "recovery/launch.h"
#include "recovery/server_log.h"

enum reached_state { REACHED_PAUSED, REACHED_PROMOTED, REACHED_SHUT_DOWN };

struct reached {
	enum reached_state state;
	uint64_t lsn;	   /* behind the last record that was replayed; shut down: at least so far */
	uint32_t timeline; /* that the server is on */
	uint32_t parent;   /* promoted: the one it came from; 0: it does not say */
	/* Of the last commit or rollback that was replayed: as the server says, or of the last commit of the plan when
	 * it says that it has that one, and no later time. 0: none, or it has shut down. */
	int64_t last_time_us;
	bool has_last_commit;	     /* the server has the last commit of the plan */
	struct halt halt;	     /* where the server says that it stopped */
	char warning[SENTENCE_SIZE]; /* the last that recovery gave; empty: none */
	struct postmaster server;
	int64_t replay_ms;
};

struct following {
	const struct launch *launch;
	pid_t pid;		      /* a child of ours */
	const struct server_log *log; /* opened before it was started */
	const struct plan *plan;
	uint64_t from; /* LSN at which replay begins, for the progress */
	bool wants_progress;
	int64_t retry_for_ms; /* for so long restore_command may be silent by rights */
};

bool follow_run(const struct following *asked, struct reached *reached, struct error *err) MUST_CHECK;
const char *reached_state_name(enum reached_state state);
