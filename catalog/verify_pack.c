#include "verify_pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/progress.h"

/* Stored bytes of a request, about. */
#define RANGE_SIZE (2 * MiB)
/* A piece has 16 MB at most, and so has a frame. */
#define WINDOW_SIZE_MAX (64 * MiB)

/* What is in memory of the plaintext: bytes from `begin` on, of which those before the next piece are dropped. */
struct window {
	struct buf bytes;
	uint64_t begin;
};

struct walk {
	struct pack_reading *reading;
	struct pack_reader reader;
	struct frame_opener opener;
	struct piece_digester digester;
	struct window window;
	size_t next; /* piece */
};

static int piece_order(const void *left, const void *right)
{
	const struct pack_piece *a = left, *b = right;

	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Frames from `first` on that one request fetches. */
static uint32_t range_last(const struct object_header *header, uint32_t first)
{
	uint32_t last = first;

	while (last + 1 < header->frame_count && object_frames_size(header, first, last + 1) <= RANGE_SIZE)
		last++;
	return last;
}

static bool piece_check(struct walk *walk, const struct pack_piece *piece, struct error *err)
{
	struct bytes content = bytes_slice(buf_bytes(&walk->window.bytes),
					   (size_t) (piece->offset - walk->window.begin), (size_t) piece->size);
	uint8_t digest[PIECE_DIGEST_SIZE];

	TRY(piece_digest(&walk->digester, content, digest, err));
	return memcmp(digest, piece->digest, PIECE_DIGEST_SIZE) == 0 ||
	       walk->reading->differs(walk->reading->context, piece, err);
}

/* Those that have come whole. What lies before the next one is needed no more. */
static bool pieces_check(struct walk *walk, struct error *err)
{
	struct pack_reading *reading = walk->reading;
	struct window *window = &walk->window;
	uint64_t end = window->begin + window->bytes.size;

	while (walk->next < reading->piece_count &&
	       reading->pieces[walk->next].offset + reading->pieces[walk->next].size <= end)
		TRY(piece_check(walk, &reading->pieces[walk->next++], err));
	uint64_t keep = walk->next < reading->piece_count ? reading->pieces[walk->next].offset : end;
	if (keep <= window->begin)
		return true;
	if (keep > end)
		keep = end;
	size_t dropped = (size_t) (keep - window->begin);
	memmove(window->bytes.data, window->bytes.data + dropped, window->bytes.size - dropped);
	window->bytes.size -= dropped;
	window->begin = keep;
	return true;
}

static bool range_read(struct walk *walk, uint32_t first, uint32_t last, struct error *err)
{
	const struct object_header *header = &walk->reader.header;
	struct window *window = &walk->window;
	BUF(stored, object_frames_size(header, first, last));
	size_t at = 0;

	TRY(repo_fetch_frames(walk->reading->repo, header, first, last, &stored, err));
	walk->reading->read_size += stored.size;
	progress_add(walk->reading->progress, stored.size);
	for (uint32_t i = first; i <= last; i++) {
		size_t stored_size = (size_t) object_frames_size(header, i, i);
		size_t plain_size = object_frame_plain_size(header, i);

		if (window->bytes.size == 0)
			window->begin = (uint64_t) i << header->frame_log2;
		TRY(buf_reserve(&window->bytes, plain_size, err));
		TRY(frame_opener_run(&walk->opener, i, bytes_slice(buf_bytes(&stored), at, stored_size),
				     window->bytes.data + window->bytes.size, err));
		window->bytes.size += plain_size;
		at += stored_size;
		TRY(pieces_check(walk, err));
	}
	return true;
}

/* The first frame from `frame` on that is to be read; the one behind the last when none is. */
static uint32_t frame_next(const struct walk *walk, uint32_t frame)
{
	const struct pack_reading *reading = walk->reading;
	const struct object_header *header = &walk->reader.header;

	if (reading->is_whole)
		return frame;
	if (walk->next == reading->piece_count)
		return header->frame_count;
	uint32_t wanted = (uint32_t) (reading->pieces[walk->next].offset >> header->frame_log2);
	return wanted > frame ? wanted : frame;
}

static bool pack_walk(struct walk *walk, struct error *err)
{
	const struct pack_reading *reading = walk->reading;
	const struct object_header *header = &walk->reader.header;

	for (size_t i = 0; i < reading->piece_count; i++)
		if (reading->pieces[i].offset > header->plain_size ||
		    reading->pieces[i].size > header->plain_size - reading->pieces[i].offset)
			return fail(err, ERROR_CORRUPT, "a manifest names bytes outside of it");
	walk->window.bytes.size_max = WINDOW_SIZE_MAX;
	TRY(repo_open_frames(reading->repo, header, &walk->opener, err));
	TRY(piece_digester_init(&walk->digester, reading->repo->secrets, reading->repo->id, err));
	for (uint32_t frame = frame_next(walk, 0); frame < header->frame_count;) {
		uint32_t last = reading->is_whole ? range_last(header, frame) : frame;

		TRY(range_read(walk, frame, last, err));
		frame = frame_next(walk, last + 1);
	}
	return true;
}

bool verify_pack_read(struct pack_reading *reading, struct error *err)
{
	struct walk *walk = calloc(1, sizeof(*walk));

	if (walk == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (reading->piece_count > 0)
		qsort(reading->pieces, reading->piece_count, sizeof(*reading->pieces), piece_order);
	walk->reading = reading;
	bool done = pack_reader_open(reading->repo, reading->reference, &walk->reader, err) && pack_walk(walk, err);
	buf_release(&walk->window.bytes);
	piece_digester_release(&walk->digester);
	frame_opener_release(&walk->opener);
	pack_reader_close(&walk->reader);
	free(walk);
	return done;
}

static bool extent_append(struct repo *repo, const struct extent *extent, struct piece_digester *digester,
			  struct error *err)
{
	struct pack_reader reader PACK_READER_CLEANUP = {0};
	uint32_t first, last;
	BUF(content, WINDOW_SIZE_MAX);

	TRY(pack_reader_open(repo, extent->pack, &reader, err));
	TRY(pack_reader_frames(&reader, extent, &first, &last, err));
	TRY(pack_reader_get(&reader, first, last, &content, err));
	uint64_t begin = extent->offset - ((uint64_t) first << reader.header.frame_log2);
	return piece_digest_add(digester, bytes_slice(buf_bytes(&content), (size_t) begin, (size_t) extent->size), err);
}

bool verify_piece_read(struct repo *repo, const struct extent *extents, size_t count, const uint8_t *digest, bool *same,
		       struct error *err)
{
	struct piece_digester digester PIECE_DIGESTER_CLEANUP = {.digester = {.gmac = {NULL}}};
	uint8_t found[PIECE_DIGEST_SIZE];

	TRY(piece_digester_init(&digester, repo->secrets, repo->id, err));
	TRY(piece_digest_begin(&digester, err));
	for (size_t i = 0; i < count; i++)
		TRY(extent_append(repo, &extents[i], &digester, err));
	TRY(piece_digest_end(&digester, found, err));
	*same = memcmp(found, digest, PIECE_DIGEST_SIZE) == 0;
	return true;
}
