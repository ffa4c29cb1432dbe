#include "pg/wal_summary_json.h"

#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "pg/lsn.h"
#include "pg/wal_summary_lists.h"

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

static bool checkpoint_put(const struct wal_summary *summary, json_t *object, struct error *err)
{
	const struct wal_checkpoint *checkpoint = &summary->checkpoint;
	json_t *member = json_object();

	TRY(put_integer(object, "checkpoint_count", summary->checkpoint_count, err));
	TRY(json_put(object, "checkpoint", member, err));
	TRY(lsn_put(member, "lsn", checkpoint->lsn, err));
	TRY(lsn_put(member, "redo", checkpoint->redo, err));
	TRY(put_integer(member, "timeline", checkpoint->timeline, err));
	TRY(put_integer(member, "previous_timeline", checkpoint->previous_timeline, err));
	TRY(put_integer(member, "next_xid", (uint32_t) checkpoint->next_xid, err));
	TRY(put_integer(member, "next_xid_epoch", (int64_t) (checkpoint->next_xid >> 32), err));
	TRY(put_integer(member, "time_us", checkpoint->time_us, err));
	return json_put(member, "shutdown", json_boolean(checkpoint->is_shutdown), err);
}

static bool recovery_end_put(const struct wal_recovery_end *end, json_t *object, struct error *err)
{
	json_t *member = json_object();

	TRY(json_put(object, "recovery_end", member, err));
	TRY(lsn_put(member, "lsn", end->lsn, err));
	TRY(put_integer(member, "time_us", end->time_us, err));
	TRY(put_integer(member, "timeline", end->timeline, err));
	return put_integer(member, "previous_timeline", end->previous_timeline, err);
}

/* Each only when it says something: most segments have none of most. */
static bool put_if(json_t *object, const char *key, uint64_t value, struct error *err)
{
	return value == 0 || put_integer(object, key, (int64_t) value, err);
}

static bool put_optional(const struct wal_summary *summary, json_t *object, struct error *err)
{
	TRY(put_if(object, "xid_min", summary->xid_min, err));
	TRY(put_if(object, "xid_max", summary->xid_max, err));
	if (summary->checkpoint_count > 0)
		TRY(checkpoint_put(summary, object, err));
	if (summary->recovery_end.lsn != 0)
		TRY(recovery_end_put(&summary->recovery_end, object, err));
	TRY(put_if(object, "inserts", summary->rows.inserts, err));
	TRY(put_if(object, "updates", summary->rows.updates, err));
	TRY(put_if(object, "deletes", summary->rows.deletes, err));
	return put_if(object, "other_changes", summary->other_changes, err);
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
	TRY(put_optional(summary, object, err));
	return wal_summary_lists_encode(summary, object, err);
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

static bool checkpoint_get(const json_t *object, struct wal_summary *summary, struct error *err)
{
	struct wal_checkpoint *checkpoint = &summary->checkpoint;
	uint32_t next_xid, epoch;
	int64_t count;
	json_t *member;

	TRY(json_get_integer(object, "checkpoint_count", 1, INT32_MAX, &count, err));
	TRY(json_get_object(object, "checkpoint", &member, err));
	summary->checkpoint_count = (int) count;
	TRY(lsn_get(member, "lsn", &checkpoint->lsn, err));
	TRY(lsn_get(member, "redo", &checkpoint->redo, err));
	TRY(json_get_u32(member, "timeline", &checkpoint->timeline, err));
	TRY(json_get_u32(member, "previous_timeline", &checkpoint->previous_timeline, err));
	TRY(json_get_u32(member, "next_xid", &next_xid, err));
	TRY(json_get_u32(member, "next_xid_epoch", &epoch, err));
	checkpoint->next_xid = (uint64_t) epoch << 32 | next_xid;
	TRY(get_time(member, "time_us", &checkpoint->time_us, err));
	return get_flag(member, "shutdown", &checkpoint->is_shutdown, err);
}

static bool recovery_end_get(const json_t *object, struct wal_recovery_end *end, struct error *err)
{
	json_t *member;

	TRY(json_get_object(object, "recovery_end", &member, err));
	TRY(lsn_get(member, "lsn", &end->lsn, err));
	TRY(get_time(member, "time_us", &end->time_us, err));
	TRY(json_get_u32(member, "timeline", &end->timeline, err));
	return json_get_u32(member, "previous_timeline", &end->previous_timeline, err);
}

static bool has(const json_t *object, const char *key)
{
	return json_object_get(object, key) != NULL;
}

static bool get_if(const json_t *object, const char *key, uint64_t *value, struct error *err)
{
	return !has(object, key) || json_get_u64(object, key, value, err);
}

static bool get_optional(const json_t *object, struct wal_summary *summary, struct error *err)
{
	if (has(object, "xid_min") || has(object, "xid_max")) {
		TRY(json_get_u32(object, "xid_min", &summary->xid_min, err));
		TRY(json_get_u32(object, "xid_max", &summary->xid_max, err));
	}
	if (has(object, "checkpoint_count") || has(object, "checkpoint"))
		TRY(checkpoint_get(object, summary, err));
	if (has(object, "recovery_end"))
		TRY(recovery_end_get(object, &summary->recovery_end, err));
	TRY(get_if(object, "inserts", &summary->rows.inserts, err));
	TRY(get_if(object, "updates", &summary->rows.updates, err));
	TRY(get_if(object, "deletes", &summary->rows.deletes, err));
	return get_if(object, "other_changes", &summary->other_changes, err);
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
	TRY(get_optional(object, summary, err));
	return wal_summary_lists_decode(object, summary, err);
}

bool wal_summary_decode(const json_t *object, struct wal_summary *summary, struct error *err)
{
	memset(summary, 0, sizeof(*summary));
	if (!summary_get(object, summary, err))
		return fail_in(err, "WAL summary");
	return true;
}
