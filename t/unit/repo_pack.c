/* Packs: what is appended comes back from where the extents say, in bounded memory, and a failure is never lost. */

#include "repo/pack.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define LABEL "00000001-0000000000000028-01234567"

static bool repo_prepare(struct repo *repo, struct error *err)
{
	memset(repo, 0, sizeof(*repo));
	(void) pthread_mutex_init(&repo->unlocking, NULL);
	TRY(layout_init(&repo->layout, "main", err));
	repo->layout.system_identifier = 7000000000000000001;
	repo->compression.codec = CODEC_LZ4;
	TRY(secrets_open(NULL, &repo->secrets, err));
	return storage_open_memory(&repo->storage, err);
}

static void repo_end(struct repo *repo)
{
	storage_close(repo->storage);
	secrets_close(repo->secrets);
	(void) pthread_mutex_destroy(&repo->unlocking);
}

/* Content that tells where it belongs. */
static void content_fill(uint8_t *content, size_t size, uint64_t position)
{
	for (size_t i = 0; i < size; i++)
		content[i] = (uint8_t) ((position + i) * 2654435761u >> 13);
}

/* Reads the extents back and compares them with the content that began at `position`. */
static bool extents_hold(struct repo *repo, const struct extents *extents, uint64_t position, uint64_t size)
{
	uint64_t done = 0;

	for (int i = 0; i < extents->count; i++) {
		const struct extent *extent = &extents->items[i];
		struct error err = {0};
		struct bytes slice;
		BUF(pack, PACK_SIZE_MAX);

		if (!pack_get(repo, extent->pack, &pack, &err) || !pack_slice(buf_bytes(&pack), extent, &slice, &err))
			return false;
		uint8_t *expected = malloc(slice.size);
		content_fill(expected, slice.size, position + done);
		bool same = memcmp(expected, slice.data, slice.size) == 0;
		free(expected);
		if (!same)
			return false;
		done += slice.size;
	}
	return done == size;
}

struct file {
	uint64_t size;
	int extents; /* expected */
};

/* Packs of 1 MiB: files that end before, at and behind the end of a pack. */
static const struct file files[] = {
	{10, 1},      {0, 0}, {MiB - 10, 1}, {MiB, 1},	   {MiB + 1, 2},
	{5 * MiB, 6}, {1, 1}, {MiB - 2, 1},  {3 * MiB, 3}, {7, 1},
};

#define FILES (sizeof(files) / sizeof(files[0]))

static void test_round(struct repo *repo, size_t piece)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct extents extents[FILES] = {{0}};
	struct error err = {0};
	char label[BACKUP_LABEL_SIZE];
	uint64_t stored_size = 0;
	uint64_t position = 0;
	uint32_t packs = 0;
	bool done;

	(void) !layout_new_label(1, piece, label, &err);
	done = pack_writer_open(repo, label, (struct pack_sizing){.pack_size = MiB, .jobs = 3}, &writer, &err);
	for (size_t i = 0; i < FILES && done; i++) {
		uint8_t *content = malloc(piece);

		for (uint64_t at = 0; at < files[i].size && done; at += piece) {
			size_t size = files[i].size - at < piece ? (size_t) (files[i].size - at) : piece;

			content_fill(content, size, position + at);
			done = pack_writer_append(writer, bytes_of(content, size), &extents[i], &err);
		}
		position += files[i].size;
		free(content);
	}
	done = done && pack_writer_finish(writer, &packs, &stored_size, &err);
	ok(done && packs == (position + MiB - 1) / MiB && stored_size > 0,
	   "%zu files in pieces of %zu bytes make %u packs: %s", FILES, piece, packs, err.text);

	position = 0;
	for (size_t i = 0; i < FILES; i++) {
		ok(extents[i].count == files[i].extents && extents_hold(repo, &extents[i], position, files[i].size),
		   "… and file %zu comes back from %d extents", i, extents[i].count);
		position += files[i].size;
		extents_release(&extents[i]);
	}
}

