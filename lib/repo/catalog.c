#include "repo/catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "pg/wal_name.h"
#include "repo/branch.h"

#define FACT_SIZE_MAX (4 * MiB)

void backup_release(struct backup *backup)
{
	free(backup->tablespaces);
	backup->tablespaces = NULL;
	backup->tablespace_count = 0;
}

void catalog_release(struct catalog *catalog)
{
	for (int i = 0; i < catalog->count; i++)
		backup_release(&catalog->backups[i]);
	free(catalog->backups);
	catalog->backups = NULL;
	catalog->count = 0;
}

static bool put_tablespaces(json_t *json, const struct backup *backup, struct error *err)
{
	json_t *array = json_array();

	TRY(json_put(json, "tablespaces", array, err));
	for (int i = 0; i < backup->tablespace_count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "oid", json_integer(backup->tablespaces[i].oid), err));
		TRY(json_put(member, "path", json_string(backup->tablespaces[i].path), err));
	}
	return true;
}

static bool put_relation_map(json_t *json, const struct relation_map_summary *map, struct error *err)
{
	json_t *object = json_object();

	TRY(json_put(json, "relation_map", object, err));
	TRY(json_put(object, "parts", json_integer(map->parts), err));
	TRY(json_put(object, "relations", json_integer((json_int_t) map->relations), err));
	TRY(json_put(object, "databases", json_integer((json_int_t) map->databases), err));
	TRY(json_put(object, "databases_missing", json_integer((json_int_t) map->databases_missing), err));
	TRY(lsn_put(object, "lsn_before", map->lsn_before, err));
	TRY(lsn_put(object, "lsn_after", map->lsn_after, err));
	return json_put(object, "oldest_xid", json_integer((json_int_t) map->oldest_xid), err);
}

bool backup_encode(const struct backup *backup, json_t *json, struct error *err)
{
	TRY(json_put(json, "label", json_string(backup->label), err));
	TRY(json_put(json, "kind", json_string("full"), err));
	TRY(json_put(json, "name", json_string(backup->name), err));
	TRY(json_put(json, "note", json_string(backup->note), err));
	TRY(json_put(json, "host", json_string(backup->host), err));
	TRY(json_put(json, "started_us", json_integer(backup->started_us), err));
	TRY(json_put(json, "finished_us", json_integer(backup->finished_us), err));
	TRY(lsn_put(json, "start_lsn", backup->start_lsn, err));
	TRY(lsn_put(json, "stop_lsn", backup->stop_lsn, err));
	TRY(json_put(json, "start_timeline", json_integer(backup->start_timeline), err));
	TRY(json_put(json, "stop_timeline", json_integer(backup->stop_timeline), err));
	TRY(json_put(json, "segment_size", json_integer(backup->segment_size), err));
	TRY(json_put(json, "server_version", json_integer(backup->server_version), err));
	TRY(json_put(json, "from_standby", json_boolean(backup->from_standby), err));
	TRY(json_put(json, "database_bytes", json_integer((json_int_t) backup->database_bytes), err));
	TRY(json_put(json, "stored_bytes", json_integer((json_int_t) backup->stored_bytes), err));
	TRY(json_put(json, "files", json_integer((json_int_t) backup->file_count), err));
	TRY(json_put(json, "checksum_failures", json_integer((json_int_t) backup->checksum_failures), err));
	TRY(json_put(json, "manifest_parts", json_integer(backup->manifest_parts), err));
	TRY(put_relation_map(json, &backup->relation_map, err));
	return put_tablespaces(json, backup, err);
}

const char *backup_status(const struct backup *backup)
{
	if (backup->is_damaged)
		return "damaged";
	return backup->checksum_failures > 0 ? "checksum failures" : "complete";
}

bool backup_encode_listed(const struct backup *backup, json_t *json, struct error *err)
{
	TRY(backup_encode(backup, json, err));
	TRY(json_put(json, "branch", json_string(backup->branch), err));
	TRY(json_put(json, "status", json_string(backup_status(backup)), err));
	if (backup->pinned_until_us != 0)
		TRY(json_put(json, "pinned_until_us", json_integer(backup->pinned_until_us), err));
	return backup->verified_us == 0 || json_put(json, "verified_us", json_integer(backup->verified_us), err);
}

static bool get_tablespaces(const json_t *json, struct backup *backup, struct error *err)
{
	json_t *array;

	TRY(json_get_array(json, "tablespaces", &array, err));
	size_t count = json_array_size(array);
	if (count > TABLESPACES_MAX)
		return fail(err, ERROR_CORRUPT, "there are more than %d tablespaces", TABLESPACES_MAX);
	backup->tablespaces = calloc(count + 1, sizeof(*backup->tablespaces));
	if (backup->tablespaces == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const json_t *member = json_array_get(array, i);
		struct tablespace *tablespace = &backup->tablespaces[backup->tablespace_count++];

		TRY(json_get_u32(member, "oid", &tablespace->oid, err));
		TRY(json_copy_text(member, "path", tablespace->path, sizeof(tablespace->path), err));
	}
	return true;
}

