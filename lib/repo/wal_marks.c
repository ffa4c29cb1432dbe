#include "repo/wal_marks.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* The newest, which stay single. */
#define SINGLE_COUNT 2048
/* How many are left when room was made: not too many, for then it is made all the time. */
#define MERGED_COUNT (WAL_MARKS_MAX - 2048)
#define NUMBER_COUNT 9

void wal_marks_release(struct wal_marks *marks)
{
	free(marks->items);
	*marks = (struct wal_marks){0};
}

static void mark_extend(struct wal_mark *mark, const struct wal_mark *next)
{
	mark->last = next->last;
	mark->stored_bytes += next->stored_bytes;
	mark->commits += next->commits;
	if (next->time_min_us != 0 && (mark->time_min_us == 0 || next->time_min_us < mark->time_min_us))
		mark->time_min_us = next->time_min_us;
	if (next->time_max_us > mark->time_max_us)
		mark->time_max_us = next->time_max_us;
	if (next->last_commit == 0)
		return;
	mark->last_commit = next->last_commit;
	mark->last_commit_xid = next->last_commit_xid;
	mark->last_commit_time_us = next->last_commit_time_us;
}

/* Joins neighbours among the older ones as long as they have no more than so many segments together. */
static void marks_merge(struct wal_marks *marks, uint64_t segments_max)
{
	int kept = 0;

	for (int i = 0; i < marks->count; i++) {
		const struct wal_mark *mark = &marks->items[i];
		bool is_older = i < marks->count - SINGLE_COUNT;

		if (is_older && kept > 0 && mark->last - marks->items[kept - 1].first < segments_max)
			mark_extend(&marks->items[kept - 1], mark);
		else
			marks->items[kept++] = *mark;
	}
	marks->count = kept;
}

bool wal_marks_add(struct wal_marks *marks, const struct wal_mark *mark, struct error *err)
{
	for (uint64_t segments_max = 2; marks->count >= WAL_MARKS_MAX; segments_max *= 2) {
		marks_merge(marks, segments_max);
		while (marks->count > MERGED_COUNT && segments_max < UINT64_MAX / 2)
			marks_merge(marks, segments_max *= 2);
	}
	TRY(ARRAY_RESERVE(&marks->items, marks->count, &marks->capacity, err));
	marks->items[marks->count++] = *mark;
	return true;
}

bool wal_marks_add_within(struct wal_marks *marks, const struct wal_marks *more, uint64_t first, uint64_t last,
			  struct error *err)
{
	for (int i = 0; i < more->count; i++)
		if (more->items[i].first >= first && more->items[i].last <= last)
			TRY(wal_marks_add(marks, &more->items[i], err));
	return true;
}

uint64_t wal_marks_commits(const struct wal_marks *marks)
{
	uint64_t commits = 0;

	for (int i = 0; i < marks->count; i++)
		commits += marks->items[i].commits;
	return commits;
}

const struct wal_mark *wal_marks_last_commit(const struct wal_marks *marks)
{
	for (int i = marks->count - 1; i >= 0; i--)
		if (marks->items[i].last_commit != 0)
			return &marks->items[i];
	return NULL;
}

bool wal_marks_encode(const struct wal_marks *marks, json_t *array, struct error *err)
{
	for (int i = 0; i < marks->count; i++) {
		const struct wal_mark *mark = &marks->items[i];
		const json_int_t numbers[NUMBER_COUNT] = {
			(json_int_t) mark->first,	(json_int_t) mark->last, (json_int_t) mark->stored_bytes,
			(json_int_t) mark->commits,	mark->time_min_us,	 mark->time_max_us,
			(json_int_t) mark->last_commit, mark->last_commit_xid,	 mark->last_commit_time_us};
		json_t *row = json_array();

		TRY(json_add(array, row, err));
		for (int k = 0; k < NUMBER_COUNT; k++)
			TRY(json_add(row, json_integer(numbers[k]), err));
	}
	return true;
}

static bool mark_decode(const json_t *row, struct wal_mark *mark, struct error *err)
{
	int64_t numbers[NUMBER_COUNT];

	if (!json_is_array(row) || json_array_size(row) != NUMBER_COUNT)
		return fail(err, ERROR_CORRUPT, "a mark has not %d numbers", NUMBER_COUNT);
	for (size_t k = 0; k < NUMBER_COUNT; k++) {
		const json_t *number = json_array_get(row, k);

		if (!json_is_integer(number) || json_integer_value(number) < 0)
			return fail(err, ERROR_CORRUPT, "a mark has something else than numbers");
		numbers[k] = json_integer_value(number);
	}
	if (numbers[1] < numbers[0] || numbers[7] > UINT32_MAX)
		return fail(err, ERROR_CORRUPT, "a mark has impossible numbers");
	*mark = (struct wal_mark){.first = (uint64_t) numbers[0],
				  .last = (uint64_t) numbers[1],
				  .stored_bytes = (uint64_t) numbers[2],
				  .commits = (uint64_t) numbers[3],
				  .time_min_us = numbers[4],
				  .time_max_us = numbers[5],
				  .last_commit = (uint64_t) numbers[6],
				  .last_commit_xid = (uint32_t) numbers[7],
				  .last_commit_time_us = numbers[8]};
	return true;
}

bool wal_marks_decode(const json_t *array, struct wal_marks *marks, struct error *err)
{
	size_t count = json_array_size(array);

	if (count > WAL_MARKS_MAX)
		return fail(err, ERROR_CORRUPT, "there are more than %d marks", WAL_MARKS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct wal_mark mark;

		TRY(mark_decode(json_array_get(array, i), &mark, err));
		if (marks->count > 0 && marks->items[marks->count - 1].last + 1 != mark.first)
			return fail(err, ERROR_CORRUPT, "marks do not follow each other");
		TRY(wal_marks_add(marks, &mark, err));
	}
	return true;
}
