#include "pg/wal_summary.h"

#include <string.h>

#include "base/hash.h"

static void kept_fill(struct wal_kept *kept, const struct wal_crossing *crossing)
{
	kept->size = crossing->size < WAL_JOIN_SIZE_MAX ? crossing->size : WAL_JOIN_SIZE_MAX;
	memcpy(kept->data, crossing->first, kept->size);
}

static void time_note(struct wal_summary *summary, int64_t time_us)
{
	bool is_first = summary->commits + summary->aborts == 0;

	if (is_first || time_us < summary->time_min_us)
		summary->time_min_us = time_us;
	if (is_first || time_us > summary->time_max_us)
		summary->time_max_us = time_us;
}

static void restore_point_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->restore_point_count++;

	if (at >= WAL_RESTORE_POINTS_MAX)
		return;
	summary->restore_points[at].lsn = event->lsn;
	summary->restore_points[at].time_us = event->time_us;
	memcpy(summary->restore_points[at].name, event->name, sizeof(event->name));
}

void wal_tablespace_take(const struct wal_event *event, struct wal_tablespace *tablespace)
{
	tablespace->lsn = event->lsn;
	tablespace->previous = event->previous;
	tablespace->oid = event->tablespace;
	memcpy(tablespace->path, event->path, strlen(event->path) + 1);
}

static void tablespace_note(struct wal_summary *summary, const struct wal_event *event)
{
	int at = summary->tablespace_count++;

	if (at < WAL_TABLESPACES_MAX)
		wal_tablespace_take(event, &summary->tablespaces[at]);
}

static bool event_note(void *context, const struct wal_event *event, struct error *err)
{
	struct wal_summary *summary = context;

	(void) err;
	if (summary->first_record == 0) {
		summary->first_record = event->lsn;
		summary->previous_record = event->previous;
	}
	summary->last_record = event->lsn;
	switch (event->kind) {
	case WAL_COMMIT:
		time_note(summary, event->time_us);
		summary->commits++;
		summary->last_commit = event->lsn;
		summary->last_commit_time_us = event->time_us;
		summary->last_commit_xid = event->xid;
		break;
	case WAL_ABORT:
		time_note(summary, event->time_us);
		summary->aborts++;
		break;
	case WAL_RESTORE_POINT:
		restore_point_note(summary, event);
		break;
	case WAL_TABLESPACE:
		tablespace_note(summary, event);
		break;
	case WAL_OTHER:
		break;
	}
	return true;
}

/* The head may be the last bytes of a segment switch, whose record is a mere header of which at most 16 bytes can lie
 * here; then nothing follows, and that is no early end. What says so lies in the last 8 bytes. */
static bool head_is_switch(const struct wal_summary *summary)
{
	uint8_t header[WAL_RECORD_HEADER_SIZE] = {0};
	size_t size = summary->head.size;

	if (summary->head_end == 0 || (size != 8 && size != 16))
		return false;
	memcpy(header + sizeof(header) - size, summary->head.data, size);
	return wal_record_is_switch(header);
}

static void crossings_note(struct wal_summary *summary, const struct wal_walk *walk)
{
	const struct wal_crossing *head = wal_walk_head(walk), *tail = wal_walk_tail(walk);
	uint64_t segment_end = summary->start + summary->segment_size;

	summary->ends_early = wal_walk_ended(walk, &summary->end);
	if (head != NULL) {
		summary->head_size = head->total;
		summary->head_end = head->end;
		kept_fill(&summary->head, head);
	}
	if (tail != NULL) {
		if (summary->first_record == 0)
			summary->first_record = tail->lsn;
		summary->tail_record = tail->lsn;
		summary->tail_total = tail->total;
		summary->tail_size = tail->size;
		kept_fill(&summary->tail, tail);
	}
	if (summary->ends_early && summary->end == summary->head_end && head_is_switch(summary)) {
		summary->ends_early = false;
		summary->end = segment_end;
	}
}

static void walk_cleanup(struct wal_walk **walk)
{
	wal_walk_close(*walk);
}

