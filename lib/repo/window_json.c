#include "repo/window_json.h"

#include <stdlib.h>
#include <string.h>

#define WINDOWS_MAX 1000000

static const char *const end_texts[] = {[WINDOW_END_OF_ARCHIVE] = "end of archive",
					[WINDOW_GAP] = "gap",
					[WINDOW_DAMAGED] = "damaged",
					[WINDOW_BREAKS_OFF] = "breaks off",
					[WINDOW_UNKNOWN_VERSION] = "unknown version"};

const char *window_end_text(enum window_end end)
{
	return end_texts[end];
}

static bool end_parse(const char *text, enum window_end *end)
{
	for (int i = 0; i < (int) (sizeof(end_texts) / sizeof(end_texts[0])); i++) {
		if (strcmp(text, end_texts[i]) != 0)
			continue;
		*end = (enum window_end) i;
		return true;
	}
	return false;
}

static bool labels_encode(const struct window *window, json_t *json, struct error *err)
{
	json_t *labels = json_array();

	TRY(json_put(json, "labels", labels, err));
	for (int i = 0; i < window->backup_count; i++)
		TRY(json_add(labels, json_string(window->backups[i]->label), err));
	return true;
}

static bool window_encode_ends(const struct window *window, json_t *json, struct error *err)
{
	char earliest[CLOCK_TEXT_SIZE], latest[CLOCK_TEXT_SIZE];
	struct wal_name last;

	time_format_local(window->earliest_us, earliest);
	time_format_local(window->latest_us, latest);
	wal_path_name(window->path, window->reached, window->segment_size, &last);
	TRY(json_put(json, "earliest", json_string(earliest), err));
	TRY(json_put(json, "latest", json_string(latest), err));
	TRY(json_put(json, "earliest_us", json_integer(window->earliest_us), err));
	TRY(json_put(json, "latest_us", json_integer(window->latest_us), err));
	TRY(lsn_put(json, "earliest_lsn", window->earliest_lsn, err));
	TRY(lsn_put(json, "latest_lsn", window->latest_lsn, err));
	TRY(json_put(json, "segment_size", json_integer(window->segment_size), err));
	TRY(json_put(json, "first_segment_number", json_integer((json_int_t) window->first), err));
	return json_put(json, "last_segment", json_string(last.text), err);
}

static bool window_encode(const struct window *window, json_t *json, struct error *err)
{
	TRY(json_put(json, "branch", json_string(window->branch), err));
	TRY(json_put(json, "timeline", json_integer(window->timeline), err));
	TRY(json_put(json, "is_end", json_boolean(window->is_end), err));
	TRY(json_put(json, "is_proposed", json_boolean(window->is_proposed), err));
	TRY(window_encode_ends(window, json, err));
	TRY(json_put(json, "label", json_string(window->label), err));
	TRY(json_put(json, "backups", json_integer(window->backup_count), err));
	TRY(labels_encode(window, json, err));
	TRY(json_put(json, "segments", json_integer((json_int_t) (window->reached - window->first + 1)), err));
	TRY(json_put(json, "commits", json_integer((json_int_t) window->commits), err));
	TRY(json_put(json, "gaps", json_integer(window->gap_count), err));
	TRY(json_put(json, "end", json_string(window_end_text(window->end)), err));
	return window->end != WINDOW_DAMAGED || json_put(json, "damage", json_message(window->damage), err);
}

static bool window_encode_kept(const struct window *window, json_t *json, struct error *err)
{
	json_t *marks = json_array();

	TRY(json_put(json, "as_of_us", json_integer(window->as_of_us), err));
	TRY(json_put(json, "marks", marks, err));
	return wal_marks_encode(&window->marks, marks, err);
}

static bool unknown_encode(const struct lineage *lineage, json_t *json, struct error *err)
{
	json_t *array = json_array();

	TRY(json_put(json, "unknown_timelines", array, err));
	if (!lineage->has_unknown)
		return true;
	json_t *member = json_object();
	TRY(json_add(array, member, err));
	TRY(json_put(member, "branch", json_string(lineage->unknown_branch), err));
	TRY(json_put(member, "timeline", json_integer(lineage->unknown_timeline), err));
	return json_put(member, "why", json_message(lineage->unknown_why.text), err);
}

