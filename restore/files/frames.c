#include "files/frames.h"

uint64_t frame_offset(const struct object_header *header, uint32_t frame)
{
	return (uint64_t) frame << header->frame_log2;
}

static uint32_t slice_first(const struct frames *frames, size_t index)
{
	return (uint32_t) (frames->slices[index].extent.offset >> frames->header->frame_log2);
}

static uint32_t slice_last(const struct frames *frames, size_t index)
{
	const struct extent *extent = &frames->slices[index].extent;

	return (uint32_t) ((extent->offset + extent->size - 1) >> frames->header->frame_log2);
}

bool frames_begin(struct frames *frames, const struct pack_reader *reader, struct error *err)
{
	uint32_t first, last;

	for (size_t i = 0; i < frames->count; i++)
		TRY(pack_reader_frames(reader, &frames->slices[i].extent, &first, &last, err));
	frames->header = &reader->header;
	frames->slice = 0;
	frames->frame = 0;
	frames->end = reader->header.frame_count;
	return true;
}

struct frames frames_within(const struct object_header *header, const struct frames_run *run)
{
	return (struct frames){.header = header,
			       .slices = run->slices,
			       .count = run->slice_count,
			       .frame = run->first,
			       .end = run->last + 1};
}

static uint64_t frame_size(const struct frames *frames, const struct frames_limit *limit, uint32_t frame)
{
	return limit->is_stored ? object_frames_size(frames->header, frame, frame)
				: object_frame_plain_size(frames->header, frame);
}

/* Takes frames up to `last` into the run. False: there is no room for all of them. */
static bool run_extend(const struct frames *frames, const struct frames_limit *limit, uint32_t last,
		       struct frames_run *run, uint64_t *size)
{
	while (run->last < last) {
		uint64_t more = frame_size(frames, limit, run->last + 1);

		if (*size + more > limit->size)
			return false;
		*size += more;
		run->last++;
	}
	return true;
}

bool frames_next(struct frames *frames, const struct frames_limit *limit, struct frames_run *run)
{
	while (frames->slice < frames->count && slice_last(frames, frames->slice) < frames->frame)
		frames->slice++;
	if (frames->slice == frames->count)
		return false;
	uint32_t first = slice_first(frames, frames->slice);
	if (first < frames->frame)
		first = frames->frame;
	if (first >= frames->end)
		return false;

	uint64_t size = frame_size(frames, limit, first);
	size_t i = frames->slice;
	bool has_room = true;
	*run = (struct frames_run){.first = first, .last = first, .slices = &frames->slices[i]};
	for (; i < frames->count && has_room && slice_first(frames, i) <= run->last + 1 + limit->gap; i++) {
		uint32_t last = slice_last(frames, i);

		has_room = run_extend(frames, limit, last < frames->end ? last : frames->end - 1, run, &size);
	}
	/* What no room was found for may begin in it all the same. */
	while (i < frames->count && slice_first(frames, i) <= run->last)
		i++;
	run->slice_count = i - frames->slice;
	frames->frame = run->last + 1;
	return true;
}
