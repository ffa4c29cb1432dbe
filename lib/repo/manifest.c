#include "repo/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

#define EXTENTS_MAX    (1u << 20) /* of one file: 32 TB in packs of 32 MB */
#define PIECE_SIZE_MIN (4 * KiB)
#define PIECE_SIZE_MAX (16 * MiB)
/* Estimated bytes of JSON at which a part is full; well below MANIFEST_PART_SIZE_MAX, since one entry may be large. */
#define PART_ESTIMATE_MAX (4 * MiB)

static const char *const type_names[] = {
	[MANIFEST_FILE] = "file", [MANIFEST_DIRECTORY] = "directory", [MANIFEST_LINK] = "link"};
static const char *const root_names[] = {[MANIFEST_DATA] = "data", [MANIFEST_INCLUDED] = "included"};

struct manifest_writer {
	struct repo *repo;
	char label[BACKUP_LABEL_SIZE];
	uint32_t part;
	uint64_t stored_size;
	json_t *packs;	/* array: references of this part; extents name them by place */
	json_t *places; /* object: reference -> place */
	json_t *files;
	size_t estimate;
};

static bool manifest_writer_begin_part(struct manifest_writer *writer, struct error *err)
{
	json_cleanup(&writer->packs);
	json_cleanup(&writer->places);
	json_cleanup(&writer->files);
	writer->packs = json_array();
	writer->places = json_object();
	writer->files = json_array();
	writer->estimate = 0;
	if (writer->packs == NULL || writer->places == NULL || writer->files == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	return true;
}

bool manifest_writer_open(struct repo *repo, const char *label, struct manifest_writer **writer, struct error *err)
{
	struct manifest_writer *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	made->repo = repo;
	(void) snprintf(made->label, sizeof(made->label), "%s", label);
	if (!manifest_writer_begin_part(made, err)) {
		manifest_writer_close(made);
		return false;
	}
	*writer = made;
	return true;
}

void manifest_writer_close(struct manifest_writer *writer)
{
	if (writer == NULL)
		return;
	json_cleanup(&writer->packs);
	json_cleanup(&writer->places);
	json_cleanup(&writer->files);
	free(writer);
}

static bool manifest_writer_put_part(struct manifest_writer *writer, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char key[LAYOUT_KEY_SIZE];
	uint64_t stored_size;
	BUF(text, MANIFEST_PART_SIZE_MAX);

	TRY(json_put(json, "label", json_string(writer->label), err));
	TRY(json_put(json, "part", json_integer(writer->part), err));
	TRY(json_put(json, "piece_size", json_integer(PIECE_SIZE), err));
	TRY(json_put(json, "packs", json_incref(writer->packs), err));
	TRY(json_put(json, "files", json_incref(writer->files), err));
	TRY(json_encode(json, &text, err));
	layout_manifest(&writer->repo->layout, layout_branch(&writer->repo->layout), writer->label, writer->part, key);
	TRY(repo_put(writer->repo, key, OBJECT_MANIFEST, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), &stored_size,
		     err));
	writer->stored_size += stored_size;
	writer->part++;
	return manifest_writer_begin_part(writer, err);
}

/* The place of a pack among those of the part, which it is added to when it is new. */
static bool manifest_writer_place(struct manifest_writer *writer, const char *reference, json_int_t *place,
				  struct error *err)
{
	const json_t *known = json_object_get(writer->places, reference);

	if (known == NULL) {
		*place = (json_int_t) json_array_size(writer->packs);
		TRY(json_add(writer->packs, json_string(reference), err));
		return json_put(writer->places, reference, json_integer(*place), err);
	}
	*place = json_integer_value(known);
	return true;
}

static bool manifest_writer_extents(struct manifest_writer *writer, const struct manifest_entry *entry, json_t *file,
				    struct error *err)
{
	json_t *extents = json_array();

