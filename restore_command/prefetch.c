#include "prefetch.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "audience.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "lanes.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "prefetched.h"
#include "repo/branch_mark.h"
#include "window.h"

/* On disk for one data directory; and of what is free, at most this part. */
#define DISK_MAX	 (512 * MiB)
#define DISK_FREE_SHARE	 4
#define CHECK_PAUSE_MS	 250
#define LOOK_PAUSE_MS	 10
#define IDLE_PAUSE_MS	 100
#define IDLE_AFTER_MS	 2000
#define RETRY_FOR_MAX_MS 10000 /* long enough for a hiccup; what lasts longer, the server is to hear of */

struct prefetch {
	struct options options;
	char directory[PATH_MAX];
	struct spool spool;
	int lock;
	int workers;
	pid_t postmaster;
	struct lanes *lanes;
	struct window window;
	struct wal_name asked;
	int64_t taken_ms, checked_ms; /* when something was last taken or asked for, and all else looked at */
};

static void drop(void *context, const struct wal_name *name)
{
	const struct prefetch *prefetch = context;

	prefetched_remove(&prefetch->spool, name->text);
}

/* The server was given a segment by somebody else: it goes on behind that one. */
static void asked_follow(struct prefetch *prefetch)
{
	struct wal_name asked;

	if (!prefetched_asked(&prefetch->spool, &asked) || strcmp(asked.text, prefetch->asked.text) == 0)
		return;
	prefetch->asked = asked;
	prefetch->taken_ms = clock_monotonic_ms();
	window_move(&prefetch->window, &asked, drop, prefetch);
	log_debug("the server was given \"%s\"", asked.text);
}

static void landing_accept(struct prefetch *prefetch, const struct landing *landing)
{
	struct window *window = &prefetch->window;
	struct error err = {0};

	if (!window_contains(window, &landing->name)) {
		prefetched_remove(&prefetch->spool, landing->name.text);
		return;
	}
	bool is_ready =
		landing->is_whole && prefetched_finish(&prefetch->spool, landing->name.text, landing->crc, &err);
	*window_place(window, &landing->name) = is_ready ? PLACE_READY : PLACE_FAILED;
	if (is_ready) {
		window_fetched(window, landing->duration_ms);
		return;
	}
	window->is_at_end = true;
	prefetched_remove(&prefetch->spool, landing->name.text);
}

/* What is ready and no longer there was taken. */
static void taken_follow(struct prefetch *prefetch)
{
	struct window *window = &prefetch->window;
	char path[PATH_MAX];
	struct wal_name head;
	struct error err;
	bool exists;

	while (window->head < window->next) {
		window_name(window, window->head, &head);
		if (*window_place(window, &head) != PLACE_READY ||
		    !spool_path(&prefetch->spool, head.text, path, &err) || !fs_exists(path, &exists, &err) || exists)
			return;
		int64_t now_ms = clock_monotonic_ms();
		window_taken(window, now_ms - prefetch->taken_ms);
		prefetch->taken_ms = now_ms;
	}
}

/* For how many segments there is room, with those that are there. */
static int room_on_disk(const struct prefetch *prefetch)
{
	const struct window *window = &prefetch->window;
	uint64_t most = DISK_MAX / window->segment_size, used = window->next - window->head;
	struct statvfs disk;

	if (statvfs(prefetch->spool.directory, &disk) != 0)
		return 0;
	uint64_t free_size = (uint64_t) disk.f_bavail * disk.f_frsize / window->segment_size;
	uint64_t share = (free_size + used) / DISK_FREE_SHARE;
	most = most > 0 ? most : 1;
	return (int) (share < most ? share : most);
}

static bool segments_start(struct prefetch *prefetch, struct error *err)
{
	struct window *window = &prefetch->window;
	struct wal_name name;

	while (!window->is_at_end && lanes_have_room(prefetch->lanes) &&
	       window->next - window->head <
		       (uint64_t) window_depth(window, prefetch->workers, room_on_disk(prefetch))) {
		window_name(window, window->next++, &name);
		*window_place(window, &name) = PLACE_IN_WORK;
		TRY(lanes_start(prefetch->lanes, &name, err));
	}
	return true;
}

/* Nothing is coming, and what came has been taken. */
static bool is_done(struct prefetch *prefetch)
{
	struct window *window = &prefetch->window;
	struct wal_name head;

	if (window->head == window->next)
		return room_on_disk(prefetch) == 0;
	window_name(window, window->head, &head);
	return *window_place(window, &head) == PLACE_FAILED;
}

