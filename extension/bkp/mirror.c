#include "mirror.h"

#include "miscadmin.h"

#include "base/hex.h"
#include "base/json.h"
#include "pg/lsn.h"
#include "pg/wal_name.h"

#define BACKUPS_MAX	   100000
#define WINDOWS_MAX	   100000
#define MARKS_MAX	   100000
#define RESTORE_POINTS_MAX 100000
/* Far beyond what there is, and so small that sums of them, of as many marks as are allowed, are no overflow. */
#define BACKUP_BYTES_MAX   (INT64CONST(1) << 60)
#define MARK_BYTES_MAX	   (INT64CONST(1) << 44)
#define SEGMENT_NUMBER_MAX (INT64CONST(1) << 44)
#define EPOCH_US	   INT64CONST(946684800000000)	  /* 2000-01-01, where PostgreSQL counts from */
#define TIME_US_MAX	   INT64CONST(253402300799999999) /* the end of the year 9999 */

/* ------------------------------------------------------------------------------------------------ single members */

static bool fail_time(const char *key, struct error *err)
{
	return fail(err, ERROR_CORRUPT, "\"%s\" is no time", key);
}

bool mirror_get_time(const json_t *object, const char *key, TimestampTz *time, struct error *err)
{
	int64_t time_us;

	TRY(json_get_integer(object, key, INT64_MIN, INT64_MAX, &time_us, err));
	if (time_us < 0 || time_us > TIME_US_MAX)
		return fail_time(key, err);
	*time = time_us - EPOCH_US;
	return true;
}

/* A time that may be missing; later than any calendar: for ever. */
static bool get_time_if_any(const json_t *object, const char *key, bool *is_there, TimestampTz *time, struct error *err)
{
	int64_t time_us;

	*is_there = json_object_get(object, key) != NULL;
	if (!*is_there)
		return true;
	TRY(json_get_integer(object, key, 0, INT64_MAX, &time_us, err));
	*time = time_us > TIME_US_MAX ? DT_NOEND : time_us - EPOCH_US;
	return true;
}

static bool get_text(const json_t *object, const char *key, const char **text, struct error *err)
{
	const char *borrowed;

	TRY(json_get_text(object, key, &borrowed, err));
	*text = pstrdup(borrowed);
	return true;
}

static bool get_int32(const json_t *object, const char *key, int32 minimum, int32 *value, struct error *err)
{
	int64_t wide;

	TRY(json_get_integer(object, key, minimum, INT32_MAX, &wide, err));
	*value = (int32) wide;
	return true;
}

static bool get_bytes(const json_t *object, const char *key, int64 *value, struct error *err)
{
	int64_t wide;

	TRY(json_get_integer(object, key, 0, BACKUP_BYTES_MAX, &wide, err));
	*value = wide;
	return true;
}

static bool get_lsn(const json_t *object, const char *key, XLogRecPtr *lsn, struct error *err)
{
	uint64_t value;

	TRY(lsn_get(object, key, &value, err));
	*lsn = value;
	return true;
}

static bool get_bool(const json_t *object, const char *key, bool *value, struct error *err)
{
	const json_t *member = json_object_get(object, key);

	if (!json_is_boolean(member))
		return fail(err, ERROR_CORRUPT, "\"%s\" is missing or not a boolean", key);
	*value = json_is_true(member);
	return true;
}

/* An array of at most so many. */
static bool get_array(const json_t *object, const char *key, int count_max, json_t **array, int *count,
		      struct error *err)
{
	TRY(json_get_array(object, key, array, err));
	if (json_array_size(*array) > (size_t) count_max)
		return fail(err, ERROR_CORRUPT, "\"%s\" has more than %d members", key, count_max);
	*count = (int) json_array_size(*array);
	return true;
}

/* ------------------------------------------------------------------------------------------------------- backups */

static bool backup_decode(const json_t *json, struct mirror_backup *backup, struct error *err)
{
	TRY(get_text(json, "label", &backup->label, err));
	TRY(get_text(json, "kind", &backup->kind, err));
	TRY(get_text(json, "status", &backup->status, err));
	TRY(get_text(json, "note", &backup->note, err));
	TRY(mirror_get_time(json, "started_us", &backup->started, err));
	TRY(mirror_get_time(json, "finished_us", &backup->finished, err));
	TRY(get_lsn(json, "start_lsn", &backup->start_lsn, err));
	TRY(get_lsn(json, "stop_lsn", &backup->stop_lsn, err));
	TRY(get_int32(json, "start_timeline", 1, &backup->start_timeline, err));
	TRY(get_int32(json, "stop_timeline", 1, &backup->stop_timeline, err));
	TRY(get_int32(json, "server_version", 0, &backup->server_version, err));
	TRY(get_bytes(json, "database_bytes", &backup->database_bytes, err));
	TRY(get_bytes(json, "stored_bytes", &backup->stored_bytes, err));
	TRY(get_time_if_any(json, "pinned_until_us", &backup->is_pinned, &backup->pinned_until, err));
	TRY(get_time_if_any(json, "verified_us", &backup->is_verified, &backup->verified, err));
	if (backup->stop_lsn < backup->start_lsn || backup->stop_lsn == 0)
		return fail(err, ERROR_CORRUPT, "the backup \"%s\" ends before it begins", backup->label);
	return true;
}

