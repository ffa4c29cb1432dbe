/* Random histories for the test of retention: lines of WAL that fail over, are copied and forked, with backups on them,
 * good and bad, pinned and not, by clocks that are right or jump; and what is asked of retention about them. The truth
 * is in `world`, and which backup is of use on which line is told from the tree of lines alone.
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "repo/retention.h"

#define SEGMENT	     (UINT32_C(1) << 20)
#define LINES_MAX    10
#define BACKUPS_MAX  24
#define SEGMENTS_MAX 120 /* of all lines: LSNs are below */
#define HOUR_US	     (INT64_C(3600) * 1000000)
#define DAY	     (24 * HOUR_US)
#define NOW_US	     INT64_C(1700000000000000)

static uint64_t seed;

static uint64_t below(uint64_t bound)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % bound;
}

/* The world: lines, each a timeline of a branch, with what came before it, and backups on them. */
struct line {
	int parent; /* -1: none */
	int branch; /* index of names */
	uint32_t timeline;
	uint64_t from, to; /* LSNs */
	bool is_live;
	struct wal_path path;
};

struct world {
	int line_count, backup_count;
	struct line lines[LINES_MAX];
	struct backup backups[BACKUPS_MAX];
	int64_t true_us[BACKUPS_MAX];
	int line_of[BACKUPS_MAX];
	bool has_wrong_clock;
	bool has_one_clock; /* of whoever took the newest backup and whoever expires: it has jumped ahead for both */
	int64_t segment_us; /* how long a segment takes */
	struct retention_backup items[BACKUPS_MAX];
	struct retention_path paths[LINES_MAX];
	struct retention_unfinished unfinished;
	int unfinished_line;
	struct retention retention;
};

static struct world world;

static int64_t true_time(uint64_t lsn)
{
	return NOW_US - (int64_t) (SEGMENTS_MAX - lsn / SEGMENT) * world.segment_us;
}

/* Is the second line the first one, or does it descend from it by leaving it at or behind `lsn`? */
static bool leads_through(int line, int place, uint64_t lsn)
{
	for (; place >= 0; place = world.lines[place].parent) {
		if (place == line)
			return true;
		if (world.lines[place].from < lsn)
			return false;
	}
	return false;
}

/* Whether a backup of one line is of use on another, from the tree alone. A fork begins with a whole segment. */
static bool on_line(int backup, int place)
{
	return leads_through(world.line_of[backup], place, world.backups[backup].stop_lsn);
}

/* ------------------------------------------------------------------------------------------------ making a world */

static void line_root(struct line *line)
{
	struct error err = {0};

	*line = (struct line){.parent = -1, .timeline = 1, .to = (60 + below(50)) * SEGMENT};
	(void) !layout_init(&line->path.layout, "main", &err);
	line->path.layout.system_identifier = 7;
	timeline_history_root(1, &line->path.history);
}

/* No line comes to where time has not come to. */
static bool line_ends(struct line *line, uint64_t length)
{
	line->to = line->from + length;
	if (line->to > (SEGMENTS_MAX - 1) * (uint64_t) SEGMENT)
		line->to = (SEGMENTS_MAX - 1) * (uint64_t) SEGMENT;
	return line->to > line->from + SEGMENT;
}

/* A line that leaves `parent` somewhere: a failover in its branch, or a copy or a fork in a new one. */
static void line_leave(int parent)
{
	struct line *old = &world.lines[parent], *line = &world.lines[world.line_count];
	uint64_t at = old->from + below(old->to - old->from) + 1;
	bool is_copy = below(3) == 0;
	uint32_t timeline = old->timeline;

	for (int i = 0; i < world.line_count; i++) {
		if (world.lines[i].timeline > timeline)
			timeline = world.lines[i].timeline;
	}
	*line = (struct line){.parent = parent, .branch = old->branch, .timeline = timeline + 1, .from = at};
	if (!line_ends(line, (3 + below(40)) * SEGMENT / 2))
		return;
	line->path = old->path;
	line->path.history.path[line->path.history.count - 1].end = at;
	line->path.history.path[line->path.history.count++] =
		(struct timeline_switch){.timeline = timeline + 1, .end = UINT64_MAX};
	if (is_copy) {
		struct layout *layout = &line->path.layout;

		memmove(&layout->branches[1], &layout->branches[0],
			(size_t) layout->branch_count * sizeof(layout->branches[0]));
		layout->branch_count++;
		layout->branches[0] = (struct branch){.timeline = timeline};
		(void) snprintf(layout->branches[0].name, sizeof(layout->branches[0].name), "copy-%d",
				world.line_count);
		line->branch = world.line_count;
	}
	world.line_count++;
}

