/* What becomes of the files of a backup, wherever they come from: their bytes go into packs, and what they are goes
 * into the manifest. One file at a time; memory does not depend on how many there are.
 */
#pragma once

#include "repo/manifest.h"
#include "repo/pack_writer.h"

struct intake {
	struct pack_writer *packs;
	struct manifest_writer *manifest;
	struct manifest_entry entry; /* the file that is being taken in */
	struct extents extents;	     /* of it */
	struct piece_digester digester;
	struct buf digests; /* of its pieces so far */
	size_t piece_fill;  /* bytes of the piece that is begun */
	uint64_t file_count;
	uint64_t content_size; /* of all of them */
	uint64_t stored_size;  /* in the repository; known at the end */
	uint32_t pack_count, manifest_parts;
};

bool intake_open(struct intake *intake, struct repo *repo, const char *label, struct pack_sizing sizing,
		 struct error *err) MUST_CHECK;
void intake_close(struct intake *intake); /* in every case, also one that was never opened ({0}) */

/* CORRUPT when the path is too long for a manifest. `size` is what is expected of it: a file that is not small begins
 * where it can be restored from without a copy. */
struct intake_file {
	enum manifest_root root;
	const char *path;
	mode_t mode;
	int64_t modified_us;
	uint64_t size;
};
bool intake_begin_file(struct intake *intake, const struct intake_file *file, struct error *err) MUST_CHECK;
bool intake_add(struct intake *intake, struct bytes content, struct error *err) MUST_CHECK;
bool intake_end_file(struct intake *intake, struct error *err) MUST_CHECK;

bool intake_add_directory(struct intake *intake, enum manifest_root root, const char *path, mode_t mode,
			  int64_t modified_us, struct error *err) MUST_CHECK;
bool intake_add_link(struct intake *intake, enum manifest_root root, const char *path, const char *target,
		     int64_t modified_us, struct error *err) MUST_CHECK;

/* Everything is in the repository when it returns true. */
bool intake_finish(struct intake *intake, struct error *err) MUST_CHECK;