static void test_failure(struct repo *repo)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct extents extents EXTENTS_CLEANUP = {0};
	struct error err = {0};
	uint64_t stored_size;
	uint32_t packs;
	char key[LAYOUT_KEY_SIZE];
	static uint8_t content[MiB];

	/* Somebody else's object under the name of the third pack. */
	layout_pack(&repo->layout, LABEL, 2, key);
	ok(storage_put(repo->storage, key, bytes_of_text("x"), &err), "the name of a pack is taken");
	bool done = pack_writer_open(repo, LABEL, (struct pack_sizing){.pack_size = MiB, .jobs = 2}, &writer, &err);
	for (int i = 0; i < 8 && done; i++)
		done = pack_writer_append(writer, bytes_of(content, sizeof(content)), &extents, &err);
	done = done && pack_writer_finish(writer, &packs, &stored_size, &err);
	ok(!done && err.kind == ERROR_EXISTS, "one pack that cannot be stored fails the whole: %s", err.text);
}

/* The last pack is stored by finish alone. */
static void test_late_failure(struct repo *repo)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct extents extents EXTENTS_CLEANUP = {0};
	struct error err = {0};
	uint64_t stored_size;
	uint32_t packs;
	char key[LAYOUT_KEY_SIZE];
	char label[BACKUP_LABEL_SIZE];

	bool done = layout_new_label(1, 1, label, &err);
	layout_pack(&repo->layout, label, 0, key);
	done = done && storage_put(repo->storage, key, bytes_of_text("x"), &err) &&
	       pack_writer_open(repo, label, (struct pack_sizing){.pack_size = MiB, .jobs = 1}, &writer, &err) &&
	       pack_writer_append(writer, bytes_of_text("content"), &extents, &err);
	ok(done, "a last pack whose name is taken is begun");
	ok(!pack_writer_finish(writer, &packs, &stored_size, &err) && err.kind == ERROR_EXISTS,
	   "… and fails at the end");
}

static void test_unfinished(struct repo *repo)
{
	struct pack_writer *writer = NULL;
	struct extents extents EXTENTS_CLEANUP = {0};
	struct error err = {0};
	static uint8_t content[MiB];
	bool done = pack_writer_open(repo, "00000001-0000000000000028-00000bad",
				     (struct pack_sizing){.pack_size = MiB, .jobs = 2}, &writer, &err);

	for (int i = 0; i < 5 && done; i++)
		done = pack_writer_append(writer, bytes_of(content, sizeof(content)), &extents, &err);
	pack_writer_close(writer);
	ok(done, "a writer that is closed before its end leaves no thread and no memory behind");
	pack_writer_close(NULL);
}

static void test_reading(struct repo *repo)
{
	struct extent extent = {.pack = "main/pack/" LABEL "/0000000f", .offset = 90, .size = 10};
	struct error err = {0};
	struct bytes slice;
	uint8_t content[100] = {0};
	BUF(pack, PACK_SIZE_MAX);

	ok(!pack_get(repo, extent.pack, &pack, &err) && err.kind == ERROR_CORRUPT,
	   "a pack that a manifest names and that is missing is CORRUPT: %s", err.text);
	ok(!pack_get(repo, "main/pack/../x", &pack, &err) && err.kind == ERROR_CORRUPT,
	   "and so is a name that is none");
	ok(pack_slice(bytes_of(content, 100), &extent, &slice, &err) && slice.size == 10, "a slice up to the end");
	extent.size = 11;
	ok(!pack_slice(bytes_of(content, 100), &extent, &slice, &err) && err.kind == ERROR_CORRUPT,
	   "beyond it is CORRUPT");
	extent.offset = UINT64_MAX - 5;
	ok(!pack_slice(bytes_of(content, 100), &extent, &slice, &err), "and so is one that wraps around");
}