/* Missing when no map was made. */
static bool get_relation_map(const json_t *json, struct relation_map_summary *map, struct error *err)
{
	json_t *object;

	if (json_object_get(json, "relation_map") == NULL)
		return true;
	TRY(json_get_object(json, "relation_map", &object, err));
	TRY(json_get_u32(object, "parts", &map->parts, err));
	TRY(json_get_u64(object, "relations", &map->relations, err));
	TRY(json_get_u64(object, "databases", &map->databases, err));
	TRY(json_get_u64(object, "databases_missing", &map->databases_missing, err));
	TRY(lsn_get(object, "lsn_before", &map->lsn_before, err));
	TRY(lsn_get(object, "lsn_after", &map->lsn_after, err));
	return json_get_u64(object, "oldest_xid", &map->oldest_xid, err);
}

static bool backup_decode(const json_t *json, struct backup *backup, struct error *err)
{
	TRY(json_copy_text(json, "label", backup->label, sizeof(backup->label), err));
	TRY(json_copy_text(json, "name", backup->name, sizeof(backup->name), err));
	TRY(json_copy_text(json, "note", backup->note, sizeof(backup->note), err));
	TRY(json_copy_text(json, "host", backup->host, sizeof(backup->host), err));
	TRY(json_get_integer(json, "started_us", 0, INT64_MAX, &backup->started_us, err));
	TRY(json_get_integer(json, "finished_us", 0, INT64_MAX, &backup->finished_us, err));
	TRY(lsn_get(json, "start_lsn", &backup->start_lsn, err));
	TRY(lsn_get(json, "stop_lsn", &backup->stop_lsn, err));
	TRY(json_get_u32(json, "start_timeline", &backup->start_timeline, err));
	TRY(json_get_u32(json, "stop_timeline", &backup->stop_timeline, err));
	TRY(json_get_u32(json, "segment_size", &backup->segment_size, err));
	if (!wal_segment_size_valid(backup->segment_size))
		return fail(err, ERROR_CORRUPT, "\"segment_size\" is no segment size");
	TRY(json_get_integer(json, "server_version", 0, INT32_MAX, &backup->server_version, err));
	backup->from_standby = json_is_true(json_object_get(json, "from_standby"));
	TRY(json_get_u64(json, "database_bytes", &backup->database_bytes, err));
	TRY(json_get_u64(json, "stored_bytes", &backup->stored_bytes, err));
	TRY(json_get_u64(json, "files", &backup->file_count, err));
	TRY(json_get_u64(json, "checksum_failures", &backup->checksum_failures, err));
	TRY(json_get_u32(json, "manifest_parts", &backup->manifest_parts, err));
	TRY(get_relation_map(json, &backup->relation_map, err));
	return get_tablespaces(json, backup, err);
}

bool catalog_add(struct repo *repo, const struct backup *backup, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char key[LAYOUT_KEY_SIZE];
	BUF(text, FACT_SIZE_MAX);

	TRY(backup_encode(backup, json, err));
	TRY(json_encode(json, &text, err));
	layout_backup_complete(&repo->layout, layout_branch(&repo->layout), backup->label, key);
	return repo_put(repo, key, OBJECT_FACT, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), NULL, err);
}

static bool catalog_read_backup(struct repo *repo, const char *key, const char *label, struct backup *backup,
				struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	BUF(text, FACT_SIZE_MAX);

	TRY(repo_get(repo, key, OBJECT_FACT, &text, err));
	TRY(json_decode(buf_bytes(&text), key, &json, err));
	if (!backup_decode(json, backup, err))
		return fail_in(err, "the object \"%s\"", key);
	if (strcmp(backup->label, label) != 0)
		return fail(err, ERROR_CORRUPT, "the object \"%s\" is about another backup", key);
	return true;
}

struct reading {
	struct repo *repo;
	const struct catalog *known; /* NULL: nothing is */
	struct catalog *catalog;
	const char *branch;
	size_t capacity;
};

