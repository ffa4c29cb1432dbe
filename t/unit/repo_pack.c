/* Packs: what is appended comes back from where the extents say, in bounded memory, and a failure is never lost. */

#include "repo/pack.h"

#include <stdlib.h>
#include <string.h>

#include "repo/pack_writer.h"
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
typedef void (*content_make)(uint8_t *content, size_t size, uint64_t position);

static void noise_fill(uint8_t *content, size_t size, uint64_t position)
{
	for (size_t i = 0; i < size; i++) {
		uint64_t value = (position + i) * UINT64_C(0x9e3779b97f4a7c15);

		content[i] = (uint8_t) ((value ^ value >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 56);
	}
}

static void text_fill(uint8_t *content, size_t size, uint64_t position)
{
	for (size_t i = 0; i < size; i++)
		content[i] = (uint8_t) ((position + i) % 64 < 8 ? (position + i) / 64 >> (position + i) % 8 : ' ');
}

static void mixed_fill(uint8_t *content, size_t size, uint64_t position)
{
	for (size_t i = 0; i < size; i++)
		((position + i) / (9 * MiB) % 2 == 0 ? text_fill : noise_fill)(content + i, 1, position + i);
}

/* Reads the extents back and compares them with the content that began at `position`. */
static bool extents_hold(struct repo *repo, const struct extents *extents, uint64_t position, uint64_t size,
			 content_make make)
{
	uint64_t done = 0;

	for (int i = 0; i < extents->count; i++) {
		const struct extent *extent = &extents->items[i];
		struct pack_reader reader PACK_READER_CLEANUP = {.repo = NULL};
		struct error err = {0};
		uint32_t first, last;
		BUF(frames, OBJECT_PLAIN_MAX);

		if (!pack_reader_open(repo, extent->pack, &reader, &err) ||
		    !pack_reader_frames(&reader, extent, &first, &last, &err) ||
		    !pack_reader_get(&reader, first, last, &frames, &err))
			return false;
		uint8_t *expected = malloc(extent->size);
		make(expected, extent->size, position + done);
		bool same = memcmp(expected,
				   frames.data + (extent->offset - ((uint64_t) first << reader.header.frame_log2)),
				   extent->size) == 0;
		free(expected);
		if (!same)
			return false;
		done += extent->size;
	}
	return done == size;
}

/* Files that end before, at and behind the end of a frame. */
static const uint64_t files[] = {10, 0, MiB - 10, MiB, MiB + 1, 5 * MiB, 1, MiB - 2, 3 * MiB, 7, 53 * MiB + 5, 2 * MiB};

#define FILES (sizeof(files) / sizeof(files[0]))

struct round {
	const char *title;
	content_make make;
	enum object_codec codec;
	size_t piece;
	struct pack_sizing sizing;
};

static bool files_append(struct pack_writer *writer, const struct round *round, struct extents extents[FILES],
			 struct error *err)
{
	uint8_t *content = malloc(round->piece);
	uint64_t position = 0;
	bool done = true;

	for (size_t i = 0; i < FILES; i++) {
		for (uint64_t at = 0; at < files[i] && done; at += round->piece) {
			size_t size = files[i] - at < round->piece ? (size_t) (files[i] - at) : round->piece;

			round->make(content, size, position + at);
			done = pack_writer_append(writer, bytes_of(content, size), &extents[i], err);
		}
		position += files[i];
	}
	free(content);
	return done;
}

struct packs {
	uint64_t count, size, largest;
};

static bool packs_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct packs *packs = context;

	(void) key;
	(void) err;
	packs->count++;
	packs->size += size;
	packs->largest = size > packs->largest ? size : packs->largest;
	return true;
}

static void packs_look(struct repo *repo, const char *label, struct packs *packs)
{
	struct error err = {0};
	char key[LAYOUT_KEY_SIZE];

	*packs = (struct packs){0};
	layout_pack(&repo->layout, label, 0, key);
	*strrchr(key, '/') = '\0';
	if (!storage_list(repo->storage, key, "", packs_visit, packs, &err))
		packs->count = UINT64_MAX;
}

