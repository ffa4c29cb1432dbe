#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Objects of one sort of a backup: their names end in their number, 00000000 first, none left out. */
struct pieces {
	uint64_t count, bytes;
	uint64_t missing; /* the first number that is not there, with others behind it; UINT64_MAX: none */
	char last[LAYOUT_KEY_SIZE];
};

static bool piece_seen(void *context, const char *key, uint64_t size, struct error *err)
{
	struct pieces *pieces = context;
	const char *slash = strrchr(key, '/');
	char *end;

	(void) err;
	uint64_t number = slash == NULL ? 0 : strtoull(slash + 1, &end, 16);
	if (pieces->missing == UINT64_MAX && number > pieces->count)
		pieces->missing = pieces->count;
	pieces->count++;
	pieces->bytes += size;
	(void) snprintf(pieces->last, sizeof(pieces->last), "%s", key);
	return true;
}

/* `first` is the name of the first one. */
static bool pieces_list(struct checking *checking, const char *first, struct pieces *pieces, struct error *err)
{
	char prefix[LAYOUT_KEY_SIZE];

	*pieces = (struct pieces){.missing = UINT64_MAX};
	(void) snprintf(prefix, sizeof(prefix), "%.*s", (int) (strrchr(first, '/') + 1 - first), first);
	return storage_list(checking->repo->storage, prefix, "", piece_seen, pieces, err);
}

static bool missing_add(struct checking *checking, const struct backup *backup, const char *what, struct error *err)
{
	bool is_gone;

	TRY(check_path_is_gone(checking, backup, &is_gone, err));
	if (!is_gone)
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "the last base backup, \"%s\", cannot be restored: %s", backup->label, what),
			     "Take another one with pitr-basebackup; pitr-verify says what else is missing.");
	return true;
}

/* Is it there, and does its header tell what it should be? */
static bool piece_is_good(struct checking *checking, const char *key, enum object_kind kind, bool *is_good,
			  struct error *err)
{
	if (repo_have(checking->repo, key, kind, is_good, err))
		return true;
	*is_good = false;
	return err->kind == ERROR_CORRUPT;
}

static bool manifest_check(struct checking *checking, const struct backup *backup, bool *is_good, struct error *err)
{
	char key[LAYOUT_KEY_SIZE], what[LAYOUT_KEY_SIZE + 64];

	*is_good = true;
	for (uint32_t part = 0; part < backup->manifest_parts; part++) {
		layout_manifest(&checking->repo->layout, backup->branch, backup->label, part, key);
		TRY(piece_is_good(checking, key, OBJECT_MANIFEST, is_good, err));
		if (*is_good)
			continue;
		(void) snprintf(what, sizeof(what), "its manifest part \"%s\" is missing or damaged", key);
		return missing_add(checking, backup, what, err);
	}
	return true;
}

/* The files that every backup has anew, pg_control among them, lie in a pack of its own. What was stored for it is
 * known by the byte, so that a listing shows whether a pack is gone, the last one too. */
static bool packs_check(struct checking *checking, const struct backup *backup, struct error *err)
{
	struct layout layout = checking->repo->layout;
	struct pieces packs, parts;
	bool is_good;
	char first[LAYOUT_KEY_SIZE], part[LAYOUT_KEY_SIZE], what[LAYOUT_KEY_SIZE + 64];

	memcpy(layout.branches[0].name, backup->branch, sizeof(layout.branches[0].name));
	layout_pack(&layout, backup->label, 0, first);
	layout_manifest(&layout, backup->branch, backup->label, 0, part);
	TRY(pieces_list(checking, first, &packs, err));
	TRY(pieces_list(checking, part, &parts, err));
	TRY(piece_is_good(checking, first, OBJECT_PACK, &is_good, err));
	if (is_good)
		TRY(piece_is_good(checking, packs.count > 1 ? packs.last : first, OBJECT_PACK, &is_good, err));
	if (!is_good)
		(void) snprintf(what, sizeof(what), "its pack \"%s\" is missing or damaged",
				packs.count > 1 && packs.missing != 0 ? packs.last : first);
	else if (packs.missing != UINT64_MAX)
		(void) snprintf(what, sizeof(what), "its pack number %" PRIu64 " is missing", packs.missing);
	else if (packs.bytes + parts.bytes < backup->stored_bytes)
		(void) snprintf(what, sizeof(what),
				"of the %" PRIu64 " bytes that were stored for it only %" PRIu64 " are there",
				backup->stored_bytes, packs.bytes + parts.bytes);
	else
		return true;
	return missing_add(checking, backup, what, err);
}

/* Asked of the newest one alone: what pitr-verify does with all. */
bool check_content(struct checking *checking, struct error *err)
{
	const struct backup *newest = check_backup_newest(checking, true);
	bool is_good;

	if (newest == NULL)
		return true;
	TRY(manifest_check(checking, newest, &is_good, err));
	return !is_good || packs_check(checking, newest, err);
}