static bool backups_decode(const json_t *json, struct mirror *mirror, struct error *err)
{
	json_t *array;

	TRY(get_array(json, "backups", BACKUPS_MAX, &array, &mirror->backup_count, err));
	mirror->backups = palloc0((size_t) mirror->backup_count * sizeof(*mirror->backups));
	for (int i = 0; i < mirror->backup_count; i++)
		TRY(backup_decode(json_array_get(array, (size_t) i), &mirror->backups[i], err));
	return true;
}

/* From *at on and around: labels of a window come in about the order of the backups. */
static const struct mirror_backup *backup_find(const struct mirror *mirror, const char *label, int *at)
{
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < mirror->backup_count; i++) {
		int place = (*at + i) % mirror->backup_count;

		if (strcmp(mirror->backups[place].label, label) != 0)
			continue;
		*at = place + 1;
		return &mirror->backups[place];
	}
	return NULL;
}

/* ------------------------------------------------------------------------------------------------------- windows */

/* The members of a mark, in their order; each from 0 to its maximum. */
enum mark_member {
	FIRST,
	LAST,
	STORED,
	COMMITS,
	TIME_MIN,
	TIME_MAX,
	COMMIT_LSN,
	COMMIT_XID,
	COMMIT_TIME,
	MARK_MEMBERS
};
static const int64 mark_maximum[MARK_MEMBERS] = {
	[FIRST] = SEGMENT_NUMBER_MAX, [LAST] = SEGMENT_NUMBER_MAX, [STORED] = MARK_BYTES_MAX,
	[COMMITS] = INT64_MAX,	      [TIME_MIN] = TIME_US_MAX,	   [TIME_MAX] = TIME_US_MAX,
	[COMMIT_LSN] = INT64_MAX,     [COMMIT_XID] = UINT32_MAX,   [COMMIT_TIME] = TIME_US_MAX,
};

static bool mark_read(const json_t *json, int64 values[MARK_MEMBERS], struct error *err)
{
	if (!json_is_array(json) || json_array_size(json) != MARK_MEMBERS)
		return fail(err, ERROR_CORRUPT, "a mark is not an array of %d numbers", MARK_MEMBERS);
	for (int i = 0; i < MARK_MEMBERS; i++) {
		const json_t *value = json_array_get(json, (size_t) i);

		values[i] = json_is_integer(value) ? json_integer_value(value) : -1;
		if (values[i] < 0 || values[i] > mark_maximum[i])
			return fail(err, ERROR_CORRUPT, "number %d of a mark is none between 0 and " INT64_FORMAT,
				    i + 1, mark_maximum[i]);
	}
	return true;
}

static bool mark_decode(const json_t *json, struct mirror_mark *mark, struct error *err)
{
	int64 values[MARK_MEMBERS];

	TRY(mark_read(json, values, err));
	if (values[FIRST] > values[LAST] || values[TIME_MIN] > values[TIME_MAX])
		return fail(err, ERROR_CORRUPT, "a mark ends before it begins");
	mark->first = (uint64) values[FIRST];
	mark->last = (uint64) values[LAST];
	mark->stored_bytes = values[STORED];
	mark->has_times = values[TIME_MAX] != 0;
	mark->time_min = values[TIME_MIN] - EPOCH_US;
	mark->time_max = values[TIME_MAX] - EPOCH_US;
	mark->last_commit.lsn = (XLogRecPtr) values[COMMIT_LSN];
	mark->last_commit.xid = (TransactionId) values[COMMIT_XID];
	mark->last_commit.time = values[COMMIT_TIME] - EPOCH_US;
	return true;
}

static bool marks_decode(const json_t *json, struct mirror_window *window, struct error *err)
{
	json_t *array;

	TRY(get_array(json, "marks", MARKS_MAX, &array, &window->mark_count, err));
	window->marks = palloc0((size_t) window->mark_count * sizeof(*window->marks));
	for (int i = 0; i < window->mark_count; i++) {
		TRY(mark_decode(json_array_get(array, (size_t) i), &window->marks[i], err));
		if (i > 0 && window->marks[i].first <= window->marks[i - 1].last)
			return fail(err, ERROR_CORRUPT, "the marks of a window do not ascend");
	}
	return true;
}

/* A label that is not among the backups is left out: nothing can be said of it. */
static bool labels_decode(const json_t *json, const struct mirror *mirror, struct mirror_window *window,
			  struct error *err)
{
	json_t *array;
	int count, at = 0;

