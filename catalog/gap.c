#include "gap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo/wal_survey.h"

struct gap_seen {
	char name[BRANCH_NAME_MAX + 1];
	char first[WAL_NAME_MAX + 1];
};

/* One hole. */
struct gap {
	struct wal_name first, last;
	uint64_t missing, missing_last;
	char branch[BRANCH_NAME_MAX + 1];
	int64_t before_us, behind_us; /* last commit before it, first commit or rollback behind; 0: not known */
	/* The segments next to it; host "": not known. */
	struct neighbour {
		struct wal_name name;
		char host[256];
		char stored[CLOCK_TEXT_SIZE];
	} before, behind;
};

void gaps_release(struct gaps *gaps)
{
	free(gaps->seen);
	gaps->seen = NULL;
	gaps->count = 0;
}

/* Is it new? A timeline is on the paths of all that descend from it. */
static bool gap_note(struct gaps *gaps, const struct gap *gap, bool *is_new, struct error *err)
{
	*is_new = true;
	for (int i = 0; i < gaps->count && *is_new; i++)
		*is_new = strcmp(gaps->seen[i].first, gap->first.text) != 0 ||
			  strcmp(gaps->seen[i].name, gap->branch) != 0;
	if (!*is_new)
		return true;
	struct gap_seen *seen = realloc(gaps->seen, ((size_t) gaps->count + 1) * sizeof(*seen));
	if (seen == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	gaps->seen = seen;
	seen = &seen[gaps->count++];
	(void) snprintf(seen->name, sizeof(seen->name), "%s", gap->branch);
	(void) snprintf(seen->first, sizeof(seen->first), "%s", gap->first.text);
	return true;
}

/* Whose segment that is cannot be found out where it is damaged, and then it is not said. */
static bool neighbour_read(const struct gaps *gaps, const struct wal_range *range, uint64_t number,
			   struct neighbour *neighbour, struct error *err)
{
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
		found = found || (done && wal_range_entry(gaps->repo, range, number, entry, err));
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
static bool commit_seek(const struct gaps *gaps, const struct wal_range *range, uint64_t from, bool is_behind,
			int64_t *time_us, struct error *err)
{
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
			.first = is_behind ? from : far, .last = is_behind ? far : from, .jobs = gaps->jobs};

		TRY(wal_survey_run(gaps->repo, range, &survey, err));
		if (survey.commits + survey.aborts > 0)
			*time_us = is_behind ? survey.time_min_us : survey.last_commit.time_us;
		if (*time_us != 0 || reached < step)
			return true;
	}
}

static void neighbour_print(const char *what, const struct neighbour *neighbour)
{
	if (neighbour->host[0] != '\0')
		(void) printf("    the segment %s it, %s, was stored by \"%s\" at %s\n", what, neighbour->name.text,
			      neighbour->host, neighbour->stored);
}

static void gap_print(const struct gap *gap)
{
	char time[2][CLOCK_TEXT_SIZE], where[BRANCH_NAME_MAX + 32] = "";
	uint64_t count = gap->missing_last - gap->missing + 1;

	if (strcmp(gap->branch, LAYOUT_BRANCH_DEFAULT) != 0)
		(void) snprintf(where, sizeof(where), " of the branch \"%s\"", gap->branch);
	(void) printf("timeline %" PRIu32 "%s: gap, %" PRIu64 " segment%s missing: %s%s%s\n", gap->first.timeline,
		      where, count, count == 1 ? "" : "s", gap->first.text, count == 1 ? "" : " to ",
		      count == 1 ? "" : gap->last.text);
	time_format_local(gap->before_us, time[0]);
	time_format_local(gap->behind_us, time[1]);
	if (gap->before_us != 0 && gap->behind_us != 0)
		(void) printf("    lost is what was committed between %s and %s\n", time[0], time[1]);
	else if (gap->before_us != 0)
		(void) printf("    lost is what was committed after %s\n", time[0]);
	else if (gap->behind_us != 0)
		(void) printf("    lost is what was committed before %s\n", time[1]);
	neighbour_print("before", &gap->before);
	neighbour_print("behind", &gap->behind);
	(void) printf("    look for them in pg_wal there: a running server archives what has a .ready file, and\n"
		      "    \"pitr-archive --drain PGDATA\" stores what a stopped one has\n");
}

static bool neighbour_encode(const char *key, const struct neighbour *neighbour, json_t *json, struct error *err)
{
	json_t *member = neighbour->host[0] == '\0' ? json_null() : json_object();

	TRY(json_put(json, key, member, err));
	if (neighbour->host[0] == '\0')
		return true;
	TRY(json_put(member, "segment", json_string(neighbour->name.text), err));
	TRY(json_put(member, "host", json_string(neighbour->host), err));
	return json_put(member, "stored", json_string(neighbour->stored), err);
}

static bool time_encode(const char *key, int64_t time_us, json_t *json, struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	time_format_local(time_us, time);
	return json_put(json, key, time_us == 0 ? json_null() : json_string(time), err);
}

static bool gap_encode(const struct gap *gap, json_t *json, struct error *err)
{
	TRY(json_put(json, "branch", json_string(gap->branch), err));
	TRY(json_put(json, "timeline", json_integer(gap->first.timeline), err));
	TRY(json_put(json, "first", json_string(gap->first.text), err));
	TRY(json_put(json, "last", json_string(gap->last.text), err));
	TRY(json_put(json, "segments", json_integer((json_int_t) (gap->missing_last - gap->missing + 1)), err));
	TRY(time_encode("lost_after", gap->before_us, json, err));
	TRY(time_encode("lost_before", gap->behind_us, json, err));
	TRY(neighbour_encode("before", &gap->before, json, err));
	return neighbour_encode("behind", &gap->behind, json, err);
}

static bool gap_report(struct gaps *gaps, const struct wal_range *range, struct gap *gap, struct error *err)
{
	bool is_new;

	wal_range_name(range, gap->missing, &gap->first);
	wal_range_name(range, gap->missing_last, &gap->last);
	(void) snprintf(gap->branch, sizeof(gap->branch), "%s", layout_owner(&range->path->layout, &gap->first)->name);
	TRY(gap_note(gaps, gap, &is_new, err));
	if (!is_new)
		return true;
	if (gap->missing > range->first) {
		TRY(neighbour_read(gaps, range, gap->missing - 1, &gap->before, err));
		TRY(commit_seek(gaps, range, gap->missing - 1, false, &gap->before_us, err));
	}
	TRY(neighbour_read(gaps, range, gap->missing_last + 1, &gap->behind, err));
	TRY(commit_seek(gaps, range, gap->missing_last + 1, true, &gap->behind_us, err));
	if (gaps->json == NULL) {
		gap_print(gap);
		return true;
	}
	json_t *json = json_object();
	TRY(json_add(gaps->json, json, err));
	return gap_encode(gap, json, err);
}

bool gaps_of_range(struct gaps *gaps, const struct wal_range *range, struct error *err)
{
	uint64_t from = range->first;

	for (;;) {
		struct gap gap = {.before_us = 0};

		if (!wal_range_gap(range, from, &gap.missing, &gap.missing_last))
			return true;
		TRY(gap_report(gaps, range, &gap, err));
		from = gap.missing_last + 1;
	}
}