bool wal_summary_make(struct bytes content, const struct wal_segment *segment, struct wal_summary *summary,
		      struct error *err)
{
	struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;

	memset(summary, 0, sizeof(*summary));
	summary->understood = wal_magic_version(segment->magic) != 0;
	summary->magic = segment->magic;
	summary->segment_size = segment->segment_size;
	summary->page_size = segment->page_size;
	summary->start = segment->start;
	if (!summary->understood)
		return true;
	TRY(wal_walk_open(event_note, summary, &walk, err));
	TRY(wal_walk_segment(walk, content, segment, err));
	crossings_note(summary, walk);
	return true;
}

/* Bytes of records that fit in a segment which holds nothing but the middle of one record. */
static uint64_t segment_capacity(const struct wal_summary *summary)
{
	uint64_t pages = summary->segment_size / summary->page_size;

	return summary->segment_size - WAL_PAGE_HEADER_LONG_SIZE - (pages - 1) * WAL_PAGE_HEADER_SIZE;
}

/* Do they belong together: the same record's beginning and its end, with only its middle between them? */
static bool summaries_fit(const struct wal_summary *before, const struct wal_summary *after)
{
	if (!before->understood || !after->understood || before->tail_record == 0 || after->head_end == 0 ||
	    before->magic != after->magic || before->segment_size != after->segment_size ||
	    before->page_size != after->page_size || after->start <= before->start ||
	    (after->start - before->start) % before->segment_size != 0)
		return false;
	uint64_t between = (after->start - before->start) / before->segment_size - 1;

	return between <= WAL_RECORD_SIZE_MAX / WAL_SEGMENT_SIZE_MIN + 1 &&
	       before->tail_total == before->tail_size + between * segment_capacity(before) + after->head_size;
}

bool wal_summary_join(const struct wal_summary *before, const struct wal_summary *after, struct wal_event *event)
{
	uint8_t record[2 * WAL_JOIN_SIZE_MAX];
	struct error ignored;

	if (!summaries_fit(before, after))
		return false;
	size_t size = before->tail.size;
	memcpy(record, before->tail.data, size);
	if (size == before->tail_size && after->start - before->start == before->segment_size) {
		memcpy(record + size, after->head.data, after->head.size);
		size += after->head.size;
	}
	if (!wal_record_decode(before->magic, bytes_of(record, size), before->tail_total, event, &ignored))
		return false;
	event->lsn = before->tail_record;
	event->end = wal_record_is_switch(record) ? after->start + after->segment_size : after->head_end;
	return true;
}

uint64_t wal_summary_last_record(const struct wal_summary *const *summaries, int count)
{
	bool tail_is_complete = false; /* what is unfinished at the end of this one was finished in a later one */

	for (int i = count - 1; i >= 0; i--) {
		const struct wal_summary *summary = summaries[i];

		if (!summary->understood)
			return 0;
		if (tail_is_complete && summary->tail_record != 0)
			return summary->tail_record;
		if (!tail_is_complete && summary->last_record != 0)
			return summary->last_record;
		if (tail_is_complete && (summary->head_size == 0 || summary->head_end != 0))
			return 0;
		tail_is_complete = tail_is_complete || summary->head_end != 0;
	}
	return 0;
}

static bool put_integer(json_t *object, const char *key, int64_t value, struct error *err)
{
	return json_put(object, key, json_integer(value), err);
}

static bool put_bytes(json_t *object, const char *key, const struct wal_kept *kept, struct error *err)
{
	char text[2 * WAL_JOIN_SIZE_MAX + 1];

	hex_format(bytes_of(kept->data, kept->size), text);
	return json_put(object, key, json_string(text), err);
}

static bool put_crossings(const struct wal_summary *summary, json_t *object, struct error *err)
{
	if (summary->head_size > 0) {
		json_t *head = json_object();

		TRY(json_put(object, "head", head, err));
		TRY(put_integer(head, "size", summary->head_size, err));
		TRY(lsn_put(head, "end", summary->head_end, err));
		TRY(put_bytes(head, "bytes", &summary->head, err));
	}
	if (summary->tail_record > 0) {
		json_t *tail = json_object();

		TRY(json_put(object, "tail", tail, err));
		TRY(lsn_put(tail, "record", summary->tail_record, err));
		TRY(put_integer(tail, "total", summary->tail_total, err));
		TRY(put_integer(tail, "size", summary->tail_size, err));
		TRY(put_bytes(tail, "bytes", &summary->tail, err));
	}
	return true;
}

