#include "pg/wal_summary_lists.h"

#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "pg/lsn.h"

/* How many numbers stand in one row of a list. */
#define FILE_NUMBERS	3
#define LOCK_NUMBERS	3
#define ROWS_NUMBERS	3
#define COMMIT_NUMBERS	2
#define NUMBERS_MAX	9
#define END_NUMBERS_MIN 3
#define END_NUMBERS_MAX 7

static int kept(int count, int max)
{
	return count < max ? count : max;
}

/* *list is NULL when there is nothing to put into it. */
static bool list_begin(json_t *object, const char *count_key, const char *key, int count, json_t **list,
		       struct error *err)
{
	*list = NULL;
	if (count == 0)
		return true;
	TRY(json_put(object, count_key, json_integer(count), err));
	*list = json_array();
	return json_put(object, key, *list, err);
}

static bool list_get(const json_t *object, const char *count_key, const char *key, int max, int *count, json_t **list,
		     struct error *err)
{
	int64_t number;

	*count = 0;
	*list = NULL;
	if (json_object_get(object, count_key) == NULL && json_object_get(object, key) == NULL)
		return true;
	TRY(json_get_integer(object, count_key, 0, INT32_MAX, &number, err));
	TRY(json_get_array(object, key, list, err));
	*count = (int) number;
	if (json_array_size(*list) != (size_t) kept(*count, max))
		return fail(err, ERROR_CORRUPT, "\"%s\" are not as many as they should be", key);
	return true;
}

static bool row_add(json_t *list, const int64_t *numbers, int count, struct error *err)
{
	json_t *row = json_array();

	TRY(json_add(list, row, err));
	for (int i = 0; i < count; i++)
		TRY(json_add(row, json_integer(numbers[i]), err));
	return true;
}

/* A row of `least` or of `most` numbers; the first `narrow` are not negative and have 32 bits. */
static bool row_get(const json_t *row, size_t narrow, size_t least, size_t most, int64_t numbers[NUMBERS_MAX],
		    struct error *err)
{
	size_t size = json_array_size(row);

	memset(numbers, 0, NUMBERS_MAX * sizeof(*numbers));
	if (size != least && size != most)
		return fail(err, ERROR_CORRUPT, "a row of %zu numbers should have %zu", size, most);
	for (size_t i = 0; i < size; i++) {
		const json_t *number = json_array_get(row, i);

		numbers[i] = json_integer_value(number);
		if (!json_is_integer(number) || (i < narrow && (numbers[i] < 0 || numbers[i] > UINT32_MAX)))
			return fail(err, ERROR_CORRUPT, "what should be a number is none, or too large");
	}
	return true;
}

static void file_store(const struct relation_file *file, int64_t numbers[FILE_NUMBERS])
{
	numbers[0] = file->tablespace;
	numbers[1] = file->database;
	numbers[2] = file->number;
}

static struct relation_file file_load(const int64_t numbers[FILE_NUMBERS])
{
	return (struct relation_file){.tablespace = (uint32_t) numbers[0],
				      .database = (uint32_t) numbers[1],
				      .number = (uint32_t) numbers[2]};
}

static bool has_control_characters(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x20)
			return true;
	return false;
}

/* A restore point's name is in the encoding of whatever database it was made from, and a path in any; control
 * characters would take six bytes each as JSON. `text` has less than WAL_PATH_SIZE bytes. */
static bool text_put(json_t *object, const char *key, const char *hex_key, const char *text, struct error *err)
{
	char hex[2 * WAL_PATH_SIZE + 1];
	json_t *value = has_control_characters(text) ? NULL : json_string(text);

	if (value != NULL)
		return json_put(object, key, value, err);
	hex_format(bytes_of_text(text), hex);
	return json_put(object, hex_key, json_string(hex), err);
}

static bool text_get(const json_t *object, const char *key, const char *hex_key, char *text, size_t text_size,
		     struct error *err)
{
	bool is_hex = json_object_get(object, hex_key) != NULL;
	const char *value;

	TRY(json_get_text(object, is_hex ? hex_key : key, &value, err));
	size_t size = is_hex ? strlen(value) / 2 : strlen(value);
	if (size >= text_size || (is_hex && !hex_parse(value, (uint8_t *) text, size)))
		return fail(err, ERROR_CORRUPT, "\"%s\" is too long or not hexadecimal", is_hex ? hex_key : key);
	if (!is_hex)
		memcpy(text, value, size);
	text[size] = '\0';
	return is_hex && memchr(text, 0, size) != NULL
		       ? fail(err, ERROR_CORRUPT, "\"%s\" holds a zero character", hex_key)
		       : true;
}

