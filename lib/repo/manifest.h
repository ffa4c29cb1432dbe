/* What a base backup consists of: files, and the extents of packs their bytes lie in. Written and read in bounded
 * parts, each an object of its own, so that a million files need no more memory than a few thousand.
 * docs/format.md, "Manifest parts".
 */
#pragma once

#include <sys/types.h>

#include "codec/piece.h"
#include "repo/catalog.h"

#define MANIFEST_PART_FILES_MAX 8192
#define MANIFEST_PART_SIZE_MAX	(16 * MiB)
#define MANIFEST_PATH_MAX	1024
#define MANIFEST_DIGESTS_MAX	(1u << 17) /* of one file; pieces behind them have none */

/* A piece of a pack's plaintext. `pack` is a reference as in layout_pack_reference(): also another backup's. */
struct extent {
	char pack[96];
	uint64_t offset;
	uint64_t size;
};

enum manifest_root {
	MANIFEST_DATA,	   /* below the data directory; a tablespace's files below pg_tblspc/<oid>/ */
	MANIFEST_INCLUDED, /* taken with --include: an absolute path of the host without its leading slash */
};

enum manifest_type { MANIFEST_FILE, MANIFEST_DIRECTORY, MANIFEST_LINK };

struct manifest_entry {
	enum manifest_root root;
	enum manifest_type type;
	char path[MANIFEST_PATH_MAX];
	char link[MANIFEST_PATH_MAX]; /* of a MANIFEST_LINK (only among the included) */
	mode_t mode;		      /* permission bits */
	uint64_t size;
	int64_t modified_us;
	int extent_count;
	struct extent *extents; /* owned by whoever made the entry; in visit: borrowed */
	/* Of the file's pieces of `piece_size` bytes, in order, PIECE_DIGEST_SIZE each; as few as are known. */
	size_t piece_size; /* read only: what is written has PIECE_SIZE */
	size_t digest_count;
	uint8_t *digests; /* owned as extents are */
};

struct manifest_writer;
/* Parts go to the repository as they fill up. */
bool manifest_writer_open(struct repo *repo, const char *label, struct manifest_writer **writer,
			  struct error *err) MUST_CHECK;
bool manifest_writer_add(struct manifest_writer *writer, const struct manifest_entry *entry,
			 struct error *err) MUST_CHECK;
/* Stores the last part and says how many there are. */
bool manifest_writer_finish(struct manifest_writer *writer, uint32_t *parts, uint64_t *stored_size,
			    struct error *err) MUST_CHECK;
void manifest_writer_close(struct manifest_writer *writer); /* in every case; NULL is fine */

/* Visits the entries of every part in order. Paths are checked: relative, no "..", no empty part. CORRUPT otherwise. */
typedef bool (*manifest_visit)(void *context, const struct manifest_entry *entry, struct error *err);
bool manifest_each(struct repo *repo, const struct backup *backup, manifest_visit visit, void *context,
		   struct error *err) MUST_CHECK;
/* The entries of one part of it. */
bool manifest_each_of_part(struct repo *repo, const struct backup *backup, uint32_t number, manifest_visit visit,
			   void *context, struct error *err) MUST_CHECK;