	TRY(get_array(json, "labels", BACKUPS_MAX, &array, &count, err));
	window->backups = palloc0((size_t) count * sizeof(*window->backups));
	for (int i = 0; i < count; i++) {
		const char *label = json_string_value(json_array_get(array, (size_t) i));
		const struct mirror_backup *backup = label == NULL ? NULL : backup_find(mirror, label, &at);

		if (label == NULL)
			return fail(err, ERROR_CORRUPT, "\"labels\" holds what is no text");
		if (backup != NULL)
			window->backups[window->backup_count++] = backup;
	}
	return true;
}

static bool window_decode(const json_t *json, const struct mirror *mirror, struct mirror_window *window,
			  struct error *err)
{
	TRY(get_text(json, "branch", &window->branch, err));
	TRY(get_text(json, "end", &window->end, err));
	TRY(get_int32(json, "timeline", 1, &window->timeline, err));
	TRY(get_int32(json, "gaps", 0, &window->gaps, err));
	TRY(mirror_get_time(json, "earliest_us", &window->earliest, err));
	TRY(mirror_get_time(json, "latest_us", &window->latest, err));
	TRY(get_lsn(json, "earliest_lsn", &window->earliest_lsn, err));
	TRY(get_lsn(json, "latest_lsn", &window->latest_lsn, err));
	TRY(json_get_u32(json, "segment_size", &window->segment_size, err));
	TRY(get_bool(json, "is_end", &window->is_end, err));
	TRY(get_bool(json, "is_proposed", &window->is_proposed, err));
	if (!wal_segment_size_valid(window->segment_size))
		return fail(err, ERROR_CORRUPT, "\"segment_size\" is none");
	TRY(labels_decode(json, mirror, window, err));
	return marks_decode(json, window, err);
}

static bool windows_decode(const json_t *json, struct mirror *mirror, struct error *err)
{
	json_t *array;

	TRY(get_array(json, "windows", WINDOWS_MAX, &array, &mirror->window_count, err));
	mirror->windows = palloc0((size_t) mirror->window_count * sizeof(*mirror->windows));
	for (int i = 0; i < mirror->window_count; i++)
		TRY(window_decode(json_array_get(array, (size_t) i), mirror, &mirror->windows[i], err));
	return true;
}

/* ------------------------------------------------------------------------------------------------ restore points */

static bool get_hex(const json_t *object, const char *key, const char **bytes, struct error *err)
{
	const char *hex;

	TRY(json_get_text(object, key, &hex, err));
	size_t size = strlen(hex) / 2;
	char *made = palloc(size + 1);
	if (!hex_parse(hex, (uint8_t *) made, size) || memchr(made, 0, size) != NULL)
		return fail(err, ERROR_CORRUPT, "\"%s\" is not hexadecimal, or no name", key);
	made[size] = '\0';
	*bytes = made;
	return true;
}

static bool restore_point_decode(const json_t *json, struct mirror_restore_point *point, struct error *err)
{
	TRY(get_text(json, "name", &point->name, err));
	point->bytes = point->name;
	if (json_object_get(json, "name_hex") != NULL)
		TRY(get_hex(json, "name_hex", &point->bytes, err));
	TRY(get_text(json, "branch", &point->branch, err));
	TRY(get_lsn(json, "lsn", &point->lsn, err));
	TRY(mirror_get_time(json, "created_us", &point->created, err));
	return get_int32(json, "timeline", 1, &point->timeline, err);
}

static bool restore_points_decode(const json_t *json, struct mirror *mirror, struct error *err)
{
	json_t *array;

	TRY(get_array(json, "restore_points", RESTORE_POINTS_MAX, &array, &mirror->restore_point_count, err));
	mirror->restore_points = palloc0((size_t) mirror->restore_point_count * sizeof(*mirror->restore_points));
	for (int i = 0; i < mirror->restore_point_count; i++)
		TRY(restore_point_decode(json_array_get(array, (size_t) i), &mirror->restore_points[i], err));
	return true;
}

bool mirror_decode(const json_t *json, struct mirror *mirror, struct error *err)
{
	TRY(mirror_get_time(json, "written_us", &mirror->written, err));
	mirror->is_partial = json_is_true(json_object_get(json, "is_partial"));
	TRY(get_text(json, "written_by", &mirror->written_by, err));
	TRY(get_text(json, "repository", &mirror->repository, err));
	TRY(get_text(json, "cluster", &mirror->cluster, err));
	TRY(get_text(json, "branch", &mirror->branch, err));
	TRY(get_text(json, "system_identifier", &mirror->system_identifier, err));
	TRY(get_text(json, "settings", &mirror->settings, err));
	TRY(backups_decode(json, mirror, err));
	TRY(windows_decode(json, mirror, err));
	return restore_points_decode(json, mirror, err);
}

bool mirror_branch_is_proposed(const struct mirror *mirror, const char *branch)
{
	bool is_known = false;

	for (int i = 0; i < mirror->window_count; i++) {
		if (strcmp(mirror->windows[i].branch, branch) != 0)
			continue;
		if (mirror->windows[i].is_proposed)
			return true;
		is_known = true;
	}
	return !is_known;
}