static bool restore_points_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "restore_point_count", "restore_points", summary->restore_point_count, &list, err));
	for (int i = 0; i < kept(summary->restore_point_count, WAL_RESTORE_POINTS_MAX); i++) {
		json_t *point = json_object();

		TRY(json_add(list, point, err));
		TRY(lsn_put(point, "lsn", summary->restore_points[i].lsn, err));
		TRY(json_put(point, "time_us", json_integer(summary->restore_points[i].time_us), err));
		TRY(text_put(point, "name", "name_hex", summary->restore_points[i].name, err));
	}
	return true;
}

static bool time_get(const json_t *object, int64_t *time_us, struct error *err)
{
	return json_get_integer(object, "time_us", INT64_MIN, INT64_MAX, time_us, err);
}

static bool restore_points_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *list;

	TRY(list_get(object, "restore_point_count", "restore_points", WAL_RESTORE_POINTS_MAX,
		     &summary->restore_point_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *point = json_array_get(list, i);

		TRY(lsn_get(point, "lsn", &summary->restore_points[i].lsn, err));
		TRY(time_get(point, &summary->restore_points[i].time_us, err));
		TRY(text_get(point, "name", "name_hex", summary->restore_points[i].name,
			     sizeof(summary->restore_points[i].name), err));
	}
	return true;
}

static bool tablespaces_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "tablespace_count", "tablespaces", summary->tablespace_count, &list, err));
	for (int i = 0; i < kept(summary->tablespace_count, WAL_TABLESPACES_MAX); i++) {
		json_t *tablespace = json_object();

		TRY(json_add(list, tablespace, err));
		TRY(lsn_put(tablespace, "lsn", summary->tablespaces[i].lsn, err));
		TRY(lsn_put(tablespace, "previous", summary->tablespaces[i].previous, err));
		TRY(json_put(tablespace, "oid", json_integer(summary->tablespaces[i].oid), err));
		TRY(text_put(tablespace, "path", "path_hex", summary->tablespaces[i].path, err));
	}
	return true;
}

static bool tablespaces_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *list;

	TRY(list_get(object, "tablespace_count", "tablespaces", WAL_TABLESPACES_MAX, &summary->tablespace_count, &list,
		     err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *tablespace = json_array_get(list, i);
		char *path = summary->tablespaces[i].path;

		TRY(lsn_get(tablespace, "lsn", &summary->tablespaces[i].lsn, err));
		TRY(lsn_get(tablespace, "previous", &summary->tablespaces[i].previous, err));
		TRY(json_get_u32(tablespace, "oid", &summary->tablespaces[i].oid, err));
		TRY(text_get(tablespace, "path", "path_hex", path, WAL_PATH_SIZE, err));
		if (path[0] != '/')
			return fail(err, ERROR_CORRUPT, "the path of a tablespace is not absolute");
	}
	return true;
}

static bool databases_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "database_count", "databases", summary->database_count, &list, err));
	for (int i = 0; i < kept(summary->database_count, WAL_DATABASES_MAX); i++) {
		json_t *database = json_object();

		TRY(json_add(list, database, err));
		TRY(lsn_put(database, "lsn", summary->databases[i].lsn, err));
		TRY(json_put(database, "xid", json_integer(summary->databases[i].xid), err));
		TRY(json_put(database, "oid", json_integer(summary->databases[i].oid), err));
		TRY(json_put(database, "dropped", json_boolean(summary->databases[i].is_dropped), err));
	}
	return true;
}

static bool databases_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *list;

	TRY(list_get(object, "database_count", "databases", WAL_DATABASES_MAX, &summary->database_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *database = json_array_get(list, i), *dropped = json_object_get(database, "dropped");

		TRY(lsn_get(database, "lsn", &summary->databases[i].lsn, err));
		TRY(json_get_u32(database, "xid", &summary->databases[i].xid, err));
		TRY(json_get_u32(database, "oid", &summary->databases[i].oid, err));
		if (!json_is_boolean(dropped))
			return fail(err, ERROR_CORRUPT, "\"dropped\" of a database is no boolean");
		summary->databases[i].is_dropped = json_is_true(dropped);
	}
	return true;
}

static bool relations_put(json_t *object, const uint32_t *relations, uint32_t count, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "relation_count", "relations", (int) count, &list, err));
	for (uint32_t i = 0; i < count && i < WAL_DROP_RELATIONS_MAX; i++)
		TRY(json_add(list, json_integer(relations[i]), err));
	return true;
}