bool windows_encode(const struct windows *windows, bool for_mirror, json_t *json, struct error *err)
{
	json_t *array = json_array(), *gaps = json_array();

	TRY(json_put(json, "windows", array, err));
	TRY(json_put(json, "gaps", gaps, err));
	for (int i = 0; i < windows->count; i++) {
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(window_encode(&windows->items[i], member, err));
		TRY(!for_mirror || window_encode_kept(&windows->items[i], member, err));
	}
	for (int i = 0; i < windows->gaps.count; i++) {
		json_t *member = json_object();

		TRY(json_add(gaps, member, err));
		TRY(gap_encode(&windows->gaps.items[i], member, err));
	}
	TRY(unknown_encode(&windows->lineage, json, err));
	TRY(json_put(json, "production", json_string(windows->lineage.production), err));
	TRY(restore_points_encode(&windows->points, json, err));
	return !for_mirror || !windows->is_partial || json_put(json, "is_partial", json_true(), err);
}

/* ----------------------------------------------------------------------------------------------------- and back */

static bool window_decode_ends(const json_t *json, struct window *window, struct error *err)
{
	uint64_t segments;

	TRY(json_get_integer(json, "earliest_us", 0, INT64_MAX, &window->earliest_us, err));
	TRY(json_get_integer(json, "latest_us", 0, INT64_MAX, &window->latest_us, err));
	TRY(lsn_get(json, "earliest_lsn", &window->earliest_lsn, err));
	TRY(lsn_get(json, "latest_lsn", &window->latest_lsn, err));
	TRY(json_get_u32(json, "segment_size", &window->segment_size, err));
	TRY(json_get_u64(json, "first_segment_number", &window->first, err));
	TRY(json_get_u64(json, "segments", &segments, err));
	if (!wal_segment_size_valid(window->segment_size) || segments == 0 ||
	    window->first > UINT64_MAX / window->segment_size ||
	    segments > UINT64_MAX / window->segment_size - window->first)
		return fail(err, ERROR_CORRUPT, "a window has impossible segments");
	window->reached = window->first + segments - 1;
	return true;
}

static bool window_decode(const json_t *json, struct window *window, struct error *err)
{
	const char *end;
	json_t *marks;

	TRY(json_copy_text(json, "branch", window->branch, sizeof(window->branch), err));
	TRY(json_get_u32(json, "timeline", &window->timeline, err));
	TRY(json_copy_text(json, "label", window->label, sizeof(window->label), err));
	TRY(window_decode_ends(json, window, err));
	TRY(json_get_u64(json, "commits", &window->commits, err));
	TRY(json_get_text(json, "end", &end, err));
	if (!end_parse(end, &window->end))
		return fail(err, ERROR_CORRUPT, "a window ends in an unknown way");
	if (window->end == WINDOW_DAMAGED)
		TRY(json_copy_text(json, "damage", window->damage, sizeof(window->damage), err));
	TRY(json_get_integer(json, "as_of_us", 0, INT64_MAX, &window->as_of_us, err));
	TRY(json_get_array(json, "marks", &marks, err));
	TRY(wal_marks_decode(marks, &window->marks, err));
	if (window->marks.count > 0 && (window->marks.items[0].first != window->first ||
					window->marks.items[window->marks.count - 1].last > window->reached))
		return fail(err, ERROR_CORRUPT, "the marks of a window are not those of its segments");
	return true;
}

static bool gaps_decode(const json_t *array, struct windows *windows, struct error *err)
{
	if (windows->count == 0)
		return true; /* then nothing is gone on with */
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct gap gap;

		TRY(gap_decode(json_array_get(array, i), windows->items[0].segment_size, &gap, err));
		TRY(gaps_add(&windows->gaps, &gap, err));
	}
	return true;
}

bool windows_decode(const json_t *json, struct windows *windows, struct error *err)
{
	json_t *array, *gaps;

	TRY(json_get_array(json, "windows", &array, err));
	TRY(json_get_array(json, "gaps", &gaps, err));
	if (json_array_size(array) > WINDOWS_MAX)
		return fail(err, ERROR_CORRUPT, "there are more than %d windows", WINDOWS_MAX);
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct window *window = windows_extend(windows, err);

		if (window == NULL)
			return false;
		TRY(window_decode(json_array_get(array, i), window, err));
	}
	TRY(gaps_decode(gaps, windows, err));
	windows->is_partial = json_is_true(json_object_get(json, "is_partial"));
	return restore_points_decode(json, &windows->points, err);
}
