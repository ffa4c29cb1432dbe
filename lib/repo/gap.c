#include "repo/gap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "repo/wal_survey.h"

/* So many segments behind a known hole are looked through again for a commit. */
#define SEEK_AGAIN_MAX 64

void gaps_release(struct gaps *gaps)
{
	free(gaps->items);
	*gaps = (struct gaps){0};
}

bool gaps_add(struct gaps *gaps, const struct gap *gap, struct error *err)
{
	if (gaps->count == GAPS_MAX)
		return fail(err, ERROR_CORRUPT, "the archive has more than %d holes", GAPS_MAX);
	TRY(ARRAY_RESERVE(&gaps->items, gaps->count, &gaps->capacity, err));
	gaps->items[gaps->count++] = *gap;
	return true;
}

static const struct gap *gap_same(const struct gaps *gaps, const struct gap *gap)
{
	for (int i = 0; gaps != NULL && i < gaps->count; i++)
		if (strcmp(gaps->items[i].first.text, gap->first.text) == 0 &&
		    strcmp(gaps->items[i].last.text, gap->last.text) == 0 &&
		    strcmp(gaps->items[i].branch, gap->branch) == 0)
			return &gaps->items[i];
	return NULL;
}

bool gap_is_on(const struct gap *gap, const struct wal_path *path, uint32_t segment_size)
{
	struct wal_name first, last;

	wal_path_name(path, gap->missing, segment_size, &first);
	wal_path_name(path, gap->missing_last, segment_size, &last);
	return strcmp(first.text, gap->first.text) == 0 && strcmp(last.text, gap->last.text) == 0 &&
	       strcmp(layout_owner(&path->layout, &first)->name, gap->branch) == 0;
}

/* ------------------------------------------------------------------------------------------------ finding out */

/* Whose segment that is cannot be found out where it is damaged, and then it is not said. */
static bool neighbour_read(const struct gap_search *search, uint64_t number, struct gap_neighbour *neighbour,
			   struct error *err)
{
	const struct wal_range *range = search->range;
	struct wal_entry *entry = calloc(1, sizeof(*entry));
	enum wal_source source;
	uint32_t size;
	bool found = false;

	if (entry == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	wal_range_name(range, number, &neighbour->name);
	bool done = true;
	if (wal_range_find(range, number, &source, &size)) {
		done = wal_range_indexed(range, number, entry, &found, err);
		found = found || (done && wal_range_entry(search->repo, range, number, entry, err));
		done = done && (found || err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND);
	}
	if (found) {
		(void) snprintf(neighbour->host, sizeof(neighbour->host), "%s", entry->host);
		(void) snprintf(neighbour->stored, sizeof(neighbour->stored), "%s", entry->stored);
	}
	free(entry);
	return done;
}

/* Goes away from the hole in ever larger steps, to where a commit is. */
static bool commit_seek(const struct gap_search *search, uint64_t from, bool is_behind, int64_t *time_us,
			struct error *err)
{
	const struct wal_range *range = search->range;
	enum wal_source source;
	uint32_t size;
	uint64_t far = from;

	*time_us = 0;
	if (!wal_range_find(range, from, &source, &size))
		return true;
	for (uint64_t step = 1;; step *= 8) {
		for (uint64_t i = far > from ? far - from : from - far; i + 1 < step; i++) {
			uint64_t next = is_behind ? far + 1 : far - 1;

			if ((!is_behind && far <= range->first) || !wal_range_find(range, next, &source, &size))
				break;
			far = next;
		}
		uint64_t reached = far > from ? far - from + 1 : from - far + 1;
		struct wal_survey survey = {
			.first = is_behind ? from : far, .last = is_behind ? far : from, .jobs = search->jobs};

		TRY(wal_survey_run(search->repo, range, &survey, err));
		if (survey.commits + survey.aborts > 0)
			*time_us = is_behind ? survey.time_min_us : survey.last_commit.time_us;
		if (*time_us != 0 || reached < step)
			return true;
	}
}

static bool gap_look_around(const struct gap_search *search, struct gap *gap, struct error *err)
{
	if (gap->missing > search->range->first) {
		TRY(neighbour_read(search, gap->missing - 1, &gap->before, err));
		TRY(commit_seek(search, gap->missing - 1, false, &gap->before_us, err));
	}
	TRY(neighbour_read(search, gap->missing_last + 1, &gap->behind, err));
	return commit_seek(search, gap->missing_last + 1, true, &gap->behind_us, err);
}

/* What was found out about it does not change; a first commit behind it may come. */
static bool gap_recall(const struct gap_search *search, const struct gap *known, struct gap *gap, struct error *err)
{
	uint64_t last;

	*gap = *known;
	gap->place = search->place;
	if (gap->behind_us != 0 || !wal_range_reach(search->range, gap->missing_last + 1, &last) ||
	    last - gap->missing_last > SEEK_AGAIN_MAX)
		return true;
	return commit_seek(search, gap->missing_last + 1, true, &gap->behind_us, err);
}

/* Nothing where it is known already: a timeline is on the paths of all that descend from it. */
static bool gap_add(const struct gap_search *search, uint64_t missing, uint64_t missing_last, struct gaps *gaps,
		    struct error *err)
{
	struct gap gap = {.place = search->place, .missing = missing, .missing_last = missing_last};

