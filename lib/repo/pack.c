#include "repo/pack.h"

#include <inttypes.h>
#include <string.h>

static bool fail_missing(const char *key, struct error *err)
{
	return err->kind != ERROR_NOT_FOUND
		       ? false
		       : fail(err, ERROR_CORRUPT, "the pack \"%s\" is missing from the repository", key);
}

static bool fail_outside(const struct extent *extent, uint64_t pack_size, struct error *err)
{
	return fail(err, ERROR_CORRUPT,
		    "bytes %" PRIu64 " to %" PRIu64 " lie outside of the pack \"%s\" of %" PRIu64 " bytes",
		    extent->offset, extent->offset + extent->size, extent->pack, pack_size);
}

static bool extent_is_within(const struct extent *extent, uint64_t pack_size)
{
	return extent->offset <= pack_size && extent->size <= pack_size - extent->offset;
}

bool pack_reader_open(struct repo *repo, const char *reference, struct pack_reader *reader, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	*reader = (struct pack_reader){.repo = repo};
	TRY(layout_pack_of_reference(&repo->layout, reference, key, err));
	if (!repo_peek(repo, key, OBJECT_PACK, &reader->header, NULL, err))
		return fail_missing(key, err);
	reader->fetched_size = OBJECT_PEEK_SIZE;
	return true;
}

void pack_reader_close(struct pack_reader *reader)
{
	object_header_release(&reader->header);
}

bool pack_reader_frames(const struct pack_reader *reader, const struct extent *extent, uint32_t *first, uint32_t *last,
			struct error *err)
{
	if (extent->size == 0 || !extent_is_within(extent, reader->header.plain_size))
		return fail_outside(extent, reader->header.plain_size, err);
	*first = (uint32_t) (extent->offset >> reader->header.frame_log2);
	*last = (uint32_t) ((extent->offset + extent->size - 1) >> reader->header.frame_log2);
	return true;
}

static bool frames_open(const struct pack_reader *reader, uint32_t first, uint32_t last, struct bytes stored,
			struct buf *content, struct error *err)
{
	struct frame_opener opener FRAME_OPENER_CLEANUP = {.header = NULL};
	size_t offset = 0;

	TRY(repo_open_frames(reader->repo, &reader->header, &opener, err));
	for (uint32_t i = first; i <= last; i++) {
		size_t size = (size_t) object_frames_size(&reader->header, i, i);

		TRY(frame_opener_run(&opener, i, bytes_slice(stored, offset, size), content->data + content->size,
				     err));
		content->size += object_frame_plain_size(&reader->header, i);
		offset += size;
	}
	return true;
}

bool pack_reader_get(struct pack_reader *reader, uint32_t first, uint32_t last, struct buf *content, struct error *err)
{
	uint64_t begin = (uint64_t) first << reader->header.frame_log2;
	uint64_t end = (uint64_t) (last + 1) << reader->header.frame_log2;
	BUF(stored, object_frames_size(&reader->header, first, last));

	if (end > reader->header.plain_size)
		end = reader->header.plain_size;
	TRY(buf_reserve(content, (size_t) (end - begin), err));
	TRY(repo_fetch_frames(reader->repo, &reader->header, first, last, &stored, err));
	reader->fetched_size += stored.size;
	return frames_open(reader, first, last, buf_bytes(&stored), content, err);
}
