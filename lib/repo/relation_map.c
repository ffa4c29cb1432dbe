#include "repo/relation_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

/* Bytes of JSON at which a part is full; well below RELATION_MAP_PART_SIZE_MAX. */
#define PART_FULL (4 * MiB)

/* --------------------------------------------------------------------------------------------------- names */

static bool bytes_are_ascii(struct bytes bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		if (bytes.data[i] >= 0x80)
			return false;
	return true;
}

static bool bytes_are_utf8(struct bytes bytes)
{
	json_t *text JSON_CLEANUP = json_stringn((const char *) bytes.data, bytes.size);

	return text != NULL;
}

bool relation_name_init(struct relation_name *name, struct bytes bytes, bool may_be_utf8, struct error *err)
{
	name->is_hex = !bytes_are_ascii(bytes) && !(may_be_utf8 && bytes_are_utf8(bytes));
	if (bytes.size * (name->is_hex ? 2 : 1) >= sizeof(name->text))
		return fail(err, ERROR_CORRUPT, "there is a name of %zu bytes", bytes.size);
	if (name->is_hex) {
		hex_format(bytes, name->text);
		return true;
	}
	memcpy(name->text, bytes.data, bytes.size);
	name->text[bytes.size] = '\0';
	return true;
}

/* `keys`: of the text, and of the hexadecimal digits. */
static bool put_name(json_t *json, const char *const keys[2], const struct relation_name *name, struct error *err)
{
	return json_put(json, keys[name->is_hex], json_string(name->text), err);
}

static bool get_name(const json_t *json, const char *const keys[2], struct relation_name *name, struct error *err)
{
	name->is_hex = json_object_get(json, keys[1]) != NULL;
	TRY(json_copy_text(json, keys[name->is_hex], name->text, sizeof(name->text), err));
	if (name->is_hex &&
	    (strlen(name->text) % 2 != 0 || strspn(name->text, "0123456789abcdef") != strlen(name->text)))
		return fail(err, ERROR_CORRUPT, "\"%s\" is not the hexadecimal text of a name", keys[1]);
	return true;
}

static const char *const keys_of_name[2] = {"name", "name_hex"};
static const char *const keys_of_schema[2] = {"schema", "schema_hex"};

/* ------------------------------------------------------------------------------------------------- writing */

/* A part is written as text while it grows: as a tree, eight thousand relations would take ten times the memory. */
struct relation_map_writer {
	struct repo *repo;
	char label[BACKUP_LABEL_SIZE];
	struct relation_map_database database; /* that relations are added to */
	uint32_t part;
	uint32_t part_databases, part_relations;
	uint32_t entry_relations; /* in the last entry of the part */
	struct buf text;
};

static bool writer_begin_part(struct relation_map_writer *writer, struct error *err)
{
	buf_clear(&writer->text);
	writer->part_databases = 0;
	writer->part_relations = 0;
	return buf_format(&writer->text, err, "{\"label\":\"%s\",\"part\":%" PRIu32 ",\"databases\":[", writer->label,
			  writer->part);
}

bool relation_map_writer_open(struct repo *repo, const char *label, struct relation_map_writer **writer,
			      struct error *err)
{
	struct relation_map_writer *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	made->repo = repo;
	made->text.size_max = RELATION_MAP_PART_SIZE_MAX;
	(void) snprintf(made->label, sizeof(made->label), "%s", label);
	if (!writer_begin_part(made, err)) {
		relation_map_writer_close(made);
		return false;
	}
	*writer = made;
	return true;
}

void relation_map_writer_close(struct relation_map_writer *writer)
{
	if (writer == NULL)
		return;
	buf_release(&writer->text);
	free(writer);
}

static bool writer_end_entry(struct relation_map_writer *writer, struct error *err)
{
	return writer->part_databases == 0 ? true : buf_append_text(&writer->text, "]}", err);
}