/* All files through one writer: they come back, and packs are neither more nor larger than they may be. */
static void test_round(struct repo *repo, const struct round *round)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct extents extents[FILES] = {{0}};
	struct error err = {0};
	struct packs packs;
	char label[BACKUP_LABEL_SIZE];
	uint64_t stored_size = 0, position = 0;
	uint32_t count = 0;

	repo->compression.codec = round->codec;
	(void) !layout_new_label(1, round->piece, label, &err);
	bool done = pack_writer_open(repo, label, round->sizing, &writer, &err) &&
		    files_append(writer, round, extents, &err) &&
		    pack_writer_finish(writer, &count, &stored_size, &err);
	packs_look(repo, label, &packs);
	ok(done && packs.count == count && packs.size == stored_size, "%s: %u packs of %llu bytes in all: %s",
	   round->title, count, (unsigned long long) stored_size, err.text);
	/* A pack is cut by what is expected of frames that are still being compressed: it may end early, but not by
	 * half. */
	ok(packs.count <= 2 * packs.size / round->sizing.stored_size + 1, "… which are at least half full");
	ok(packs.largest <= round->sizing.stored_size + (uint64_t) (2 * round->sizing.jobs + 1) * (MiB + 16) + 64 * KiB,
	   "… and none is larger than %llu", (unsigned long long) packs.largest);
	for (size_t i = 0; i < FILES; i++) {
		ok(extents_hold(repo, &extents[i], position, files[i], round->make),
		   "… and file %zu comes back from %d extents", i, extents[i].count);
		position += files[i];
		extents_release(&extents[i]);
	}
}

static void test_rounds(struct repo *repo)
{
	const struct round rounds[] = {
		{"small pieces", noise_fill, CODEC_LZ4, 4096, {.stored_size = MiB, .jobs = 3, .uploads = 2}},
		{"noise", noise_fill, CODEC_LZ4, 1000003, {.stored_size = 4 * MiB, .jobs = 2, .uploads = 2}},
		{"no codec", text_fill, CODEC_NONE, 7 * MiB, {.stored_size = 5 * MiB, .jobs = 1, .uploads = 1}},
		{"what compresses well",
		 text_fill,
		 CODEC_LZ4,
		 1000003,
		 {.stored_size = 2 * MiB, .jobs = 1, .uploads = 1}},
		{"… with zstd", text_fill, CODEC_ZSTD, 7 * MiB, {.stored_size = 4 * MiB, .jobs = 1, .uploads = 1}},
		{"what begins to compress",
		 mixed_fill,
		 CODEC_LZ4,
		 MiB,
		 {.stored_size = 3 * MiB, .jobs = 2, .uploads = 1}},
	};

	for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++)
		test_round(repo, &rounds[i]);
	repo->compression.codec = CODEC_LZ4;
}

/* Nothing but zeroes compresses 250 to 1: the plaintext of a pack has a bound too. */
static void test_zeroes(struct repo *repo)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct extents extents EXTENTS_CLEANUP = {0};
	struct error err = {0};
	static const uint8_t zeroes[MiB];
	uint64_t stored_size = 0;
	uint32_t packs = 0;
	bool done =
		pack_writer_open(repo, "00000001-0000000000000028-00000000",
				 (struct pack_sizing){.stored_size = 20 * MiB, .jobs = 2, .uploads = 1}, &writer, &err);

	for (int i = 0; i < 1025 && done; i++)
		done = pack_writer_append(writer, bytes_of(zeroes, sizeof(zeroes)), &extents, &err);
	done = done && pack_writer_finish(writer, &packs, &stored_size, &err);
	ok(done && packs == 2 && extents.count == 2 && extents.items[0].size == OBJECT_PLAIN_MAX,
	   "1025 MiB of zeroes make two packs, in %llu bytes: %s", (unsigned long long) stored_size, err.text);
}

static void test_alignment(struct repo *repo)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct extents first EXTENTS_CLEANUP = {0}, second EXTENTS_CLEANUP = {0};
	struct error err = {0};
	static uint8_t content[MiB];
	uint64_t stored_size;
	uint32_t packs;

	noise_fill(content, sizeof(content), 0);
	bool done =
		pack_writer_open(repo, "00000001-0000000000000028-0000a119",
				 (struct pack_sizing){.stored_size = 9 * MiB, .jobs = 1, .uploads = 1}, &writer, &err);

	pack_writer_align(writer);
	done = done && pack_writer_append(writer, bytes_of(content, MiB - 10), &first, &err);
	pack_writer_align(writer);
	pack_writer_align(writer);
	done = done && pack_writer_append(writer, bytes_of(content, MiB), &second, &err);
	pack_writer_align(writer);
	done = done && pack_writer_finish(writer, &packs, &stored_size, &err);
	ok(done && packs == 1 && first.items[0].offset == 0 && second.items[0].offset == MiB &&
		   extents_hold(repo, &first, 0, MiB - 10, noise_fill) &&
		   extents_hold(repo, &second, 0, MiB, noise_fill),
	   "what is aligned begins at a multiple of 4096 and comes back: %s", err.text);
}