static bool relations_get(const json_t *object, uint32_t *relations, uint32_t *relation_count, struct error *err)
{
	json_t *list;
	int count;

	TRY(list_get(object, "relation_count", "relations", WAL_DROP_RELATIONS_MAX, &count, &list, err));
	*relation_count = (uint32_t) count;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *relation = json_array_get(list, i);
		int64_t number = json_integer_value(relation);

		if (!json_is_integer(relation) || number < 0 || number > UINT32_MAX)
			return fail(err, ERROR_CORRUPT, "what should be a relation is none");
		relations[i] = (uint32_t) number;
	}
	return true;
}

static bool drop_put(json_t *object, const struct wal_drop *drop, struct error *err)
{
	json_t *list;

	TRY(lsn_put(object, "lsn", drop->lsn, err));
	TRY(json_put(object, "time_us", json_integer(drop->time_us), err));
	TRY(json_put(object, "xid", json_integer(drop->xid), err));
	TRY(json_put(object, "database", json_integer(drop->database), err));
	TRY(list_begin(object, "file_count", "files", (int) drop->file_count, &list, err));
	for (uint32_t i = 0; i < drop->file_count && i < WAL_DROP_FILES_MAX; i++) {
		int64_t numbers[FILE_NUMBERS];

		file_store(&drop->files[i], numbers);
		TRY(row_add(list, numbers, FILE_NUMBERS, err));
	}
	return relations_put(object, drop->relations, drop->relation_count, err);
}

static bool drop_get(const json_t *object, struct wal_drop *drop, struct error *err)
{
	int64_t numbers[NUMBERS_MAX];
	json_t *list;
	int count;

	TRY(lsn_get(object, "lsn", &drop->lsn, err));
	TRY(time_get(object, &drop->time_us, err));
	TRY(json_get_u32(object, "xid", &drop->xid, err));
	TRY(json_get_u32(object, "database", &drop->database, err));
	TRY(list_get(object, "file_count", "files", WAL_DROP_FILES_MAX, &count, &list, err));
	drop->file_count = (uint32_t) count;
	for (size_t i = 0; i < json_array_size(list); i++) {
		TRY(row_get(json_array_get(list, i), FILE_NUMBERS, FILE_NUMBERS, FILE_NUMBERS, numbers, err));
		drop->files[i] = file_load(numbers);
	}
	return relations_get(object, drop->relations, &drop->relation_count, err);
}

static bool drops_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "drop_count", "drops", summary->drop_count, &list, err));
	for (int i = 0; i < kept(summary->drop_count, WAL_DROPS_MAX); i++) {
		json_t *drop = json_object();

		TRY(json_add(list, drop, err));
		TRY(drop_put(drop, &summary->drops[i], err));
	}
	return true;
}

static bool drops_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *list;

	TRY(list_get(object, "drop_count", "drops", WAL_DROPS_MAX, &summary->drop_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++)
		TRY(drop_get(json_array_get(list, i), &summary->drops[i], err));
	return true;
}

static bool truncates_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "truncate_count", "truncates", summary->truncate_count, &list, err));
	for (int i = 0; i < kept(summary->truncate_count, WAL_TRUNCATES_MAX); i++) {
		const struct wal_truncate *truncate = &summary->truncates[i];
		json_t *member = json_object();

		TRY(json_add(list, member, err));
		TRY(lsn_put(member, "lsn", truncate->lsn, err));
		TRY(json_put(member, "xid", json_integer(truncate->xid), err));
		TRY(json_put(member, "database", json_integer(truncate->database), err));
		TRY(relations_put(member, truncate->relations, truncate->relation_count, err));
	}
	return true;
}

static bool truncates_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *list;

	TRY(list_get(object, "truncate_count", "truncates", WAL_TRUNCATES_MAX, &summary->truncate_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *member = json_array_get(list, i);
		struct wal_truncate *truncate = &summary->truncates[i];

		TRY(lsn_get(member, "lsn", &truncate->lsn, err));
		TRY(json_get_u32(member, "xid", &truncate->xid, err));
		TRY(json_get_u32(member, "database", &truncate->database, err));
		TRY(relations_get(member, truncate->relations, &truncate->relation_count, err));
	}
	return true;
}

static bool file_truncations_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "file_truncation_count", "file_truncations", summary->file_truncation_count, &list,
		       err));
	for (int i = 0; i < kept(summary->file_truncation_count, WAL_FILE_TRUNCATIONS_MAX); i++) {
		const struct wal_file_truncation *truncation = &summary->file_truncations[i];
		int64_t numbers[NUMBERS_MAX] = {(int64_t) (truncation->lsn - summary->start), truncation->xid};

		file_store(&truncation->file, numbers + 2);
		numbers[2 + FILE_NUMBERS] = truncation->blocks;
		TRY(row_add(list, numbers, 3 + FILE_NUMBERS, err));
	}
	return true;
}

