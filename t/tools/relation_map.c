/* Prints the relation map of a base backup as repo/relation_map.h reads it, a JSON array on each line:
 *
 *   ["database", oid, name, encoding, is closed, why relations are missing]
 *   ["relation", database in WAL, tablespace, filenode, oid, table, kind, persistence, schema, name]
 *
 *     relation_map [settings] LABEL
 *
 * A name that is not text is an object {"hex": …}.
 */
#include <stdio.h>

#include "base/exit.h"
#include "base/json.h"
#include "config/program.h"
#include "repo/relation_map.h"

static json_t *name_json(const struct relation_name *name)
{
	json_t *object;

	if (!name->is_hex)
		return json_string(name->text);
	object = json_object();
	(void) json_object_set_new(object, "hex", json_string(name->text));
	return object;
}

static bool line_print(json_t *array, struct error *err)
{
	bool done = json_dumpf(array, stdout, JSON_COMPACT) == 0;

	json_decref(array);
	(void) putchar('\n');
	return done ? true : fail(err, ERROR_SYSTEM, "could not print");
}

static bool database_print(void *context, const struct relation_map_database *database, struct error *err)
{
	json_t *array = json_array();

	(void) context;
	TRY(json_add(array, json_string("database"), err));
	TRY(json_add(array, json_integer(database->oid), err));
	TRY(json_add(array, name_json(&database->name), err));
	TRY(json_add(array, json_string(database->encoding), err));
	TRY(json_add(array, json_boolean(database->is_closed), err));
	TRY(json_add(array, json_string(database->missing), err));
	return line_print(array, err);
}

static bool relation_print(void *context, const struct relation_map_database *database, const struct relation *relation,
			   struct error *err)
{
	const uint32_t numbers[] = {relation->database, relation->tablespace, relation->filenode, relation->oid,
				    relation->table};
	json_t *array = json_array();

	(void) context;
	(void) database;
	TRY(json_add(array, json_string("relation"), err));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		TRY(json_add(array, json_integer(numbers[i]), err));
	TRY(json_add(array, json_stringn(&relation->kind, 1), err));
	TRY(json_add(array, json_stringn(&relation->persistence, 1), err));
	TRY(json_add(array, name_json(&relation->schema), err));
	TRY(json_add(array, name_json(&relation->name), err));
	return line_print(array, err);
}

static bool map_print(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	struct relation_map_visitor visitor = {.database = database_print, .relation = relation_print};
	const struct backup *backup;

	TRY(repo_open(options, 0, &repo, err));
	TRY(catalog_read(repo, &catalog, err));
	TRY(catalog_find(&catalog, options->arguments.count > 0 ? options->arguments.items[0] : "", &backup, err));
	return relation_map_each(repo, backup, &visitor, err);
}

static int run(const struct options *options)
{
	struct error err = {0};

	return map_print(options, &err) ? 0 : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_CATALOG, FOR_PROGRAM, argc, argv, run);
}
