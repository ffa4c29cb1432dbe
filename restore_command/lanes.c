#include "lanes.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/workers.h"
#include "pg/crc32c.h"
#include "prefetched.h"
#include "repo/wal_store.h"

/* What is written and counted at a time: in the processor's cache the second time, and enough for the kernel to take
 * its own in large pieces too, which costs it a third of what small ones do. */
#define PIECE_SIZE (2 * MiB)

enum lane_state { LANE_FREE, LANE_FLYING, LANE_LANDED };

struct lane {
	struct lanes *lanes;
	int fd; /* of its file */
	struct buf content;
	struct landing landing;
	enum lane_state state; /* guarded by the lock; what else is here is the worker's while it flies */
};

struct lanes {
	struct repo *repo;
	const struct spool *spool;
	struct workers *workers;
	pthread_mutex_t lock;
	int landed; /* eventfd(2) */
	int count;
	struct lane lanes[];
};

static bool content_write(int fd, struct bytes content, const char *name, uint32_t *crc, struct error *err)
{
	uint32_t sum = CRC32C_INIT;

	fd_reserve(fd, content.size);
	while (content.size > 0) {
		struct bytes piece = bytes_slice(content, 0, content.size < PIECE_SIZE ? content.size : PIECE_SIZE);

		sum = crc32c_add(sum, piece);
		TRY(fd_write_all(fd, piece, name, err));
		content = bytes_slice(content, piece.size, content.size - piece.size);
	}
	*crc = crc32c_final(sum);
	return true;
}

static bool lane_fly(struct lane *lane, struct error *err)
{
	struct repo *repo = lane->lanes->repo;
	const struct wal_name *name = &lane->landing.name;

	buf_clear(&lane->content);
	return wal_store_get(repo, &repo->layout, name, &lane->content, err) &&
	       content_write(lane->fd, buf_bytes(&lane->content), name->text, &lane->landing.crc, err);
}

/* A segment that fails is an answer to the caller, and no reason to end the others. */
static bool lane_run(void *job, bool cancelled, struct error *err)
{
	const uint64_t one = 1;
	struct lane *lane = job;
	struct lanes *lanes = lane->lanes;
	int64_t begin_ms = clock_monotonic_ms();

	lane->landing.is_whole = !cancelled && lane_fly(lane, err);
	fd_close(&lane->fd);
	lane->landing.duration_ms = clock_monotonic_ms() - begin_ms;
	if (!lane->landing.is_whole)
		log_debug("\"%s\": %s", lane->landing.name.text, err->text);
	(void) pthread_mutex_lock(&lanes->lock);
	lane->state = LANE_LANDED;
	(void) pthread_mutex_unlock(&lanes->lock);
	(void) !write(lanes->landed, &one, sizeof(one));
	return true;
}

bool lanes_open(struct repo *repo, const struct spool *spool, int count, struct lanes **lanes, struct error *err)
{
	struct lanes *made = calloc(1, sizeof(*made) + (size_t) count * sizeof(made->lanes[0]));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	*made = (struct lanes){.repo = repo, .spool = spool, .count = count};
	for (int i = 0; i < count; i++)
		made->lanes[i] = (struct lane){.lanes = made, .content = {.size_max = WAL_SEGMENT_SIZE_MAX}};
	(void) pthread_mutex_init(&made->lock, NULL);
	made->landed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (made->landed < 0) {
		free(made);
		return fail_errno(err, "could not make an event");
	}
	*lanes = made;
	return workers_open(count, count, &made->workers, err);
}

static struct lane *lane_find(struct lanes *lanes, enum lane_state state)
{
	struct lane *found = NULL;

	(void) pthread_mutex_lock(&lanes->lock);
	for (int i = 0; i < lanes->count && found == NULL; i++)
		if (lanes->lanes[i].state == state)
			found = &lanes->lanes[i];
	(void) pthread_mutex_unlock(&lanes->lock);
	return found;
}

bool lanes_have_room(struct lanes *lanes)
{
	return lane_find(lanes, LANE_FREE) != NULL;
}

bool lanes_start(struct lanes *lanes, const struct wal_name *name, struct error *err)
{
	struct lane *lane = lane_find(lanes, LANE_FREE);
	char path[PATH_MAX];

	assert(lane != NULL);
	prefetched_remove(lanes->spool, name->text);
	TRY(spool_path(lanes->spool, name->text, path, err));
	lane->fd = fs_open_new(path, 0600, err);
	TRY(lane->fd >= 0);
	lane->landing = (struct landing){.name = *name};
	lane->state = LANE_FLYING;
	return workers_submit(lanes->workers, lane_run, lane, err);
}

bool lanes_land(struct lanes *lanes, struct landing *landing)
{
	struct lane *lane = lane_find(lanes, LANE_LANDED);

	if (lane == NULL)
		return false;
	*landing = lane->landing;
	lane->state = LANE_FREE;
	return true;
}

void lanes_wait(struct lanes *lanes, int timeout_ms)
{
	struct pollfd event = {.fd = lanes->landed, .events = POLLIN};
	uint64_t count;

	(void) poll(&event, 1, timeout_ms);
	(void) !read(lanes->landed, &count, sizeof(count));
}
