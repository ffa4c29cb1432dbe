/* The index over WAL: what it says of each segment is what is stored with the segment. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "repo/wal_index_text.h"
#include "verify.h"

/* One segment's line. Of a segment that is not there, or was looked at by nobody, nothing can be said. */
static bool line_verify(struct verify *verify, const struct wal_index_text *text, const struct layout *layout,
			const struct wal_name *first, uint64_t number, struct error *err)
{
	json_t *meta JSON_CLEANUP = NULL;
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE];
	uint8_t digest[VERIFY_DIGEST_SIZE];

	wal_name_of_segment(first->timeline, number, verify->segment_size, &name);
	layout_wal_new(layout, &name, key);
	const struct verify_object *segment = verify_table_find(&verify->table, key);
	if (segment == NULL || segment->state != VERIFY_GOOD || segment->size > UINT32_MAX)
		return true;
	TRY(wal_index_text_find(text, number, &name, (uint32_t) segment->size, &meta, err));
	if (meta == NULL)
		return true;
	TRY(verify_meta_digest(meta, digest, err));
	return memcmp(digest, segment->meta_digest, VERIFY_DIGEST_SIZE) == 0 ||
	       fail(err, ERROR_CORRUPT, "what it says of the segment \"%s\" is not what is stored with that",
		    name.text);
}

static bool index_verify(struct verify *verify, const struct verify_object *object, struct wal_index_text *text,
			 struct error *err)
{
	struct object_name name;
	BUF(plain, WAL_INDEX_TEXT_MAX);

	if (!object_name_parse(&verify->repo->layout, object->key, &name))
		return fail(err, ERROR_SYSTEM, "\"%s\" is no name of an index", object->key);
	uint64_t first = wal_segment_number(&name.wal, verify->segment_size);
	struct layout alone = verify->repo->layout;
	alone.branch_count = 1;
	alone.branches[0] = (struct branch){.timeline = 0};
	memcpy(alone.branches[0].name, name.branch, sizeof(alone.branches[0].name));

	TRY(repo_get(verify->repo, object->key, OBJECT_WAL_INDEX, &plain, err));
	TRY(wal_index_text_open(text, &plain, first / WAL_INDEX_BLOCK, verify->segment_size, err));
	for (uint64_t i = 0; i < WAL_INDEX_BLOCK; i++)
		TRY(line_verify(verify, text, &alone, &name.wal, first / WAL_INDEX_BLOCK * WAL_INDEX_BLOCK + i, err));
	return true;
}

bool verify_indexes(struct verify *verify, struct error *err)
{
	struct wal_index_text *text = malloc(sizeof(*text));
	bool done = text != NULL || fail(err, ERROR_SYSTEM, "out of memory");

	for (size_t i = 0; i < verify->table.count && done && verify->scope != VERIFY_BACKUP; i++) {
		struct verify_object *object = &verify->table.objects[i];

		if (object->kind != OBJECT_WAL_INDEX || verify->segment_size == 0)
			continue;
		memset(text, 0, sizeof(*text));
		object->is_read = true;
		verify_count(verify, true, object->size);
		object->state = VERIFY_GOOD;
		if (!index_verify(verify, object, text, err)) {
			done = verify_take_failure(verify, object, err);
			verify->has_bad_index = true;
		}
		wal_index_text_release(text);
	}
	free(text);
	return done;
}
