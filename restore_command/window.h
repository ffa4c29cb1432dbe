/* Which segments are to be ahead of the server, and what has become of each: those from `head`, the first that it has
 * not taken, up to `next`, the first that has not been begun with. Pure bookkeeping; knows nothing of files.
 */
#pragma once

#include "pg/wal_name.h"

#define WINDOW_MAX 512 /* as many as fit into DISK_MAX of prefetch.c at the smallest segment size; a power of two */

enum window_place { PLACE_IN_WORK, PLACE_READY, PLACE_FAILED };

struct window {
	uint32_t timeline, segment_size;
	uint64_t head, next;
	bool is_at_end;			      /* one of them could not be had: none behind it is begun with */
	enum window_place places[WINDOW_MAX]; /* by number modulo its size */
	int64_t fetch_ms, take_ms;	      /* how long it takes to fetch one; how often one is taken */
};

/* The window of the server that was given `name`: what stands behind it stays, if it is of one run with it. `drop` is
 * called for what does not. */
typedef void (*window_drop)(void *context, const struct wal_name *name);
void window_move(struct window *window, const struct wal_name *name, window_drop drop, void *context);

bool window_contains(const struct window *window, const struct wal_name *name);
enum window_place *window_place(struct window *window, const struct wal_name *name); /* must be contained */
void window_name(const struct window *window, uint64_t number, struct wal_name *name);

/* Averages, in which the latest counts for a quarter. */
void window_fetched(struct window *window, int64_t duration_ms);
void window_taken(struct window *window, int64_t interval_ms); /* and the head is the next one */
/* How many should be ahead with that many workers and room for `room` of them: what is taken while one is fetched,
 * twice, so that one late answer is not felt. */
int window_depth(const struct window *window, int workers, int room);
