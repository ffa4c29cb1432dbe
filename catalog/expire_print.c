#include "expire_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/answer.h"
#include "print.h"

/* Consecutive objects of WAL that go, of one timeline in one branch. */
struct wal_sum {
	char branch[BRANCH_NAME_MAX + 1];
	uint32_t timeline;
	uint64_t segments, bytes;
	char first[WAL_NAME_MAX + 1], last[WAL_NAME_MAX + 1];
};

/* From place *at on; false: there are no more. */
static bool wal_sum_next(const struct expire *expire, size_t *at, struct wal_sum *sum)
{
	*sum = (struct wal_sum){0};
	for (; *at < expire->going.count; (*at)++) {
		const struct expire_object *object = &expire->going.items[*at];
		struct object_name name;

		if (object->kind != OBJECT_WAL || !object_name_parse(&expire->repo->layout, object->key, &name))
			continue;
		if (sum->first[0] == '\0') {
			memcpy(sum->branch, name.branch, sizeof(sum->branch));
			sum->timeline = name.wal.timeline;
			memcpy(sum->first, name.wal.text, sizeof(sum->first));
		} else if (sum->timeline != name.wal.timeline || strcmp(sum->branch, name.branch) != 0) {
			break;
		}
		memcpy(sum->last, name.wal.text, sizeof(sum->last));
		sum->segments += name.wal.kind == WAL_SEGMENT;
		sum->bytes += object->size;
	}
	return sum->first[0] != '\0';
}

static uint64_t going_bytes(const struct expire *expire)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < expire->going.count; i++)
		bytes += expire->going.items[i].size;
	return bytes;
}

static int backups_going(const struct expire *expire)
{
	int count = 0;

	for (int i = 0; i < expire->retention.backup_count; i++)
		count += expire->retention.backups[i].reasons == 0;
	return count;
}

static void window_first(const struct expire *expire, const struct retention_path *path, struct wal_name *name)
{
	wal_path_name(path->path, path->window_first, expire->retention.needed.segment_size, name);
}

/* -------------------------------------------------------------------------------------------------------- JSON */

static bool encode_backups(const struct expire *expire, json_t *json, struct error *err)
{
	json_t *array = json_array();

	TRY(json_put(json, "backups", array, err));
	for (int i = 0; i < expire->retention.backup_count; i++) {
		const struct retention_backup *item = &expire->retention.backups[i];
		json_t *member = json_object(), *reasons = json_array();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "reasons", reasons, err));
		TRY(json_put(member, "label", json_string(item->backup->label), err));
		TRY(json_put(member, "branch", json_string(item->backup->branch), err));
		TRY(json_put(member, "finished_us", json_integer(item->backup->finished_us), err));
		TRY(json_put(member, "stored_bytes", json_integer((json_int_t) item->backup->stored_bytes), err));
		TRY(json_put(member, "good", json_boolean(item->is_good), err));
		TRY(json_put(member, "goes", json_boolean(item->reasons == 0), err));
		for (int reason = 0; reason < RETENTION_REASON_COUNT; reason++) {
			const char *name = retention_reason_name((enum retention_reason) reason);

			if ((item->reasons & 1u << reason) != 0)
				TRY(json_add(reasons, json_string(name), err));
		}
	}
	return true;
}

static bool encode_wal(const struct expire *expire, json_t *json, struct error *err)
{
	json_t *windows = json_array(), *going = json_array();
	struct wal_sum sum;
	size_t at = 0;

	TRY(json_put(json, "windows", windows, err));
	TRY(json_put(json, "wal", going, err));
	for (int i = 0; i < expire->retention.path_count; i++) {
		const struct retention_path *path = &expire->retention.paths[i];
		json_t *member;
		struct wal_name first;

		if (!path->has_window)
			continue;
		member = json_object();
		window_first(expire, path, &first);
		TRY(json_add(windows, member, err));
		TRY(json_put(member, "branch", json_string(layout_branch(&path->path->layout)), err));
		TRY(json_put(member, "timeline", json_integer(wal_path_timeline(path->path)), err));
		TRY(json_put(member, "first_segment", json_string(first.text), err));
	}
	while (wal_sum_next(expire, &at, &sum)) {
		json_t *member = json_object();

		TRY(json_add(going, member, err));
		TRY(json_put(member, "branch", json_string(sum.branch), err));
		TRY(json_put(member, "timeline", json_integer(sum.timeline), err));
		TRY(json_put(member, "segments", json_integer((json_int_t) sum.segments), err));
		TRY(json_put(member, "bytes", json_integer((json_int_t) sum.bytes), err));
		TRY(json_put(member, "first", json_string(sum.first), err));
		TRY(json_put(member, "last", json_string(sum.last), err));
	}
	return true;
}

static bool encode_strays(const struct expire *expire, json_t *json, struct error *err)
{
	json_t *array = json_array();

	TRY(json_put(json, "unfinished", array, err));
	for (int i = 0; i < expire->stray_count; i++) {
		const struct expire_stray *stray = &expire->strays[i];
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "branch", json_string(stray->branch), err));
		TRY(json_put(member, "label", json_string(stray->label), err));
		TRY(json_put(member, "retired", json_boolean(stray->is_retired), err));
		TRY(json_put(member, "goes", json_boolean(expire_stray_goes(expire, stray)), err));
	}
	return true;
}