	TRY(json_put(file, "extents", extents, err));
	for (int i = 0; i < entry->extent_count; i++) {
		const struct extent *extent = &entry->extents[i];
		json_t *triple = json_array();
		json_int_t place;

		TRY(json_add(extents, triple, err));
		TRY(manifest_writer_place(writer, extent->pack, &place, err));
		TRY(json_add(triple, json_integer(place), err));
		TRY(json_add(triple, json_integer((json_int_t) extent->offset), err));
		TRY(json_add(triple, json_integer((json_int_t) extent->size), err));
	}
	return true;
}

static bool manifest_writer_digests(const struct manifest_entry *entry, json_t *file, struct error *err)
{
	size_t size = entry->digest_count * PIECE_DIGEST_SIZE;

	if (size == 0)
		return true;
	char *text = malloc(2 * size + 1);
	if (text == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	hex_format(bytes_of(entry->digests, size), text);
	bool done = json_put(file, "digests", json_string(text), err);
	free(text);
	return done;
}

bool manifest_writer_add(struct manifest_writer *writer, const struct manifest_entry *entry, struct error *err)
{
	json_t *file = json_object();

	TRY(json_add(writer->files, file, err));
	if (json_put(file, "path", json_string(entry->path), err)) {
		TRY(json_put(file, "root", json_string(root_names[entry->root]), err));
		TRY(json_put(file, "type", json_string(type_names[entry->type]), err));
		TRY(json_put(file, "mode", json_integer(entry->mode & 07777), err));
		TRY(json_put(file, "modified_us", json_integer(entry->modified_us), err));
	} else {
		return fail(err, ERROR_USAGE, "the name of the file \"%s\" is not UTF-8", entry->path);
	}
	if (entry->type == MANIFEST_LINK)
		TRY(json_put(file, "link", json_string(entry->link), err));
	if (entry->type == MANIFEST_FILE) {
		TRY(json_put(file, "size", json_integer((json_int_t) entry->size), err));
		TRY(manifest_writer_extents(writer, entry, file, err));
		TRY(manifest_writer_digests(entry, file, err));
	}
	writer->estimate += 160 + strlen(entry->path) + 40 * (size_t) entry->extent_count +
			    2 * PIECE_DIGEST_SIZE * entry->digest_count;
	if (writer->estimate < PART_ESTIMATE_MAX && json_array_size(writer->files) < MANIFEST_PART_FILES_MAX)
		return true;
	return manifest_writer_put_part(writer, err);
}

bool manifest_writer_finish(struct manifest_writer *writer, uint32_t *parts, uint64_t *stored_size, struct error *err)
{
	if (json_array_size(writer->files) > 0 || writer->part == 0)
		TRY(manifest_writer_put_part(writer, err));
	*parts = writer->part;
	*stored_size = writer->stored_size;
	return true;
}

/* Relative, and nothing in it that leads elsewhere. */
static bool path_is_safe(const char *path)
{
	if (*path == '\0' || strlen(path) >= MANIFEST_PATH_MAX)
		return false;
	while (*path != '\0') {
		size_t length = strcspn(path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') || (length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += length;
		if (*path == '/' && *++path == '\0')
			return false;
	}
	return true;
}

static bool name_find(const char *const *names, int count, const char *name, int *place)
{
	for (*place = 0; *place < count; (*place)++) {
		if (strcmp(names[*place], name) == 0)
			return true;
	}
	return false;
}

static bool entry_decode_path(const json_t *file, struct manifest_entry *entry, struct error *err)
{
	const char *path;
	const char *root;
	const char *type;
	int place;

	TRY(json_get_text(file, "path", &path, err));
	if (!path_is_safe(path))
		return fail(err, ERROR_CORRUPT, "the path \"%.200s\" leads elsewhere", path);
	(void) snprintf(entry->path, sizeof(entry->path), "%s", path);
	TRY(json_get_text(file, "root", &root, err));
	if (!name_find(root_names, 2, root, &place))
		return fail(err, ERROR_CORRUPT, "\"%.50s\" is no root", root);
	entry->root = (enum manifest_root) place;
	TRY(json_get_text(file, "type", &type, err));
	if (!name_find(type_names, 3, type, &place))
		return fail(err, ERROR_CORRUPT, "\"%.50s\" is no type", type);
	entry->type = (enum manifest_type) place;
	if (entry->type != MANIFEST_LINK)
		return true;

	const char *link;
	TRY(json_get_text(file, "link", &link, err));
	if (entry->root != MANIFEST_INCLUDED || strlen(link) >= sizeof(entry->link))
		return fail(err, ERROR_CORRUPT, "\"%.200s\" must not be a link", path);
	(void) snprintf(entry->link, sizeof(entry->link), "%s", link);
	return true;
}

static bool extent_decode(const json_t *triple, const json_t *packs, struct extent *extent, struct error *err)
{
	json_int_t place = json_integer_value(json_array_get(triple, 0));
	json_int_t offset = json_integer_value(json_array_get(triple, 1));
	json_int_t size = json_integer_value(json_array_get(triple, 2));

	if (json_array_size(triple) != 3 || place < 0 || (size_t) place >= json_array_size(packs) || offset < 0 ||
	    size <= 0 || (uint64_t) offset > OBJECT_PLAIN_MAX || (uint64_t) size > OBJECT_PLAIN_MAX)
		return fail(err, ERROR_CORRUPT, "there is an impossible extent");
	const char *reference = json_string_value(json_array_get(packs, (size_t) place));
	if (reference == NULL || strlen(reference) >= sizeof(extent->pack))
		return fail(err, ERROR_CORRUPT, "there is an impossible pack");
	(void) snprintf(extent->pack, sizeof(extent->pack), "%s", reference);
	extent->offset = (uint64_t) offset;
	extent->size = (uint64_t) size;
	return true;
}

/* What one part says; the arrays are borrowed from `json`. */
struct manifest_part {
	json_t *json; /* owned */
	json_t *packs, *files;
	size_t piece_size; /* 0: it has no digests */
};

/* As many as there are; a backup of before they were kept has none. */
static bool entry_decode_digests(const json_t *file, size_t piece_size, struct manifest_entry *entry, struct error *err)
{
	const char *text = json_string_value(json_object_get(file, "digests"));
	size_t count = text == NULL ? 0 : strlen(text) / (2 * PIECE_DIGEST_SIZE);

	if (count == 0 || piece_size == 0)
		return true;
	if (count > MANIFEST_DIGESTS_MAX || count > (entry->size + piece_size - 1) / piece_size)
		return fail(err, ERROR_CORRUPT, "\"%s\" has more digests than pieces", entry->path);
	entry->digests = malloc(count * PIECE_DIGEST_SIZE);
	if (entry->digests == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (!hex_parse(text, entry->digests, count * PIECE_DIGEST_SIZE))
		return fail(err, ERROR_CORRUPT, "the digests of \"%s\" are none", entry->path);
	entry->piece_size = piece_size;
	entry->digest_count = count;
	return true;
}

static bool entry_decode_extents(const json_t *file, const json_t *packs, struct manifest_entry *entry,
				 struct error *err)
{
	json_t *extents;
	uint64_t sum = 0;

	TRY(json_get_array(file, "extents", &extents, err));
	size_t count = json_array_size(extents);
	if (count > EXTENTS_MAX)
		return fail(err, ERROR_CORRUPT, "\"%s\" has more than %u extents", entry->path, EXTENTS_MAX);
	entry->extents = calloc(count + 1, sizeof(*entry->extents));
	if (entry->extents == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	entry->extent_count = (int) count;
	for (size_t i = 0; i < count; i++) {
		TRY(extent_decode(json_array_get(extents, i), packs, &entry->extents[i], err));
		sum += entry->extents[i].size;
	}
	if (sum != entry->size)
		return fail(err, ERROR_CORRUPT, "the extents of \"%s\" do not add up to its size", entry->path);
	return true;
}

static bool entry_decode_content(const json_t *file, const struct manifest_part *part, struct manifest_entry *entry,
				 struct error *err)
{
	int64_t size;

	TRY(json_get_integer(file, "size", 0, INT64_MAX, &size, err));
	entry->size = (uint64_t) size;
	TRY(entry_decode_extents(file, part->packs, entry, err));
	return entry_decode_digests(file, part->piece_size, entry, err);
}

static bool entry_decode(const json_t *file, const struct manifest_part *part, struct manifest_entry *entry,
			 struct error *err)
{
	int64_t mode;

	TRY(entry_decode_path(file, entry, err));
	TRY(json_get_integer(file, "mode", 0, 07777, &mode, err));
	entry->mode = (mode_t) mode;
	TRY(json_get_integer(file, "modified_us", INT64_MIN, INT64_MAX, &entry->modified_us, err));
	return entry->type == MANIFEST_FILE ? entry_decode_content(file, part, entry, err) : true;
}

static bool part_decode_piece_size(struct manifest_part *part, struct error *err)
{
	int64_t piece_size;

	part->piece_size = 0;
	if (json_object_get(part->json, "piece_size") == NULL)
		return true;
	TRY(json_get_integer(part->json, "piece_size", PIECE_SIZE_MIN, PIECE_SIZE_MAX, &piece_size, err));
	if ((piece_size & (piece_size - 1)) != 0)
		return fail(err, ERROR_CORRUPT, "pieces cannot be of %lld bytes", (long long) piece_size);
	part->piece_size = (size_t) piece_size;
	return true;
}

static bool manifest_get_part(struct repo *repo, const struct backup *backup, uint32_t number,
			      struct manifest_part *part, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	const char *said_label;
	int64_t said_part;
	BUF(text, MANIFEST_PART_SIZE_MAX);

	layout_manifest(&repo->layout, backup->branch, backup->label, number, key);
	if (!repo_get(repo, key, OBJECT_MANIFEST, &text, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			return fail(err, ERROR_CORRUPT, "the manifest part \"%s\" is missing from the repository", key);
		return false;
	}
	TRY(json_decode(buf_bytes(&text), key, &part->json, err));
	if (!json_get_text(part->json, "label", &said_label, err) ||
	    !json_get_integer(part->json, "part", 0, UINT32_MAX, &said_part, err) ||
	    !json_get_array(part->json, "packs", &part->packs, err) ||
	    !json_get_array(part->json, "files", &part->files, err) || !part_decode_piece_size(part, err))
		return fail_in(err, "%s", key);
	if (strcmp(said_label, backup->label) != 0 || said_part != number)
		return fail(err, ERROR_CORRUPT, "\"%s\" is part of another manifest", key);
	return true;
}

static bool manifest_visit_part(const struct manifest_part *part, manifest_visit visit, void *context,
				struct error *err)
{
	for (size_t i = 0; i < json_array_size(part->files); i++) {
		struct manifest_entry entry = {.extent_count = 0};
		bool done =
			entry_decode(json_array_get(part->files, i), part, &entry, err) && visit(context, &entry, err);

		free(entry.extents);
		free(entry.digests);
		if (!done)
			return false;
	}
	return true;
}

bool manifest_each_of_part(struct repo *repo, const struct backup *backup, uint32_t number, manifest_visit visit,
			   void *context, struct error *err)
{
	struct manifest_part part = {.json = NULL};
	bool done = manifest_get_part(repo, backup, number, &part, err) &&
		    (manifest_visit_part(&part, visit, context, err) ||
		     fail_in(err, "manifest of \"%s\", part %u", backup->label, number));

	json_cleanup(&part.json);
	return done;
}

bool manifest_each(struct repo *repo, const struct backup *backup, manifest_visit visit, void *context,
		   struct error *err)
{
	for (uint32_t number = 0; number < backup->manifest_parts; number++)
		TRY(manifest_each_of_part(repo, backup, number, visit, context, err));
	return true;
}