/* Another server went on with the same timeline, in a branch of its own, from the beginning of a segment on. */
static void line_fork(int parent)
{
	struct line *old = &world.lines[parent], *line = &world.lines[world.line_count];
	uint64_t number = old->from / SEGMENT + 1 + below(20);
	struct layout *layout = &line->path.layout;

	*line = (struct line){.parent = parent, .branch = world.line_count, .timeline = old->timeline};
	line->from = number * SEGMENT;
	if (number > old->to / SEGMENT || !line_ends(line, (2 + below(30)) * SEGMENT))
		return;
	line->path = old->path;
	memmove(&layout->branches[1], &layout->branches[0],
		(size_t) layout->branch_count * sizeof(layout->branches[0]));
	layout->branch_count++;
	layout->branches[0] = (struct branch){.timeline = old->timeline,
					      .has_first = true,
					      .first_log = (uint32_t) (number / 0x1000),
					      .first_segment = (uint32_t) (number % 0x1000)};
	(void) snprintf(layout->branches[0].name, sizeof(layout->branches[0].name), "fork-%d", world.line_count);
	world.line_count++;
}

static int64_t wrong_clock(int64_t true_us)
{
	if (below(2) == 0)
		return true_us + (int64_t) below(400) * DAY; /* ahead, perhaps in the future */
	if (below(2) == 0)
		return NOW_US - (int64_t) (200 + below(1000)) * DAY; /* behind, before any other */
	return (int64_t) below(1000) * DAY;			     /* as after its battery failed */
}

static void backup_make(int number, bool may_jump)
{
	struct backup *backup = &world.backups[number];
	int place = (int) below((uint64_t) world.line_count);
	const struct line *line = &world.lines[place];
	uint64_t room = line->to - line->from;

	memset(backup, 0, sizeof(*backup));
	(void) snprintf(backup->branch, sizeof(backup->branch), "%s", layout_branch(&line->path.layout));
	(void) snprintf(backup->label, sizeof(backup->label), "%08d", number);
	backup->start_timeline = backup->stop_timeline = line->timeline;
	backup->start_lsn = line->from + below(room);
	backup->stop_lsn = backup->start_lsn + 1 + below(line->to - backup->start_lsn);
	if (below(4) > 0 && backup->stop_lsn > backup->start_lsn + 3 * SEGMENT)
		backup->stop_lsn = backup->start_lsn + 1 + below(3 * SEGMENT);
	backup->segment_size = SEGMENT;
	world.line_of[number] = place;
	world.true_us[number] = true_time(backup->stop_lsn);
	backup->finished_us = world.true_us[number];
	if (may_jump && below(4) == 0) {
		backup->finished_us = wrong_clock(backup->finished_us);
		world.has_wrong_clock = true;
	}
	if (below(8) == 0)
		backup->pinned_until_us = below(2) == 0 ? INT64_MAX : NOW_US + ((int64_t) below(20) - 10) * DAY;
	world.items[number] = (struct retention_backup){.backup = backup, .is_good = below(5) > 0};
}

static int64_t some(uint64_t most)
{
	uint64_t draw = below(most + 2);

	return below(2) == 0 ? 0 : draw == most + 1 ? INT64_MAX : (int64_t) draw;
}

static void policy_make(struct retention_policy *policy)
{
	policy->within_us = below(3) == 0 ? 0 : (int64_t) (1 + below(60)) * DAY / (int64_t) (1 + below(3));
	policy->last = some(4);
	policy->daily = some(6);
	policy->weekly = some(3);
	policy->monthly = some(3);
	policy->yearly = some(2);
}