	if (search->retired != NULL && retired_wal_has(search->retired, search->range->path, missing, missing_last))
		return true;
	wal_range_name(search->range, missing, &gap.first);
	wal_range_name(search->range, missing_last, &gap.last);
	(void) snprintf(gap.branch, sizeof(gap.branch), "%s",
			layout_owner(&search->range->path->layout, &gap.first)->name);
	if (gap_same(gaps, &gap) != NULL)
		return true;
	const struct gap *known = gap_same(search->known, &gap);
	TRY(known != NULL ? gap_recall(search, known, &gap, err) : gap_look_around(search, &gap, err));
	return gaps_add(gaps, &gap, err);
}

bool gaps_find(const struct gap_search *search, struct gaps *gaps, struct error *err)
{
	uint64_t from = search->range->first, missing, missing_last;

	while (wal_range_gap(search->range, from, &missing, &missing_last)) {
		TRY(gap_add(search, missing, missing_last, gaps, err));
		from = missing_last + 1;
	}
	return true;
}

/* ----------------------------------------------------------------------------------------------------- as JSON */

static bool neighbour_encode(const char *key, const struct gap_neighbour *neighbour, json_t *json, struct error *err)
{
	json_t *member = neighbour->host[0] == '\0' ? json_null() : json_object();

	TRY(json_put(json, key, member, err));
	if (neighbour->host[0] == '\0')
		return true;
	TRY(json_put(member, "segment", json_string(neighbour->name.text), err));
	TRY(json_put(member, "host", json_string(neighbour->host), err));
	return json_put(member, "stored", json_string(neighbour->stored), err);
}

static bool time_encode(const char *key, const char *key_us, int64_t time_us, json_t *json, struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	time_format_local(time_us, time);
	TRY(json_put(json, key, time_us == 0 ? json_null() : json_string(time), err));
	return json_put(json, key_us, time_us == 0 ? json_null() : json_integer(time_us), err);
}

bool gap_encode(const struct gap *gap, json_t *json, struct error *err)
{
	TRY(json_put(json, "branch", json_string(gap->branch), err));
	TRY(json_put(json, "timeline", json_integer(gap->first.timeline), err));
	TRY(json_put(json, "first", json_string(gap->first.text), err));
	TRY(json_put(json, "last", json_string(gap->last.text), err));
	TRY(json_put(json, "segments", json_integer((json_int_t) (gap->missing_last - gap->missing + 1)), err));
	TRY(time_encode("lost_after", "lost_after_us", gap->before_us, json, err));
	TRY(time_encode("lost_before", "lost_before_us", gap->behind_us, json, err));
	TRY(neighbour_encode("before", &gap->before, json, err));
	return neighbour_encode("behind", &gap->behind, json, err);
}

static bool neighbour_decode(const json_t *json, const char *key, struct gap_neighbour *neighbour, struct error *err)
{
	json_t *member;
	const char *text;

	if (json_is_null(json_object_get(json, key)))
		return true;
	TRY(json_get_object(json, key, &member, err));
	TRY(json_get_text(member, "segment", &text, err));
	TRY(wal_name_parse(text, &neighbour->name, err));
	TRY(json_copy_text(member, "host", neighbour->host, sizeof(neighbour->host), err));
	return json_copy_text(member, "stored", neighbour->stored, sizeof(neighbour->stored), err);
}

static bool time_decode(const json_t *json, const char *key, int64_t *time_us, struct error *err)
{
	if (json_is_null(json_object_get(json, key)))
		return true;
	return json_get_integer(json, key, 0, INT64_MAX, time_us, err);
}

static bool segment_decode(const json_t *json, const char *key, struct wal_name *name, struct error *err)
{
	const char *text;

	TRY(json_get_text(json, key, &text, err));
	TRY(wal_name_parse(text, name, err));
	return name->kind == WAL_SEGMENT || fail(err, ERROR_CORRUPT, "\"%s\" is no segment", text);
}

bool gap_decode(const json_t *json, uint32_t segment_size, struct gap *gap, struct error *err)
{
	*gap = (struct gap){.place = 0};
	TRY(json_copy_text(json, "branch", gap->branch, sizeof(gap->branch), err));
	TRY(segment_decode(json, "first", &gap->first, err));
	TRY(segment_decode(json, "last", &gap->last, err));
	gap->missing = wal_segment_number(&gap->first, segment_size);
	gap->missing_last = wal_segment_number(&gap->last, segment_size);
	if (gap->missing_last < gap->missing)
		return fail(err, ERROR_CORRUPT, "a hole ends before it begins");
	TRY(time_decode(json, "lost_after_us", &gap->before_us, err));
	TRY(time_decode(json, "lost_before_us", &gap->behind_us, err));
	TRY(neighbour_decode(json, "before", &gap->before, err));
	return neighbour_decode(json, "behind", &gap->behind, err);
}