static bool backup_copy(const struct backup *source, struct backup *target, struct error *err)
{
	size_t count = (size_t) source->tablespace_count;

	*target = *source;
	target->tablespaces = calloc(count + 1, sizeof(*target->tablespaces));
	if (target->tablespaces == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (count > 0)
		memcpy(target->tablespaces, source->tablespaces, count * sizeof(*target->tablespaces));
	return true;
}

static bool backup_obtain(const struct reading *reading, const char *key, const char *label, struct backup *backup,
			  struct error *err)
{
	for (int i = 0; reading->known != NULL && i < reading->known->count; i++)
		if (strcmp(reading->known->backups[i].label, label) == 0 &&
		    strcmp(reading->known->backups[i].branch, reading->branch) == 0)
			return backup_copy(&reading->known->backups[i], backup, err);
	return catalog_read_backup(reading->repo, key, label, backup, err);
}

/* Room for one more, zeroed; it is not counted yet. */
static struct backup *catalog_extend(struct reading *reading, struct error *err)
{
	struct catalog *catalog = reading->catalog;

	if (catalog->count == CATALOG_BACKUPS_MAX) {
		(void) fail(err, ERROR_CORRUPT, "the repository has more than %d backups", CATALOG_BACKUPS_MAX);
		return NULL;
	}
	if (!ARRAY_RESERVE(&catalog->backups, catalog->count, &reading->capacity, err))
		return NULL;
	memset(&catalog->backups[catalog->count], 0, sizeof(catalog->backups[0]));
	return &catalog->backups[catalog->count];
}

static bool catalog_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct reading *reading = context;
	struct catalog *catalog = reading->catalog;
	char label[BACKUP_LABEL_SIZE];

	(void) size;
	if (!layout_parse_backup_complete(&reading->repo->layout, reading->branch, key, label))
		return true;
	struct backup *backup = catalog_extend(reading, err);
	if (backup == NULL)
		return false;
	(void) snprintf(backup->branch, sizeof(backup->branch), "%s", reading->branch);
	if (backup_obtain(reading, key, label, backup, err)) {
		catalog->count++;
		return true;
	}
	backup_release(backup);
	/* It has gone since it was listed: pitr-expire removes it before everything else of the backup. */
	if (err->kind == ERROR_NOT_FOUND)
		return true;
	if (err->kind != ERROR_CORRUPT)
		return false;
	/* The others can still be restored, and whoever needs one now must not be kept from it. */
	log_warning("the backup \"%s\" is left out: %s", label, err->text);
	return true;
}

static int backup_order(const void *left, const void *right)
{
	const struct backup *a = left;
	const struct backup *b = right;

	if (a->start_timeline != b->start_timeline)
		return a->start_timeline < b->start_timeline ? -1 : 1;
	if (a->start_lsn != b->start_lsn)
		return a->start_lsn < b->start_lsn ? -1 : 1;
	return strcmp(a->label, b->label);
}

static bool catalog_read_branches(struct reading *reading, const struct branch_list *list, struct error *err)
{
	struct repo *repo = reading->repo;

	for (int i = 0; i < list->count; i++) {
		char prefix[LAYOUT_KEY_SIZE];

		reading->branch = list->names[i];
		layout_backup_prefix(&repo->layout, reading->branch, prefix);
		TRY(storage_list(repo->storage, prefix, "", catalog_visit, reading, err));
	}
	return true;
}

bool catalog_read(struct repo *repo, struct catalog *catalog, struct error *err)
{
	return catalog_read_beyond(repo, NULL, catalog, err);
}

bool catalog_read_beyond(struct repo *repo, const struct catalog *known, struct catalog *catalog, struct error *err)
{
	struct reading reading = {.repo = repo, .known = known, .catalog = catalog};
	struct branch_list list;

	memset(catalog, 0, sizeof(*catalog));
	TRY(branch_list_read(repo, &list, err));
	if (!catalog_read_branches(&reading, &list, err)) {
		catalog_release(catalog);
		return false;
	}
	if (catalog->count > 1)
		qsort(catalog->backups, (size_t) catalog->count, sizeof(catalog->backups[0]), backup_order);
	return true;
}

static bool backup_decode_listed(const json_t *json, struct backup *backup, struct error *err)
{
	const char *status;

	TRY(backup_decode(json, backup, err));
	TRY(json_copy_text(json, "branch", backup->branch, sizeof(backup->branch), err));
	TRY(json_get_text(json, "status", &status, err));
	backup->is_damaged = strcmp(status, "damaged") == 0;
	if (json_object_get(json, "pinned_until_us") != NULL)
		TRY(json_get_integer(json, "pinned_until_us", 0, INT64_MAX, &backup->pinned_until_us, err));
	return json_object_get(json, "verified_us") == NULL ||
	       json_get_integer(json, "verified_us", 0, INT64_MAX, &backup->verified_us, err);
}

bool catalog_decode_listed(const json_t *array, struct catalog *catalog, struct error *err)
{
	struct reading reading = {.catalog = catalog};

	for (size_t i = 0; i < json_array_size(array); i++) {
		struct backup *backup = catalog_extend(&reading, err);

		if (backup == NULL)
			return false;
		catalog->count++;
		TRY(backup_decode_listed(json_array_get(array, i), backup, err));
	}
	return true;
}

/* A label is long: its beginning, or its random part, will do when only one backup has it. */
static bool label_matches(const char *label, const char *wanted)
{
	const char *random = strrchr(label, '-');

	return strncmp(label, wanted, strlen(wanted)) == 0 || (random != NULL && strcmp(random + 1, wanted) == 0);
}

bool catalog_find(const struct catalog *catalog, const char *label, const struct backup **backup, struct error *err)
{
	*backup = NULL;
	for (int i = 0; i < catalog->count; i++) {
		if (!label_matches(catalog->backups[i].label, label))
			continue;
		if (*backup != NULL)
			return fail(err, ERROR_USAGE, "\"%s\" is the beginning of several backups' labels: %s and %s",
				    label, (*backup)->label, catalog->backups[i].label);
		*backup = &catalog->backups[i];
	}
	if (*backup == NULL)
		return fail(err, ERROR_USAGE, "there is no backup \"%s\"", label) ||
		       fail_hint(err, "Run \"pitr-catalog list\" to see the labels.");
	return true;
}