/* Is it still the same server, which recovers in the same directory with the same settings? */
static bool server_check(struct prefetch *prefetch, struct error *err)
{
	struct spool spool;

	if (prefetch->postmaster == 0 || recovering_server(prefetch->directory) != prefetch->postmaster)
		return fail(err, ERROR_NOT_FOUND, "the server does not recover any more");
	TRY(spool_locate(&prefetch->options, prefetch->directory, &spool, err));
	if (strcmp(spool.binding, prefetch->spool.binding) != 0)
		return fail(err, ERROR_NOT_FOUND, "the data directory is another one");
	return prefetched_beat(prefetch->lock, err);
}

static bool is_wanted(struct prefetch *prefetch, struct error *err)
{
	int64_t now_ms = clock_monotonic_ms();

	if (now_ms - prefetch->taken_ms > SPOOL_RECORD_AGE_MAX_US / 1000)
		return fail(err, ERROR_NOT_FOUND, "nothing is asked for");
	if (now_ms - prefetch->checked_ms < CHECK_PAUSE_MS)
		return true;
	prefetch->checked_ms = now_ms;
	return server_check(prefetch, err);
}

static bool prefetch_loop(struct prefetch *prefetch, struct error *err)
{
	struct landing landing;

	for (;;) {
		bool is_idle = clock_monotonic_ms() - prefetch->taken_ms > IDLE_AFTER_MS;

		asked_follow(prefetch);
		while (lanes_land(prefetch->lanes, &landing))
			landing_accept(prefetch, &landing);
		taken_follow(prefetch);
		TRY(segments_start(prefetch, err));
		if (is_done(prefetch))
			return true;
		lanes_wait(prefetch->lanes, is_idle ? IDLE_PAUSE_MS : LOOK_PAUSE_MS);
		TRY(is_wanted(prefetch, err));
	}
}

/* ----------------------------------------------------------------------------------------------------- beginning */

/* Two for each job: while one waits for the network, another opens what came (repo_get() lets no more of them do that
 * than there are jobs). Each holds a segment and its object, which may be as large. */
static int workers_of(const struct options *options, uint32_t segment_size)
{
	int64_t fit = options->memory / (2 * (int64_t) segment_size), wanted = 2 * options->jobs;

	return (int) (fit < 1 ? 1 : fit < wanted ? fit : wanted);
}

/* Buffers of megabytes come and go with every object: they are to stay mapped. */
static void memory_keep(void)
{
	(void) mallopt(M_MMAP_THRESHOLD, 1 << 30);
	(void) mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

static bool prefetch_begin(struct prefetch *prefetch, struct repo **repo, struct error *err)
{
	struct control_file control;
	struct wal_name name;

	TRY(wal_name_parse(prefetch->options.arguments.items[0], &name, err));
	TRY(control_file_read(prefetch->directory, &control, err));
	if (name.kind != WAL_SEGMENT || control.segment_size == 0)
		return fail(err, ERROR_USAGE, "it is not known what follows \"%s\"", name.text);
	TRY(prefetched_remove_all(&prefetch->spool, err));
	prefetch->window = (struct window){
		.timeline = name.timeline,
		.segment_size = control.segment_size,
	};
	prefetch->window.head = prefetch->window.next = wal_segment_number(&name, control.segment_size) + 1;
	prefetch->workers = workers_of(&prefetch->options, control.segment_size);
	TRY(repo_open(&prefetch->options, control.system_identifier, repo, err));
	TRY(branch_mark_apply(*repo, prefetch->directory, NULL, err));
	return lanes_open(*repo, &prefetch->spool, prefetch->workers, &prefetch->lanes, err);
}

static bool prefetch_run(struct prefetch *prefetch, struct error *err)
{
	struct repo *repo = NULL; /* stays open: see lanes_open() */

	TRY(data_directory_of(prefetch->options.arguments.items[1], prefetch->directory, err));
	prefetch->postmaster = recovering_server(prefetch->directory);
	TRY(spool_locate(&prefetch->options, prefetch->directory, &prefetch->spool, err));
	TRY(spool_make(&prefetch->spool, err));
	TRY(prefetched_lock(&prefetch->spool, &prefetch->lock, err));
	TRY(server_check(prefetch, err));
	prefetch->taken_ms = clock_monotonic_ms();
	bool done = prefetch_begin(prefetch, &repo, err) && prefetch_loop(prefetch, err);
	struct error ignored;
	(void) !prefetched_remove_all(&prefetch->spool, &ignored);
	return done;
}

bool prefetch(const struct options *options, struct error *err)
{
	struct prefetch *state = calloc(1, sizeof(*state));

	if (state == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	memory_keep();
	state->options = *options;
	state->lock = -1;
	if (state->options.retry_for > RETRY_FOR_MAX_MS)
		state->options.retry_for = RETRY_FOR_MAX_MS;
	return prefetch_run(state, err);
}