/* A restore point's name is in the encoding of whatever database it was made from. */
static bool put_name(json_t *point, const char *name, struct error *err)
{
	char hex[2 * 64 + 1];
	json_t *text = json_string(name);

	if (text != NULL)
		return json_put(point, "name", text, err);
	hex_format(bytes_of_text(name), hex);
	return json_put(point, "name_hex", json_string(hex), err);
}

static bool has_control_characters(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x20)
			return true;
	return false;
}

/* Control characters would take six bytes each as JSON. */
static bool put_path(json_t *tablespace, const char *path, struct error *err)
{
	char hex[2 * WAL_PATH_SIZE + 1];
	json_t *text = has_control_characters(path) ? NULL : json_string(path);

	if (text != NULL)
		return json_put(tablespace, "path", text, err);
	hex_format(bytes_of_text(path), hex);
	return json_put(tablespace, "path_hex", json_string(hex), err);
}

static bool put_tablespaces(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *tablespaces = json_array();

	TRY(put_integer(object, "tablespace_count", summary->tablespace_count, err));
	TRY(json_put(object, "tablespaces", tablespaces, err));
	for (int i = 0; i < summary->tablespace_count && i < WAL_TABLESPACES_MAX; i++) {
		json_t *tablespace = json_object();

		TRY(json_add(tablespaces, tablespace, err));
		TRY(lsn_put(tablespace, "lsn", summary->tablespaces[i].lsn, err));
		TRY(lsn_put(tablespace, "previous", summary->tablespaces[i].previous, err));
		TRY(put_integer(tablespace, "oid", summary->tablespaces[i].oid, err));
		TRY(put_path(tablespace, summary->tablespaces[i].path, err));
	}
	return true;
}

static bool put_restore_points(const struct wal_summary *summary, json_t *object, struct error *err)
{
	json_t *points = json_array();

	TRY(put_integer(object, "restore_point_count", summary->restore_point_count, err));
	TRY(json_put(object, "restore_points", points, err));
	for (int i = 0; i < summary->restore_point_count && i < WAL_RESTORE_POINTS_MAX; i++) {
		json_t *point = json_object();

		if (json_array_append_new(points, point) != 0)
			return fail(err, ERROR_SYSTEM, "out of memory");
		TRY(lsn_put(point, "lsn", summary->restore_points[i].lsn, err));
		TRY(put_integer(point, "time_us", summary->restore_points[i].time_us, err));
		TRY(put_name(point, summary->restore_points[i].name, err));
	}
	return true;
}

bool wal_summary_encode(const struct wal_summary *summary, json_t *object, struct error *err)
{
	TRY(json_put(object, "understood", json_boolean(summary->understood), err));
	TRY(put_integer(object, "magic", summary->magic, err));
	TRY(put_integer(object, "segment_size", summary->segment_size, err));
	TRY(put_integer(object, "page_size", summary->page_size, err));
	TRY(lsn_put(object, "start", summary->start, err));
	if (!summary->understood)
		return true;
	TRY(lsn_put(object, "end", summary->end, err));
	TRY(json_put(object, "ends_early", json_boolean(summary->ends_early), err));
	TRY(lsn_put(object, "first_record", summary->first_record, err));
	TRY(lsn_put(object, "previous_record", summary->previous_record, err));
	TRY(lsn_put(object, "last_record", summary->last_record, err));
	TRY(put_integer(object, "commits", summary->commits, err));
	TRY(put_integer(object, "aborts", summary->aborts, err));
	TRY(put_integer(object, "time_min_us", summary->time_min_us, err));
	TRY(put_integer(object, "time_max_us", summary->time_max_us, err));
	TRY(lsn_put(object, "last_commit", summary->last_commit, err));
	TRY(put_integer(object, "last_commit_time_us", summary->last_commit_time_us, err));
	TRY(put_integer(object, "last_commit_xid", summary->last_commit_xid, err));
	TRY(put_crossings(summary, object, err));
	TRY(put_restore_points(summary, object, err));
	return put_tablespaces(summary, object, err);
}

