#include "intake.h"

#include <stdio.h>
#include <string.h>

/* Files from this size on begin at a multiple of PACK_ALIGNMENT: that makes a pack of such files 3 % larger, before it
 * is compressed. */
#define ALIGNED_SIZE_MIN (64 * KiB)

bool intake_open(struct intake *intake, struct repo *repo, const char *label, struct pack_sizing sizing,
		 struct error *err)
{
	intake->digests.size_max = MANIFEST_DIGESTS_MAX * PIECE_DIGEST_SIZE;
	TRY(piece_digester_init(&intake->digester, repo->secrets, repo->id, err));
	TRY(pack_writer_open(repo, label, sizing, &intake->packs, err));
	return manifest_writer_open(repo, label, &intake->manifest, err);
}

void intake_close(struct intake *intake)
{
	pack_writer_close(intake->packs);
	manifest_writer_close(intake->manifest);
	extents_release(&intake->extents);
	piece_digester_release(&intake->digester);
	buf_release(&intake->digests);
	intake->packs = NULL;
	intake->manifest = NULL;
}

static bool intake_begin_entry(struct intake *intake, enum manifest_root root, enum manifest_type type,
			       const char *path, mode_t mode, int64_t modified_us, struct error *err)
{
	struct manifest_entry *entry = &intake->entry;

	extents_clear(&intake->extents);
	buf_clear(&intake->digests);
	intake->piece_fill = 0;
	entry->root = root;
	entry->type = type;
	entry->mode = mode;
	entry->modified_us = modified_us;
	entry->size = 0;
	entry->extent_count = 0;
	entry->extents = NULL;
	entry->digest_count = 0;
	entry->digests = NULL;
	entry->link[0] = '\0';
	if (snprintf(entry->path, sizeof(entry->path), "%s", path) >= (int) sizeof(entry->path))
		return fail(err, ERROR_CORRUPT, "the path \"%.200s…\" is longer than %d bytes", path,
			    MANIFEST_PATH_MAX - 1);
	return true;
}

bool intake_begin_file(struct intake *intake, const struct intake_file *file, struct error *err)
{
	TRY(intake_begin_entry(intake, file->root, MANIFEST_FILE, file->path, file->mode, file->modified_us, err));
	if (file->size >= ALIGNED_SIZE_MIN)
		pack_writer_align(intake->packs);
	return true;
}

static bool intake_end_piece(struct intake *intake, struct error *err)
{
	uint8_t digest[PIECE_DIGEST_SIZE];

	if (intake->piece_fill == 0)
		return true;
	intake->piece_fill = 0;
	TRY(piece_digest_end(&intake->digester, digest, err));
	return buf_append(&intake->digests, bytes_of(digest, sizeof(digest)), err);
}

/* Cuts the file into pieces as it passes; what lies behind as many as a manifest takes has no digest. */
static bool intake_digest(struct intake *intake, struct bytes content, struct error *err)
{
	while (content.size > 0 && intake->digests.size < intake->digests.size_max) {
		size_t room = PIECE_SIZE - intake->piece_fill;
		size_t size = content.size < room ? content.size : room;

		if (intake->piece_fill == 0)
			TRY(piece_digest_begin(&intake->digester, err));
		TRY(piece_digest_add(&intake->digester, bytes_slice(content, 0, size), err));
		content = bytes_slice(content, size, content.size - size);
		intake->piece_fill += size;
		if (intake->piece_fill == PIECE_SIZE)
			TRY(intake_end_piece(intake, err));
	}
	return true;
}

bool intake_add(struct intake *intake, struct bytes content, struct error *err)
{
	intake->entry.size += content.size;
	TRY(intake_digest(intake, content, err));
	return pack_writer_append(intake->packs, content, &intake->extents, err);
}

bool intake_end_file(struct intake *intake, struct error *err)
{
	TRY(intake_end_piece(intake, err));
	intake->entry.digest_count = intake->digests.size / PIECE_DIGEST_SIZE;
	intake->entry.digests = intake->digests.data;
	intake->entry.extent_count = intake->extents.count;
	intake->entry.extents = intake->extents.items;
	intake->file_count++;
	intake->content_size += intake->entry.size;
	return manifest_writer_add(intake->manifest, &intake->entry, err);
}

bool intake_add_directory(struct intake *intake, enum manifest_root root, const char *path, mode_t mode,
			  int64_t modified_us, struct error *err)
{
	TRY(intake_begin_entry(intake, root, MANIFEST_DIRECTORY, path, mode, modified_us, err));
	return manifest_writer_add(intake->manifest, &intake->entry, err);
}

bool intake_add_link(struct intake *intake, enum manifest_root root, const char *path, const char *target,
		     int64_t modified_us, struct error *err)
{
	struct manifest_entry *entry = &intake->entry;

	TRY(intake_begin_entry(intake, root, MANIFEST_LINK, path, 0777, modified_us, err));
	if (snprintf(entry->link, sizeof(entry->link), "%s", target) >= (int) sizeof(entry->link))
		return fail(err, ERROR_CORRUPT, "the target of the link \"%s\" is longer than %d bytes", path,
			    MANIFEST_PATH_MAX - 1);
	return manifest_writer_add(intake->manifest, entry, err);
}

bool intake_finish(struct intake *intake, struct error *err)
{
	uint64_t manifest_size;

	TRY(pack_writer_finish(intake->packs, &intake->pack_count, &intake->stored_size, err));
	TRY(manifest_writer_finish(intake->manifest, &intake->manifest_parts, &manifest_size, err));
	intake->stored_size += manifest_size;
	return true;
}
