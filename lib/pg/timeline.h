/* Timeline history files ("0000000N.history"; timeline.c of PostgreSQL).
 *
 * A server that recovers along timeline 2 but stops before the point where 2 left 1 writes a history whose switch
 * points descend (writeTimeLineHistory() copies the whole history of recovery_target_timeline). PostgreSQL reads it
 * from the newest line to the oldest, so the lines of higher switch points are cut off there; so they are here.
 */
#pragma once

#include "base/buf.h"

#define TIMELINES_MAX 1024

struct timeline_switch {
	uint32_t timeline; /* parent … */
	uint64_t end;	   /* … and where it was left */
};

/* The path to a timeline: its ancestors, oldest first, and itself last with end = UINT64_MAX. The ends never descend;
 * an ancestor whose end is that of the one before it contributed nothing. */
struct timeline_history {
	int count;
	struct timeline_switch path[TIMELINES_MAX];
};

/* CORRUPT unless parents ascend, LSNs parse and all are below `timeline`. Empty text: CORRUPT. */
bool timeline_history_parse(uint32_t timeline, struct bytes text, struct timeline_history *history,
			    struct error *err) MUST_CHECK;
/* The path of a timeline without history: 1 only. */
void timeline_history_root(uint32_t timeline, struct timeline_history *history);
/* The timeline of the path on which byte `lsn` was written. */
uint32_t timeline_history_at(const struct timeline_history *history, uint64_t lsn);
/* Does the path lead through `timeline` at `lsn`? The switch point itself belongs to the younger timeline. */
bool timeline_history_contains(const struct timeline_history *history, uint32_t timeline, uint64_t lsn);