static bool line_has_child_in_branch(int place)
{
	for (int i = 0; i < world.line_count; i++) {
		if (world.lines[i].parent == place && world.lines[i].branch == world.lines[place].branch)
			return true;
	}
	return false;
}

/* Has the line an earlier backup whose clock was right, by which one that is behind is told? */
static bool is_told(int backup, int place)
{
	for (int i = 0; i < world.backup_count; i++) {
		if (world.backups[i].finished_us == world.true_us[i] && on_line(i, place) &&
		    world.backups[i].stop_lsn < world.backups[backup].stop_lsn)
			return true;
	}
	return false;
}

/* A clock that has been behind from the beginning is not wrong for anybody who has only that one. */
static void clocks_correct(void)
{
	bool is_done = false;

	while (!is_done) {
		is_done = true;
		for (int i = 0; i < world.backup_count; i++) {
			bool told = true;

			for (int place = 0; place < world.line_count; place++)
				told = told && (!on_line(i, place) || is_told(i, place));
			if (told || world.backups[i].finished_us >= world.true_us[i] ||
			    world.backups[i].finished_us < RETENTION_BEGIN_US)
				continue;
			world.backups[i].finished_us = world.true_us[i];
			is_done = false;
		}
	}
}

/* The newest backup and who expires are ahead by far more than there ever was between two backups. */
static void clock_of_one_jumps(void)
{
	int64_t ahead_us = (int64_t) (500 + below(500)) * DAY;
	int newest = 0;

	for (int i = 1; i < world.backup_count; i++) {
		if (world.true_us[i] >= world.true_us[newest])
			newest = i;
	}
	world.has_wrong_clock = world.has_one_clock = true;
	world.backups[newest].finished_us += ahead_us;
	world.retention.now_us += ahead_us;
}

static void unfinished_make(void)
{
	int place = (int) below((uint64_t) world.line_count);
	const struct line *line = &world.lines[place];

	world.retention.unfinished_count = 1;
	world.unfinished_line = place;
	world.unfinished.timeline = line->timeline;
	world.unfinished.start_lsn = line->from + below(line->to - line->from);
	(void) snprintf(world.unfinished.branch, sizeof(world.unfinished.branch), "%s",
			layout_branch(&line->path.layout));
}

static void world_make(void)
{
	bool may_jump = below(3) == 0;

	memset(&world, 0, sizeof(world));
	world.segment_us = HOUR_US * (int64_t) (1 + below(30));
	line_root(&world.lines[0]);
	world.line_count = 1;
	for (uint64_t left = below(LINES_MAX); left > 0; left--) {
		int parent = (int) below((uint64_t) world.line_count);

		if (below(5) == 0)
			line_fork(parent);
		else
			line_leave(parent);
	}
	world.backup_count = (int) below(BACKUPS_MAX + 1);
	for (int i = 0; i < world.backup_count; i++)
		backup_make(i, may_jump);
	clocks_correct();
	for (int i = 0; i < world.line_count; i++) {
		struct line *line = &world.lines[i];
		bool is_open = below(3) == 0;

		line->is_live = is_open || true_time(line->to) >= NOW_US - 7 * DAY;
		world.paths[i] = (struct retention_path){.path = &line->path, .is_end = !line_has_child_in_branch(i)};
		world.paths[i].ended_us = is_open ? INT64_MAX : true_time(line->to);
	}
	world.retention = (struct retention){.now_us = NOW_US,
					     .backup_count = world.backup_count,
					     .path_count = world.line_count,
					     .backups = world.items,
					     .paths = world.paths,
					     .unfinished = &world.unfinished,
					     .needed.segment_size = world.backup_count > 0 ? SEGMENT : 0};
	policy_make(&world.retention.policy);
	/* The clock of who expires may be ahead; when all others are right that must change nothing. */
	if (!world.has_wrong_clock && below(3) == 0)
		world.retention.now_us += (int64_t) below(1000) * DAY;
	else if (!may_jump && world.backup_count > 1 && below(4) == 0)
		clock_of_one_jumps();
	if (below(3) == 0)
		unfinished_make();
}