static void test_nothing(struct repo *repo)
{
	struct pack_writer *writer PACK_WRITER_CLEANUP = NULL;
	struct error err = {0};
	uint64_t stored_size = 1;
	uint32_t packs = 1;

	ok(pack_writer_open(repo, "00000001-0000000000000028-0000face",
			    (struct pack_sizing){.stored_size = MiB, .jobs = 1, .uploads = 1}, &writer, &err) &&
		   pack_writer_finish(writer, &packs, &stored_size, &err) && packs == 0 && stored_size == 0,
	   "nothing makes no pack: %s", err.text);
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

	noise_fill(content, sizeof(content), 0);
	/* Somebody else's object under the name of the third pack. */
	layout_pack(&repo->layout, LABEL, 2, key);
	ok(storage_put(repo->storage, key, bytes_of_text("x"), &err), "the name of a pack is taken");
	bool done = pack_writer_open(repo, LABEL, (struct pack_sizing){.stored_size = MiB, .jobs = 2, .uploads = 1},
				     &writer, &err);
	for (int i = 0; i < 80 && done; i++)
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
	       pack_writer_open(repo, label, (struct pack_sizing){.stored_size = MiB, .jobs = 1, .uploads = 1}, &writer,
				&err) &&
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
				     (struct pack_sizing){.stored_size = MiB, .jobs = 2, .uploads = 1}, &writer, &err);

	for (int i = 0; i < 5 && done; i++)
		done = pack_writer_append(writer, bytes_of(content, sizeof(content)), &extents, &err);
	pack_writer_close(writer);
	ok(done, "a writer that is closed before its end leaves no thread and no memory behind");
	pack_writer_close(NULL);
}

static void test_reading(struct repo *repo)
{
	struct pack_reader reader PACK_READER_CLEANUP = {.repo = NULL};
	struct error err = {0};

	ok(!pack_reader_open(repo, "main/pack/" LABEL "/0000000f", &reader, &err) && err.kind == ERROR_CORRUPT,
	   "a pack that a manifest names and that is missing is CORRUPT: %s", err.text);
	ok(!pack_reader_open(repo, "main/pack/../x", &reader, &err) && err.kind == ERROR_CORRUPT,
	   "and so is a name that is none");
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
	BUF(part, 8 * MiB);

	noise_fill(content, size, 77);
	ok(pack_writer_open(repo, "00000001-0000000000000028-00009a27",
			    (struct pack_sizing){.stored_size = 4 * MiB, .jobs = 1, .uploads = 1}, &writer, &err) &&
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
		bool is_preferred; /* large packs, all jobs */
	} cases[] = {{256 * MiB, 2, true},	   {256 * MiB, 8, true}, {32 * MiB, 8, false},	{64 * MiB, 2, false},
		     {INT64_C(1) << 40, 64, true}, {1 * GiB, 4, true},	 {128 * MiB, 1, false}, {256 * MiB, 64, false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pack_sizing sizing = pack_sizing_plan(cases[i].memory, cases[i].jobs);

		ok(sizing.jobs >= 1 && sizing.jobs <= cases[i].jobs && sizing.uploads >= 1 &&
			   sizing.stored_size >= MiB && sizing.stored_size <= PACK_STORED_DEFAULT &&
			   pack_sizing_memory(sizing) <= cases[i].memory - (int64_t) (15 * MiB) &&
			   (!cases[i].is_preferred ||
			    (sizing.jobs == cases[i].jobs && sizing.stored_size == PACK_STORED_DEFAULT)),
		   "%lld MiB for %lld jobs: %d of them, %d uploads, packs of %zu MiB: %lld MiB",
		   (long long) cases[i].memory / (long long) MiB, (long long) cases[i].jobs, sizing.jobs,
		   sizing.uploads, sizing.stored_size / MiB, (long long) pack_sizing_memory(sizing) / (long long) MiB);
	}
}

int main(void)
{
	struct repo repo;
	struct error err = {0};

	if (!ok(repo_prepare(&repo, &err), "a repository in memory"))
		return done_testing();
	test_rounds(&repo);
	test_zeroes(&repo);
	test_alignment(&repo);
	test_nothing(&repo);
	test_failure(&repo);
	test_late_failure(&repo);
	test_unfinished(&repo);
	test_reading(&repo);
	test_parts(&repo);
	test_sizing();
	repo_end(&repo);
	return done_testing();
}