static bool get_time(const json_t *object, const char *key, int64_t *time_us, struct error *err)
{
	return json_get_integer(object, key, INT64_MIN, INT64_MAX, time_us, err);
}

static bool get_flag(const json_t *object, const char *key, bool *flag, struct error *err)
{
	const json_t *member = json_object_get(object, key);

	if (!json_is_boolean(member))
		return fail(err, ERROR_CORRUPT, "\"%s\" is missing or not a boolean", key);
	*flag = json_is_true(member);
	return true;
}

/* At most `size_max` bytes of the record can lie here, and all of them are kept as long as there is room. */
static bool get_bytes(const json_t *object, const char *key, uint32_t size_max, struct wal_kept *kept,
		      struct error *err)
{
	const char *text;

	TRY(json_get_text(object, key, &text, err));
	kept->size = strlen(text) / 2;
	if (kept->size > WAL_JOIN_SIZE_MAX || kept->size > size_max || !hex_parse(text, kept->data, kept->size))
		return fail(err, ERROR_CORRUPT, "\"%s\" is not the hexadecimal text of that many bytes", key);
	return true;
}

static bool get_head(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *head;

	TRY(json_get_object(object, "head", &head, err));
	TRY(json_get_u32(head, "size", &summary->head_size, err));
	TRY(lsn_get(head, "end", &summary->head_end, err));
	return get_bytes(head, "bytes", summary->head_size, &summary->head, err);
}

static bool get_tail(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *tail;

	TRY(json_get_object(object, "tail", &tail, err));
	TRY(lsn_get(tail, "record", &summary->tail_record, err));
	TRY(json_get_u32(tail, "total", &summary->tail_total, err));
	TRY(json_get_u32(tail, "size", &summary->tail_size, err));
	if (summary->tail_size > summary->tail_total)
		return fail(err, ERROR_CORRUPT, "more of a record than there is");
	return get_bytes(tail, "bytes", summary->tail_size, &summary->tail, err);
}

static bool get_name(const json_t *point, char name[64], struct error *err)
{
	const char *text;
	size_t size;

	if (json_object_get(point, "name_hex") != NULL) {
		TRY(json_get_text(point, "name_hex", &text, err));
		size = strlen(text) / 2;
		if (size >= 64 || !hex_parse(text, (uint8_t *) name, size))
			return fail(err, ERROR_CORRUPT, "\"name_hex\" is not the hexadecimal text of a name");
		name[size] = '\0';
		return true;
	}
	TRY(json_get_text(point, "name", &text, err));
	size = strlen(text);
	if (size >= 64)
		return fail(err, ERROR_CORRUPT, "the name of a restore point is too long");
	memcpy(name, text, size + 1);
	return true;
}

static bool get_restore_points(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *points;
	int64_t count;

	TRY(json_get_integer(object, "restore_point_count", 0, INT32_MAX, &count, err));
	TRY(json_get_array(object, "restore_points", &points, err));
	summary->restore_point_count = (int) count;
	if (json_array_size(points) != (size_t) (count < WAL_RESTORE_POINTS_MAX ? count : WAL_RESTORE_POINTS_MAX))
		return fail(err, ERROR_CORRUPT, "\"restore_points\" are not as many as they should be");
	for (size_t i = 0; i < json_array_size(points); i++) {
		const json_t *point = json_array_get(points, i);

		TRY(lsn_get(point, "lsn", &summary->restore_points[i].lsn, err));
		TRY(get_time(point, "time_us", &summary->restore_points[i].time_us, err));
		TRY(get_name(point, summary->restore_points[i].name, err));
	}
	return true;
}

