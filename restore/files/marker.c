#include "files/marker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/hex.h"

bool marker_make(const struct repo *repo, const struct backup *backup, const char *settings, struct place *place,
		 struct error *err)
{
	char id[2 * sizeof(repo->id) + 1], system[24];
	json_t *array = json_array();

	place->marker = json_object();
	TRY(json_put(place->marker, "tablespaces", array, err));
	for (int i = 0; i < place->tablespace_count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "oid", json_integer(place->tablespaces[i].oid), err));
		TRY(json_put(member, "path", json_string(place->tablespaces[i].target), err));
	}
	hex_format(bytes_of(repo->id, sizeof(repo->id)), id);
	(void) snprintf(system, sizeof(system), "%" PRIu64, repo->layout.system_identifier);
	TRY(json_put(place->marker, "repository", json_string(id), err));
	TRY(json_put(place->marker, "system_identifier", json_string(system), err));
	TRY(json_put(place->marker, "label", json_string(backup->label), err));
	TRY(json_put(place->marker, "included_to", json_string(place->included_to), err));
	return json_put(place->marker, "settings", json_string(settings), err);
}

bool marker_agrees(const json_t *found, const json_t *wanted, const char *key)
{
	return json_equal(json_object_get(found, key), json_object_get(wanted, key)) == 1;
}

bool marker_set_delta(struct place *place, struct error *err)
{
	return json_put(place->marker, "delta", json_true(), err);
}

bool marker_is_delta(const json_t *found)
{
	return json_is_true(json_object_get(found, "delta"));
}

bool marker_write(const struct place *place, struct error *err)
{
	char path[PATH_MAX];
	BUF(text, MARKER_SIZE_MAX);

	TRY(json_encode(place->marker, &text, err));
	TRY(path_join(path, place->pgdata, PLACE_MARKER, err));
	return fs_replace_file(path, 0600, buf_bytes(&text), err);
}

bool marker_remove(const struct place *place, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, place->pgdata, PLACE_MARKER, err));
	TRY(fs_remove(path, err));
	return fs_sync_file(place->pgdata, err);
}

bool marker_read(const struct place *place, json_t **found, struct error *err)
{
	char path[PATH_MAX];
	BUF(text, MARKER_SIZE_MAX);

	TRY(path_join(path, place->pgdata, PLACE_MARKER, err));
	TRY(fs_read_file(path, &text, err));
	return json_decode(buf_bytes(&text), path, found, err);
}

bool marker_is_of_cluster(const json_t *found, const json_t *wanted)
{
	return marker_agrees(found, wanted, "repository") && marker_agrees(found, wanted, "system_identifier");
}

bool marker_has_tablespace(const json_t *found, const char *target)
{
	const json_t *tablespaces = json_object_get(found, "tablespaces");

	for (size_t i = 0; i < json_array_size(tablespaces); i++) {
		const char *path = json_string_value(json_object_get(json_array_get(tablespaces, i), "path"));

		if (path != NULL && strcmp(path, target) == 0)
			return true;
	}
	return false;
}