static bool writer_put_part(struct relation_map_writer *writer, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	TRY(writer_end_entry(writer, err));
	TRY(buf_append_text(&writer->text, "]}", err));
	layout_relation_map(&writer->repo->layout, layout_branch(&writer->repo->layout), writer->label, writer->part,
			    key);
	TRY(repo_put(writer->repo, key, OBJECT_RELATION_MAP, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&writer->text),
		     NULL, err));
	writer->part++;
	return writer_begin_part(writer, err);
}

/* The reason may hold what a server said in an encoding of its own. */
static bool put_missing(json_t *json, const char *missing, struct error *err)
{
	json_t *text = json_string(missing);

	return json_put(json, "missing", text != NULL ? text : json_string("it could not be read"), err);
}

/* Begins an entry of writer->database: all of it but its relations. */
static bool writer_begin_entry(struct relation_map_writer *writer, struct error *err)
{
	const struct relation_map_database *database = &writer->database;
	json_t *json JSON_CLEANUP = json_object();

	TRY(writer_end_entry(writer, err));
	if (writer->part_databases++ > 0)
		TRY(buf_append_text(&writer->text, ",", err));
	TRY(json_put(json, "oid", json_integer(database->oid), err));
	TRY(put_name(json, keys_of_name, &database->name, err));
	TRY(json_put(json, "encoding", json_string(database->encoding), err));
	if (database->is_closed)
		TRY(json_put(json, "closed", json_true(), err));
	if (database->missing[0] != '\0')
		TRY(put_missing(json, database->missing, err));
	TRY(json_encode(json, &writer->text, err));
	writer->text.size--; /* the closing brace */
	writer->entry_relations = 0;
	return buf_append_text(&writer->text, ",\"relations\":[", err);
}

static bool writer_is_full(const struct relation_map_writer *writer)
{
	return writer->part_relations == RELATION_MAP_PART_RELATIONS_MAX || writer->text.size >= PART_FULL;
}

bool relation_map_writer_database(struct relation_map_writer *writer, const struct relation_map_database *database,
				  struct error *err)
{
	if (writer_is_full(writer))
		TRY(writer_put_part(writer, err));
	writer->database = *database;
	return writer_begin_entry(writer, err);
}

static bool relation_encode(const struct relation *relation, json_t *json, struct error *err)
{
	const char kind[2] = {relation->kind, '\0'};
	const char persistence[2] = {relation->persistence, '\0'};

	TRY(json_put(json, "oid", json_integer(relation->oid), err));
	TRY(json_put(json, "filenode", json_integer(relation->filenode), err));
	TRY(json_put(json, "tablespace", json_integer(relation->tablespace), err));
	TRY(json_put(json, "table", json_integer(relation->table), err));
	TRY(json_put(json, "kind", json_string(kind), err));
	TRY(json_put(json, "persistence", json_string(persistence), err));
	TRY(put_name(json, keys_of_schema, &relation->schema, err));
	return put_name(json, keys_of_name, &relation->name, err);
}

bool relation_map_writer_add(struct relation_map_writer *writer, const struct relation *relation, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	if (writer_is_full(writer)) {
		TRY(writer_put_part(writer, err));
		TRY(writer_begin_entry(writer, err));
	}
	if (writer->entry_relations++ > 0)
		TRY(buf_append_text(&writer->text, ",", err));
	writer->part_relations++;
	TRY(relation_encode(relation, json, err));
	return json_encode(json, &writer->text, err);
}

bool relation_map_writer_finish(struct relation_map_writer *writer, uint32_t *parts, struct error *err)
{
	if (writer->part_databases > 0 || writer->part == 0)
		TRY(writer_put_part(writer, err));
	*parts = writer->part;
	return true;
}

/* ------------------------------------------------------------------------------------------------- reading */

static bool get_letter(const json_t *json, const char *key, char *letter, struct error *err)
{
	char text[2];

	TRY(json_copy_text(json, key, text, sizeof(text), err));
	*letter = text[0];
	return true;
}