static bool get_path(const json_t *tablespace, char path[WAL_PATH_SIZE], struct error *err)
{
	bool is_hex = json_object_get(tablespace, "path_hex") != NULL;
	const char *text;

	TRY(json_get_text(tablespace, is_hex ? "path_hex" : "path", &text, err));
	size_t size = is_hex ? strlen(text) / 2 : strlen(text);
	bool is_read = size < WAL_PATH_SIZE && (!is_hex || hex_parse(text, (uint8_t *) path, size));
	if (is_read && !is_hex)
		memcpy(path, text, size);
	if (!is_read || path[0] != '/' || memchr(path, 0, size) != NULL)
		return fail(err, ERROR_CORRUPT, "the path of a tablespace is none");
	path[size] = '\0';
	return true;
}

static bool get_tablespaces(const json_t *object, struct wal_summary *summary, struct error *err)
{
	json_t *tablespaces;
	int64_t count;

	TRY(json_get_integer(object, "tablespace_count", 0, INT32_MAX, &count, err));
	TRY(json_get_array(object, "tablespaces", &tablespaces, err));
	summary->tablespace_count = (int) count;
	if (json_array_size(tablespaces) != (size_t) (count < WAL_TABLESPACES_MAX ? count : WAL_TABLESPACES_MAX))
		return fail(err, ERROR_CORRUPT, "\"tablespaces\" are not as many as they should be");
	for (size_t i = 0; i < json_array_size(tablespaces); i++) {
		const json_t *tablespace = json_array_get(tablespaces, i);

		TRY(lsn_get(tablespace, "lsn", &summary->tablespaces[i].lsn, err));
		TRY(lsn_get(tablespace, "previous", &summary->tablespaces[i].previous, err));
		TRY(json_get_u32(tablespace, "oid", &summary->tablespaces[i].oid, err));
		TRY(get_path(tablespace, summary->tablespaces[i].path, err));
	}
	return true;
}

static bool get_segment(const json_t *object, struct wal_summary *summary, struct error *err)
{
	uint32_t magic;

	TRY(get_flag(object, "understood", &summary->understood, err));
	TRY(json_get_u32(object, "magic", &magic, err));
	TRY(json_get_u32(object, "segment_size", &summary->segment_size, err));
	TRY(json_get_u32(object, "page_size", &summary->page_size, err));
	TRY(lsn_get(object, "start", &summary->start, err));
	if (magic > UINT16_MAX || !wal_segment_size_valid(summary->segment_size) ||
	    summary->page_size < WAL_PAGE_HEADER_LONG_SIZE || summary->segment_size % summary->page_size != 0)
		return fail(err, ERROR_CORRUPT, "no segment has such a size, or pages of such a size");
	summary->magic = (uint16_t) magic;
	return true;
}

static bool summary_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	TRY(get_segment(object, summary, err));
	if (!summary->understood)
		return true;
	TRY(lsn_get(object, "end", &summary->end, err));
	TRY(get_flag(object, "ends_early", &summary->ends_early, err));
	TRY(lsn_get(object, "first_record", &summary->first_record, err));
	TRY(lsn_get(object, "previous_record", &summary->previous_record, err));
	TRY(lsn_get(object, "last_record", &summary->last_record, err));
	TRY(json_get_u32(object, "commits", &summary->commits, err));
	TRY(json_get_u32(object, "aborts", &summary->aborts, err));
	TRY(get_time(object, "time_min_us", &summary->time_min_us, err));
	TRY(get_time(object, "time_max_us", &summary->time_max_us, err));
	TRY(lsn_get(object, "last_commit", &summary->last_commit, err));
	TRY(get_time(object, "last_commit_time_us", &summary->last_commit_time_us, err));
	TRY(json_get_u32(object, "last_commit_xid", &summary->last_commit_xid, err));
	if (json_object_get(object, "head") != NULL)
		TRY(get_head(object, summary, err));
	if (json_object_get(object, "tail") != NULL)
		TRY(get_tail(object, summary, err));
	TRY(get_restore_points(object, summary, err));
	return get_tablespaces(object, summary, err);
}

bool wal_summary_decode(const json_t *object, struct wal_summary *summary, struct error *err)
{
	memset(summary, 0, sizeof(*summary));
	if (!summary_get(object, summary, err))
		return fail_in(err, "WAL summary");
	return true;
}