/* Where in the segment a record lies, as rows say it. */
static bool offset_check(const struct wal_summary *summary, int64_t offset, struct error *err)
{
	return offset >= 0 && offset < summary->segment_size
		       ? true
		       : fail(err, ERROR_CORRUPT, "a record that should lie in the segment does not");
}

static bool file_truncations_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	const size_t size = 3 + FILE_NUMBERS;
	int64_t numbers[NUMBERS_MAX];
	json_t *list;

	TRY(list_get(object, "file_truncation_count", "file_truncations", WAL_FILE_TRUNCATIONS_MAX,
		     &summary->file_truncation_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		TRY(row_get(json_array_get(list, i), size, size, size, numbers, err));
		TRY(offset_check(summary, numbers[0], err));
		summary->file_truncations[i].lsn = summary->start + (uint64_t) numbers[0];
		summary->file_truncations[i].xid = (uint32_t) numbers[1];
		summary->file_truncations[i].file = file_load(numbers + 2);
		summary->file_truncations[i].blocks = (uint32_t) numbers[2 + FILE_NUMBERS];
	}
	return true;
}

static bool locks_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "lock_count", "locks", summary->lock_count, &list, err));
	for (int i = 0; i < kept(summary->lock_count, WAL_LOCKS_MAX); i++) {
		const struct wal_lock *lock = &summary->locks[i];

		TRY(row_add(list, (int64_t[]){lock->xid, lock->database, lock->relation}, LOCK_NUMBERS, err));
	}
	return true;
}

static bool locks_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	int64_t numbers[NUMBERS_MAX];
	json_t *list;

	TRY(list_get(object, "lock_count", "locks", WAL_LOCKS_MAX, &summary->lock_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		TRY(row_get(json_array_get(list, i), LOCK_NUMBERS, LOCK_NUMBERS, LOCK_NUMBERS, numbers, err));
		summary->locks[i] = (struct wal_lock){.xid = (uint32_t) numbers[0],
						      .database = (uint32_t) numbers[1],
						      .relation = (uint32_t) numbers[2]};
	}
	return true;
}

static void rows_store(const struct wal_rows *rows, int64_t numbers[ROWS_NUMBERS])
{
	numbers[0] = (int64_t) rows->inserts;
	numbers[1] = (int64_t) rows->updates;
	numbers[2] = (int64_t) rows->deletes;
}

static bool rows_load(const int64_t numbers[ROWS_NUMBERS], struct wal_rows *rows, struct error *err)
{
	for (int i = 0; i < ROWS_NUMBERS; i++)
		if (numbers[i] < 0)
			return fail(err, ERROR_CORRUPT, "a number of rows is negative");
	*rows = (struct wal_rows){
		.inserts = (uint64_t) numbers[0], .updates = (uint64_t) numbers[1], .deletes = (uint64_t) numbers[2]};
	return true;
}

static bool changes_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	const int size = 1 + FILE_NUMBERS + ROWS_NUMBERS;
	json_t *list;

	TRY(list_begin(object, "change_count", "changes", summary->change_count, &list, err));
	for (int i = 0; i < kept(summary->change_count, WAL_CHANGES_MAX); i++) {
		const struct wal_change *change = &summary->changes[i];
		int64_t numbers[NUMBERS_MAX] = {change->xid};

		file_store(&change->file, numbers + 1);
		rows_store(&change->rows, numbers + 1 + FILE_NUMBERS);
		if (change->commit != 0) {
			numbers[size] = (int64_t) (change->commit - summary->start);
			numbers[size + 1] = change->commit_time_us;
		}
		TRY(row_add(list, numbers, change->commit != 0 ? size + COMMIT_NUMBERS : size, err));
	}
	return true;
}

static bool changes_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	const size_t size = 1 + FILE_NUMBERS + ROWS_NUMBERS;
	int64_t numbers[NUMBERS_MAX];
	json_t *list;

	TRY(list_get(object, "change_count", "changes", WAL_CHANGES_MAX, &summary->change_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		struct wal_change *change = &summary->changes[i];

		TRY(row_get(row, 1 + FILE_NUMBERS, size, size + COMMIT_NUMBERS, numbers, err));
		TRY(offset_check(summary, numbers[size], err));
		change->xid = (uint32_t) numbers[0];
		change->file = file_load(numbers + 1);
		TRY(rows_load(numbers + 1 + FILE_NUMBERS, &change->rows, err));
		if (json_array_size(row) > size) {
			change->commit = summary->start + (uint64_t) numbers[size];
			change->commit_time_us = numbers[size + 1];
		}
	}
	return true;
}

