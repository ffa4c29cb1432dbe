/* Which frames are fetched for which slices, in runs of bounded size, and how much memory filling may take. The files
 * belong to a program and not to the library, so they are included whole. */
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#include "../../restore/files/compare.c"
#include "../../restore/files/fill.c"
#include "../../restore/files/frames.c"
#include "../../restore/files/tree.c"

#define FRAME	    4096
#define FRAME_COUNT 20

/* Frames of 4 kB, each stored as 100 bytes and a tag. */
static uint32_t table[FRAME_COUNT];
static struct pack_reader reader = {
	.header = {
		.frame_log2 = 12, .frame_count = FRAME_COUNT, .plain_size = FRAME_COUNT * FRAME - 96, .frames = table}};
static const uint64_t stored_size = 100 + OBJECT_TAG_SIZE;

static struct slice slice_at(uint64_t offset, uint64_t size)
{
	return (struct slice){.extent = {.pack = "main/pack/x/0", .offset = offset, .size = size}};
}

/* The runs for these slices, each with how many slices it has: "0-3:1 5-5:2". */
static const char *runs(const struct slice *slices, size_t count, struct frames_limit limit)
{
	static char text[300];
	struct frames frames = {.slices = slices, .count = count};
	struct frames_run run;
	struct error err = {0};

	text[0] = '\0';
	if (!frames_begin(&frames, &reader, &err))
		return "outside";
	while (frames_next(&frames, &limit, &run))
		(void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u-%u:%zu",
				text[0] == '\0' ? "" : " ", run.first, run.last, run.slice_count);
	return text;
}

static void test_runs(void)
{
	const struct frames_limit large = {.size = MiB}, small = {.size = 4 * FRAME}, none = {.size = 1};
	const struct frames_limit stored = {.is_stored = true, .size = 3 * stored_size}, near = {.size = MiB, .gap = 2};
	const struct slice whole[] = {slice_at(0, FRAME_COUNT * FRAME - 96)};
	const struct slice many[] = {slice_at(10, 10), slice_at(100, 10), slice_at(FRAME - 1, 2),
				     slice_at(9 * FRAME, 1)};
	const struct slice over[] = {slice_at(0, 10 * FRAME), slice_at(FRAME, 10), slice_at(2 * FRAME, 9 * FRAME)};
	const struct slice apart[] = {slice_at(0, 1), slice_at(3 * FRAME, 1), slice_at(7 * FRAME, 1)};
	const struct slice behind[] = {slice_at(0, 1), slice_at(FRAME_COUNT * FRAME - 100, 5)};

	is_text(runs(whole, 1, large), "0-19:1", "a pack that is needed whole");
	is_text(runs(whole, 1, small), "0-3:1 4-7:1 8-11:1 12-15:1 16-19:1", "… in runs of four frames");
	is_text(runs(whole, 1, stored), "0-2:1 3-5:1 6-8:1 9-11:1 12-14:1 15-17:1 18-19:1",
		"… of so many stored bytes");
	is_text(runs(whole, 1, none),
		"0-0:1 1-1:1 2-2:1 3-3:1 4-4:1 5-5:1 6-6:1 7-7:1 8-8:1 9-9:1 10-10:1 11-11:1 12-12:1 "
		"13-13:1 14-14:1 15-15:1 16-16:1 17-17:1 18-18:1 19-19:1",
		"… of one frame at least");
	is_text(runs(many, 4, large), "0-1:3 9-9:1", "small slices share frames; what nobody needs is left out");
	is_text(runs(many, 4, none), "0-0:3 1-1:1 9-9:1", "one of them may need two runs");
	is_text(runs(over, 3, small), "0-3:3 4-7:3 8-10:3", "slices that overlap are fetched once");
	is_text(runs(apart, 3, near), "0-3:2 7-7:1",
		"a gap of two frames is fetched with the rest, one of three is not");
	is_text(runs(apart, 3, large), "0-0:1 3-3:1 7-7:1", "… without leave no gap is");
	is_text(runs(behind, 2, large), "outside", "a slice that lies outside of its pack is found out");
	is_text(runs(NULL, 0, large), "", "nothing is needed");
}

/* Divided further, a run gives every frame once, and none besides. */
static void test_within(void)
{
	const struct slice slices[] = {slice_at(0, 6 * FRAME), slice_at(8 * FRAME, FRAME),
				       slice_at(9 * FRAME, 5 * FRAME)};
	const struct frames_limit range_limit = {.size = 10 * FRAME, .gap = 2}, chunk_limit = {.size = 2 * FRAME};
	struct frames frames = {.slices = slices, .count = 3};
	struct frames_run range, run;
	struct error err = {0};
	char text[200] = "";

	if (!frames_begin(&frames, &reader, &err))
		abort();
	while (frames_next(&frames, &range_limit, &range)) {
		struct frames inner = frames_within(&reader.header, &range);

		(void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "[%u-%u]", range.first, range.last);
		while (frames_next(&inner, &chunk_limit, &run))
			(void) snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u-%u", run.first,
					run.last);
	}
	is_text(text, "[0-9] 0-1 2-3 4-5 8-9[10-13] 10-11 12-13", "ranges, and chunks of them");
}

static void test_sizing(void)
{
	struct fill_sizing usual = fill_sizing_plan(256 * (int64_t) MiB, 2),
			   all = fill_sizing_plan(256 * (int64_t) MiB, 8);
	struct fill_sizing little = fill_sizing_plan(16 * (int64_t) MiB, 8);
	bool is_bounded = true;

	ok(usual.jobs == 2 && usual.threads > 4 && usual.range_size == 4 * MiB, "two jobs, with the usual memory");
	ok(all.jobs == 8 && all.threads > 8, "eight jobs");
	ok(little.threads >= 1 && little.jobs <= little.threads, "with little memory some thread is left");
	for (int64_t memory = 16; memory <= 4096; memory *= 2)
		for (int64_t jobs = 1; jobs <= 1000; jobs *= 3)
			is_bounded = is_bounded && fill_sizing_memory(fill_sizing_plan(memory * (int64_t) MiB, jobs)) <=
							   memory * (int64_t) MiB;
	ok(is_bounded, "the buffers never exceed what is allowed");
}

int main(void)
{
	for (int i = 0; i < FRAME_COUNT; i++)
		table[i] = 100;
	test_runs();
	test_within();
	test_sizing();
	return done_testing();
}
