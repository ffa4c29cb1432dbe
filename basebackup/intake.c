#include "intake.h"

#include <stdio.h>
#include <string.h>

bool intake_open(struct intake *intake, struct repo *repo, const char *label, struct pack_sizing sizing,
		 struct error *err)
{
	TRY(pack_writer_open(repo, label, sizing, &intake->packs, err));
	return manifest_writer_open(repo, label, &intake->manifest, err);
}

void intake_close(struct intake *intake)
{
	pack_writer_close(intake->packs);
	manifest_writer_close(intake->manifest);
	extents_release(&intake->extents);
	intake->packs = NULL;
	intake->manifest = NULL;
}

static bool intake_begin_entry(struct intake *intake, enum manifest_root root, enum manifest_type type,
			       const char *path, mode_t mode, int64_t modified_us, struct error *err)
{
	struct manifest_entry *entry = &intake->entry;

	extents_clear(&intake->extents);
	entry->root = root;
	entry->type = type;
	entry->mode = mode;
	entry->modified_us = modified_us;
	entry->size = 0;
	entry->extent_count = 0;
	entry->extents = NULL;
	entry->link[0] = '\0';
	if (snprintf(entry->path, sizeof(entry->path), "%s", path) >= (int) sizeof(entry->path))
		return fail(err, ERROR_CORRUPT, "the path \"%.200s…\" is longer than %d bytes", path,
			    MANIFEST_PATH_MAX - 1);
	return true;
}

bool intake_begin_file(struct intake *intake, enum manifest_root root, const char *path, mode_t mode,
		       int64_t modified_us, struct error *err)
{
	return intake_begin_entry(intake, root, MANIFEST_FILE, path, mode, modified_us, err);
}

bool intake_add(struct intake *intake, struct bytes content, struct error *err)
{
	intake->entry.size += content.size;
	return pack_writer_append(intake->packs, content, &intake->extents, err);
}

bool intake_end_file(struct intake *intake, struct error *err)
{
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