static bool relation_rows_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "relation_count", "relations", summary->relation_count, &list, err));
	for (int i = 0; i < kept(summary->relation_count, WAL_RELATIONS_MAX); i++) {
		int64_t numbers[FILE_NUMBERS + ROWS_NUMBERS];

		file_store(&summary->relations[i].file, numbers);
		rows_store(&summary->relations[i].rows, numbers + FILE_NUMBERS);
		TRY(row_add(list, numbers, FILE_NUMBERS + ROWS_NUMBERS, err));
	}
	return true;
}

static bool relation_rows_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	const size_t size = FILE_NUMBERS + ROWS_NUMBERS;
	int64_t numbers[NUMBERS_MAX];
	json_t *list;

	TRY(list_get(object, "relation_count", "relations", WAL_RELATIONS_MAX, &summary->relation_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		TRY(row_get(json_array_get(list, i), FILE_NUMBERS, size, size, numbers, err));
		summary->relations[i].file = file_load(numbers);
		TRY(rows_load(numbers + FILE_NUMBERS, &summary->relations[i].rows, err));
	}
	return true;
}

static bool ends_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *list;

	TRY(list_begin(object, "end_count", "ends", summary->end_count, &list, err));
	for (int i = 0; i < kept(summary->end_count, WAL_ENDS_MAX); i++) {
		const struct wal_end *end = &summary->ends[i];
		bool is_simple = !end->is_abort && end->subtransaction_count == 0;

		TRY(row_add(list,
			    (int64_t[]){end->xid, (int64_t) (end->lsn - summary->start), end->time_us, end->is_abort,
					end->subtransaction_count, end->subtransaction_min, end->subtransaction_max},
			    is_simple ? END_NUMBERS_MIN : END_NUMBERS_MAX, err));
	}
	return true;
}

static bool end_load(const struct wal_summary *summary, const int64_t numbers[NUMBERS_MAX], struct wal_end *end,
		     struct error *err)
{
	for (int i = END_NUMBERS_MIN; i < END_NUMBERS_MAX; i++)
		if (numbers[i] < 0 || numbers[i] > (i == END_NUMBERS_MIN ? 1 : UINT32_MAX))
			return fail(err, ERROR_CORRUPT, "the end of a transaction is none");
	TRY(offset_check(summary, numbers[1], err));
	end->xid = (uint32_t) numbers[0];
	end->lsn = summary->start + (uint64_t) numbers[1];
	end->time_us = numbers[2];
	end->is_abort = numbers[3] != 0;
	end->subtransaction_count = (uint32_t) numbers[4];
	end->subtransaction_min = (uint32_t) numbers[5];
	end->subtransaction_max = (uint32_t) numbers[6];
	return true;
}

static bool ends_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	int64_t numbers[NUMBERS_MAX];
	json_t *list;

	TRY(list_get(object, "end_count", "ends", WAL_ENDS_MAX, &summary->end_count, &list, err));
	for (size_t i = 0; i < json_array_size(list); i++) {
		TRY(row_get(json_array_get(list, i), 2, END_NUMBERS_MIN, END_NUMBERS_MAX, numbers, err));
		TRY(end_load(summary, numbers, &summary->ends[i], err));
	}
	return true;
}

bool wal_summary_lists_encode(const struct wal_summary *summary, json_t *object, struct error *err)
{
	TRY(restore_points_put(summary, object, err));
	TRY(tablespaces_put(summary, object, err));
	TRY(databases_put(summary, object, err));
	TRY(drops_put(summary, object, err));
	TRY(truncates_put(summary, object, err));
	TRY(file_truncations_put(summary, object, err));
	TRY(locks_put(summary, object, err));
	TRY(changes_put(summary, object, err));
	TRY(relation_rows_put(summary, object, err));
	return ends_put(summary, object, err);
}

bool wal_summary_lists_decode(const json_t *object, struct wal_summary *summary, struct error *err)
{
	TRY(restore_points_get(object, summary, err));
	TRY(tablespaces_get(object, summary, err));
	TRY(databases_get(object, summary, err));
	TRY(drops_get(object, summary, err));
	TRY(truncates_get(object, summary, err));
	TRY(file_truncations_get(object, summary, err));
	TRY(locks_get(object, summary, err));
	TRY(changes_get(object, summary, err));
	TRY(relation_rows_get(object, summary, err));
	return ends_get(object, summary, err);
}