/* Parts of a pack of three frames and a bit: what is asked for is fetched, and not much more. */
static void test_parts(struct repo *repo)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct pack_reader reader PACK_READER_CLEANUP = {.repo = NULL};
	struct extents extents EXTENTS_CLEANUP = {0};
	struct error err = {0};
	const size_t size = 3 * MiB + 100, frame = (size_t) 1 << OBJECT_FRAME_LOG2_DEFAULT;
	uint8_t *content = malloc(size);
	uint64_t stored_size;
	uint32_t packs, first = 9, last = 9;
	BUF(part, PACK_SIZE_MAX);

	content_fill(content, size, 77);
	ok(pack_writer_open(repo, "00000001-0000000000000028-00009a27",
			    (struct pack_sizing){.pack_size = 4 * MiB, .jobs = 1}, &writer, &err) &&
		   pack_writer_append(writer, bytes_of(content, size), &extents, &err) &&
		   pack_writer_finish(writer, &packs, &stored_size, &err) &&
		   pack_reader_open(repo, extents.items[0].pack, &reader, &err),
	   "a pack is opened to be read in parts: %s", err.text);
	struct extent extent = extents.items[0];

	extent.offset = frame - 1;
	extent.size = 2;
	ok(pack_reader_frames(&reader, &extent, &first, &last, &err) && first == 0 && last == 1,
	   "two bytes lie in two frames");
	ok(pack_reader_get(&reader, 1, 2, &part, &err) && part.size == 2 * frame &&
		   memcmp(part.data, content + frame, part.size) == 0,
	   "frames in the middle");
	ok(pack_reader_get(&reader, 3, 3, &part, &err) && part.size == 2 * frame + 100 &&
		   memcmp(part.data + 2 * frame, content + 3 * frame, 100) == 0,
	   "the last one, behind them");
	extent.offset = size - 1;
	extent.size = 1;
	ok(pack_reader_frames(&reader, &extent, &first, &last, &err) && first == 3 && last == 3, "the last byte");
	extent.size = 2;
	ok(!pack_reader_frames(&reader, &extent, &first, &last, &err) && err.kind == ERROR_CORRUPT,
	   "one more is CORRUPT");
	extent.offset = UINT64_MAX;
	ok(!pack_reader_frames(&reader, &extent, &first, &last, &err), "and so is one that wraps around");
	extent.size = 0;
	extent.offset = 0;
	ok(!pack_reader_frames(&reader, &extent, &first, &last, &err), "and so is none");
	free(content);
}

static void test_sizing(void)
{
	static const struct {
		int64_t memory, jobs;
	} cases[] = {{256 * MiB, 2},	     {256 * MiB, 8}, {32 * MiB, 8}, {64 * MiB, 2},
		     {INT64_C(1) << 40, 64}, {1 * GiB, 4},   {81 * MiB, 1}, {256 * MiB, 64}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pack_sizing sizing = pack_sizing_plan(cases[i].memory, cases[i].jobs);
		int64_t used = (int64_t) sizing.pack_size * (2 + 2 * sizing.jobs);

		ok(sizing.jobs >= 1 && sizing.jobs <= cases[i].jobs && sizing.pack_size >= PACK_SIZE_MIN &&
			   sizing.pack_size <= PACK_SIZE_DEFAULT && used <= cases[i].memory,
		   "%lld MiB for %lld jobs: %d of them, packs of %zu MiB",
		   (long long) cases[i].memory / (long long) MiB, (long long) cases[i].jobs, sizing.jobs,
		   sizing.pack_size / MiB);
	}
}

int main(void)
{
	struct repo repo;
	struct error err = {0};

	if (!ok(repo_prepare(&repo, &err), "a repository in memory"))
		return done_testing();
	test_round(&repo, 4096);
	test_round(&repo, 1000003);
	test_round(&repo, 7 * MiB);
	test_failure(&repo);
	test_late_failure(&repo);
	test_unfinished(&repo);
	test_reading(&repo);
	test_parts(&repo);
	test_sizing();
	repo_end(&repo);
	return done_testing();
}
