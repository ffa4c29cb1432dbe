#include "repo/retired_wal.h"

#include <string.h>

static bool range_decode(const json_t *json, struct wal_needed *ranges, struct error *err)
{
	const char *branch;
	uint32_t timeline;
	uint64_t first, last;

	TRY(json_get_text(json, "branch", &branch, err));
	TRY(json_get_u32(json, "timeline", &timeline, err));
	TRY(json_get_u64(json, "first", &first, err));
	TRY(json_get_u64(json, "last", &last, err));
	if (!layout_branch_is_valid(branch) || first > last)
		return fail(err, ERROR_CORRUPT, "a fact about removed WAL names no range");
	return wal_needed_add(ranges, branch, timeline, first, last, err);
}

bool retired_wal_gather(const struct facts *facts, struct wal_needed *ranges, struct error *err)
{
	for (int i = 0; i < facts->count; i++) {
		const json_t *detail = facts->items[i].detail, *member;
		size_t k;

		if (facts->items[i].kind != FACT_RETIRED ||
		    json_integer_value(json_object_get(detail, "segment_size")) != ranges->segment_size)
			continue;
		json_array_foreach(json_object_get(detail, "wal"), k, member)
		{
			TRY(range_decode(member, ranges, err));
		}
	}
	return true;
}

bool retired_wal_read(struct repo *repo, uint32_t segment_size, struct wal_needed *ranges, struct error *err)
{
	struct facts facts FACTS_CLEANUP = {0};

	*ranges = (struct wal_needed){.segment_size = segment_size};
	TRY(facts_read(repo, 1u << FACT_RETIRED, &facts, err));
	if (retired_wal_gather(&facts, ranges, err))
		return true;
	wal_needed_release(ranges);
	return false;
}

bool retired_wal_put(struct repo *repo, const struct wal_needed *ranges, struct error *err)
{
	struct fact fact = {.kind = FACT_RETIRED};
	json_t *detail JSON_CLEANUP = json_object();
	json_t *array = json_array();

	TRY(json_put(detail, "wal", array, err));
	TRY(json_put(detail, "segment_size", json_integer(ranges->segment_size), err));
	for (int i = 0; i < ranges->count; i++) {
		const struct wal_needed_range *range = &ranges->ranges[i];
		json_t *member = json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "branch", json_string(range->branch), err));
		TRY(json_put(member, "timeline", json_integer(range->timeline), err));
		TRY(json_put(member, "first", json_integer((json_int_t) range->first), err));
		TRY(json_put(member, "last", json_integer((json_int_t) range->last), err));
	}
	(void) memcpy(fact.branch, LAYOUT_BRANCH_DEFAULT, sizeof(LAYOUT_BRANCH_DEFAULT));
	fact.detail = detail;
	return fact_put(repo, &fact, err);
}

bool retired_wal_has(const struct wal_needed *ranges, const struct wal_path *path, uint64_t first, uint64_t last)
{
	for (uint64_t number = first; number <= last; number++) {
		struct wal_name name;

		wal_path_name(path, number, ranges->segment_size, &name);
		if (!wal_needed_has(ranges, layout_owner(&path->layout, &name)->name, name.timeline, number, number))
			return false;
	}
	return true;
}