static bool relation_decode(const json_t *json, const struct relation_map_database *database, struct relation *relation,
			    struct error *err)
{
	TRY(json_get_u32(json, "oid", &relation->oid, err));
	TRY(json_get_u32(json, "filenode", &relation->filenode, err));
	TRY(json_get_u32(json, "tablespace", &relation->tablespace, err));
	TRY(json_get_u32(json, "table", &relation->table, err));
	TRY(get_letter(json, "kind", &relation->kind, err));
	TRY(get_letter(json, "persistence", &relation->persistence, err));
	relation->database = relation->tablespace == TABLESPACE_GLOBAL ? 0 : database->oid;
	TRY(get_name(json, keys_of_schema, &relation->schema, err));
	return get_name(json, keys_of_name, &relation->name, err);
}

static bool database_decode(const json_t *json, struct relation_map_database *database, struct error *err)
{
	memset(database, 0, sizeof(*database));
	TRY(json_get_u32(json, "oid", &database->oid, err));
	TRY(get_name(json, keys_of_name, &database->name, err));
	TRY(json_copy_text(json, "encoding", database->encoding, sizeof(database->encoding), err));
	database->is_closed = json_is_true(json_object_get(json, "closed"));
	if (json_object_get(json, "missing") == NULL)
		return true;
	return json_copy_text(json, "missing", database->missing, sizeof(database->missing), err);
}

struct reading {
	struct repo *repo;
	const struct backup *backup;
	const struct relation_map_visitor *visitor;
	bool has_database;
	struct relation_map_database database; /* of the entry that was read last */
};

static bool map_get_part(const struct reading *reading, uint32_t part, json_t **json, json_t **databases,
			 struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	const char *label;
	int64_t said_part;
	BUF(text, RELATION_MAP_PART_SIZE_MAX);

	layout_relation_map(&reading->repo->layout, reading->backup->branch, reading->backup->label, part, key);
	if (!repo_get(reading->repo, key, OBJECT_RELATION_MAP, &text, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			return fail(err, ERROR_CORRUPT, "the relation map part \"%s\" is missing from the repository",
				    key);
		return false;
	}
	TRY(json_decode(buf_bytes(&text), key, json, err));
	if (!json_get_text(*json, "label", &label, err) ||
	    !json_get_integer(*json, "part", 0, UINT32_MAX, &said_part, err) ||
	    !json_get_array(*json, "databases", databases, err))
		return fail_in(err, "%s", key);
	if (strcmp(label, reading->backup->label) != 0 || said_part != part)
		return fail(err, ERROR_CORRUPT, "\"%s\" is part of another relation map", key);
	return true;
}

static bool map_visit_database(struct reading *reading, const json_t *entry, struct error *err)
{
	uint32_t last_oid = reading->database.oid;
	bool is_first = !reading->has_database;

	reading->has_database = true;
	TRY(database_decode(entry, &reading->database, err));
	if (reading->visitor->database == NULL ||
	    (!is_first && reading->database.oid == last_oid && reading->database.missing[0] == '\0'))
		return true;
	return reading->visitor->database(reading->visitor->context, &reading->database, err);
}

static bool map_visit_entry(struct reading *reading, const json_t *entry, struct error *err)
{
	const struct relation_map_visitor *visitor = reading->visitor;
	json_t *relations;

	TRY(map_visit_database(reading, entry, err));
	TRY(json_get_array(entry, "relations", &relations, err));
	for (size_t i = 0; visitor->relation != NULL && i < json_array_size(relations); i++) {
		struct relation relation;

		TRY(relation_decode(json_array_get(relations, i), &reading->database, &relation, err));
		TRY(visitor->relation(visitor->context, &reading->database, &relation, err));
	}
	return true;
}

bool relation_map_each(struct repo *repo, const struct backup *backup, const struct relation_map_visitor *visitor,
		       struct error *err)
{
	struct reading reading = {.repo = repo, .backup = backup, .visitor = visitor};

	for (uint32_t part = 0; part < backup->relation_map.parts; part++) {
		json_t *json JSON_CLEANUP = NULL;
		json_t *databases;

		TRY(map_get_part(&reading, part, &json, &databases, err));
		for (size_t i = 0; i < json_array_size(databases); i++) {
			if (!map_visit_entry(&reading, json_array_get(databases, i), err))
				return fail_in(err, "relation map of \"%s\", part %" PRIu32, backup->label, part);
		}
	}
	return true;
}