static bool encode_names(const struct expire *expire, json_t *json, struct error *err)
{
	json_t *unknown = json_array(), *refused = json_array();

	TRY(json_put(json, "unknown", unknown, err));
	TRY(json_put(json, "refused", refused, err));
	for (size_t i = 0; i < expire->unknown_count && i < EXPIRE_SHOWN_MAX; i++)
		TRY(json_add(unknown, json_string(expire->unknown[i]), err));
	for (size_t i = 0; i < expire->refused_count && i < EXPIRE_SHOWN_MAX; i++) {
		json_t *member = json_object();

		TRY(json_add(refused, member, err));
		TRY(json_put(member, "key", json_string(expire->refused[i].key), err));
		TRY(json_put(member, "why", json_string(expire->refused[i].why.text), err));
	}
	TRY(json_put(json, "unknown_count", json_integer((json_int_t) expire->unknown_count), err));
	return json_put(json, "refused_count", json_integer((json_int_t) expire->refused_count), err);
}

static bool print_json(const struct expire *expire, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(json_put(json, "present_us", json_integer(expire->retention.present_us), err));
	TRY(json_put(json, "applied", json_boolean(expire->is_applied), err));
	TRY(encode_backups(expire, json, err));
	TRY(encode_wal(expire, json, err));
	TRY(encode_strays(expire, json, err));
	TRY(encode_names(expire, json, err));
	TRY(json_put(json, "objects", json_integer((json_int_t) expire->going.count), err));
	TRY(json_put(json, "bytes", json_integer((json_int_t) going_bytes(expire)), err));
	TRY(json_put(json, "removed", json_integer((json_int_t) expire->removed_count), err));
	TRY(json_put(json, "removed_bytes", json_integer((json_int_t) expire->removed_bytes), err));
	return answer_print(json, err);
}

/* -------------------------------------------------------------------------------------------------------- text */

static void print_backup(const struct retention_backup *item)
{
	char finished[CLOCK_TEXT_SIZE], size[PRINT_SIZE_SIZE];
	const char *before = "";

	time_format_local(item->backup->finished_us / 1000000 * 1000000, finished);
	print_size(item->backup->stored_bytes, size);
	(void) printf("%-5s  %-34s  %-25s  %10s  ", item->reasons == 0 ? "goes" : "stays", item->backup->label,
		      finished, size);
	for (int reason = 0; reason < RETENTION_REASON_COUNT; reason++) {
		if ((item->reasons & 1u << reason) == 0)
			continue;
		(void) printf("%s%s", before, retention_reason_name((enum retention_reason) reason));
		before = ", ";
	}
	(void) printf("%s\n", item->is_good ? "" : " (not good)");
}

static void print_wal(const struct expire *expire)
{
	char text[WAL_PATH_TEXT_SIZE], size[PRINT_SIZE_SIZE];
	struct wal_sum sum;
	size_t at = 0;

	for (int i = 0; i < expire->retention.path_count; i++) {
		const struct retention_path *path = &expire->retention.paths[i];
		struct wal_name first;

		if (!path->has_window)
			continue;
		window_first(expire, path, &first);
		wal_path_format(path->path, text);
		(void) printf("stays  all WAL that leads to %s, from %s on\n", text, first.text);
	}
	while (wal_sum_next(expire, &at, &sum)) {
		print_size(sum.bytes, size);
		(void) printf("goes   %" PRIu64 " WAL segments of timeline %" PRIu32 " of the branch \"%s\", %s to %s, "
			      "%s\n",
			      sum.segments, sum.timeline, sum.branch, sum.first, sum.last, size);
	}
}

static void print_others(const struct expire *expire)
{
	for (int i = 0; i < expire->stray_count; i++) {
		const struct expire_stray *stray = &expire->strays[i];

		(void) printf("%-5s  %-34s  %s\n", expire_stray_goes(expire, stray) ? "goes" : "stays", stray->label,
			      stray->is_retired ? "what an earlier run has left of it" : "not finished");
	}
	for (size_t i = 0; i < expire->unknown_count && i < EXPIRE_SHOWN_MAX; i++)
		(void) printf("stays  %s: not known what it is\n", expire->unknown[i]);
	if (expire->unknown_count > EXPIRE_SHOWN_MAX)
		(void) printf("stays  %zu more of those\n", expire->unknown_count - EXPIRE_SHOWN_MAX);
	for (size_t i = 0; i < expire->refused_count && i < EXPIRE_SHOWN_MAX; i++)
		(void) printf("stays  %s: %s\n", expire->refused[i].key, expire->refused[i].why.text);
	if (expire->refused_count > EXPIRE_SHOWN_MAX)
		(void) printf("stays  %zu more of those\n", expire->refused_count - EXPIRE_SHOWN_MAX);
}

bool expire_print(const struct expire *expire, struct error *err)
{
	char size[PRINT_SIZE_SIZE];

	if (expire->options->json)
		return print_json(expire, err);
	for (int i = 0; i < expire->retention.backup_count; i++)
		print_backup(&expire->retention.backups[i]);
	print_wal(expire);
	print_others(expire);
	print_size(expire->is_applied ? expire->removed_bytes : going_bytes(expire), size);
	if (expire->is_applied)
		(void) printf("removed: %zu objects, %s\n", expire->removed_count, size);
	else if (expire->going.count + (size_t) backups_going(expire) == 0)
		(void) printf("nothing goes\n");
	else
		(void) printf("would be removed: %zu objects, %s; --apply does it\n",
			      expire->going.count + (size_t) backups_going(expire), size);
	return true;
}
