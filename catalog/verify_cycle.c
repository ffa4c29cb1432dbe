/* Parts that together have read everything: --subset=1/7 to 7/7. Each run leaves in its fact which part it was and in
 * which backups it found nothing wrong. The one with which a backup has been read in every part says so, and proves it
 * from the oldest of them on. What was said of the backup before counts: after a damage, or the end of a cycle, another
 * one begins. By labels, not by times: what completed between two parts has not been read in the first. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "repo/run.h"
#include "verify.h"

bool verify_is_of_cycle(const struct verify *verify)
{
	return verify->reads_contents && verify->parts > 1 && verify->scope == VERIFY_ALL;
}

bool verify_cycle_read(const struct verify *verify, struct facts *facts, struct error *err)
{
	return facts_read_since(verify->repo, 1u << FACT_RUN | 1u << FACT_VERIFIED, clock_now_us() - RUNS_KEPT_US,
				facts, err);
}

static int64_t detail_integer(const struct fact *fact, const char *name)
{
	return json_integer_value(json_object_get(fact->detail, name));
}

/* Runs that have written their fact by then are of no cycle of this backup any more. */
static int64_t cycle_begin(const struct facts *facts, const char *label)
{
	int64_t begin_us = 0;

	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		if (fact->kind != FACT_VERIFIED || strcmp(fact->label, label) != 0)
			continue;
		int64_t until_us = detail_integer(fact, "until_us");
		if (until_us < fact->time_us)
			until_us = fact->time_us;
		begin_us = until_us > begin_us ? until_us : begin_us;
	}
	return begin_us;
}

/* 0: it is no such part. */
static uint32_t run_part(const struct verify *verify, const struct fact *fact)
{
	json_int_t part = detail_integer(fact, "part");

	if (fact->kind != FACT_RUN || strcmp(fact->program, "pitr-verify") != 0 ||
	    json_array_size(json_object_get(fact->detail, "good")) == 0 ||
	    detail_integer(fact, "parts") != verify->parts || part < 1 || part > verify->parts)
		return 0;
	return (uint32_t) part;
}

static bool run_has(const struct fact *fact, const char *label)
{
	const json_t *member;
	size_t i;

	json_array_foreach(json_object_get(fact->detail, "good"), i, member)
	{
		if (json_is_string(member) && strcmp(json_string_value(member), label) == 0)
			return true;
	}
	return false;
}

/* When the backup was good in each part, the last time that this was read; 0: it was not, or that was not read. */
static void parts_gather(const struct verify *verify, const struct facts *facts, const char *label, int64_t *times_us)
{
	int64_t begin_us = cycle_begin(facts, label);

	for (int i = 0; i < facts->count; i++) {
		uint32_t part = run_part(verify, &facts->items[i]);

		if (part > 0 && facts->items[i].time_us > begin_us)
			times_us[part - 1] = run_has(&facts->items[i], label) ? facts->items[i].time_us : 0;
	}
}

bool verify_cycle_ends(const struct verify *verify, const struct facts *facts, const char *label, bool *ends,
		       struct fact *fact, struct error *err)
{
	int64_t now_us = clock_now_us(), oldest_us = now_us;

	*ends = false;
	if ((uint32_t) facts->count < verify->parts - 1)
		return true;
	int64_t *times_us = calloc(verify->parts, sizeof(*times_us));
	if (times_us == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	parts_gather(verify, facts, label, times_us);
	times_us[verify->part - 1] = now_us;
	for (uint32_t i = 0; i < verify->parts; i++)
		oldest_us = times_us[i] < oldest_us ? times_us[i] : oldest_us;
	free(times_us);
	if (oldest_us == 0)
		return true;
	*ends = true;
	fact->time_us = oldest_us;
	fact->detail = json_object();
	return json_put(fact->detail, "parts", json_integer(verify->parts), err) &&
	       json_put(fact->detail, "until_us", json_integer(now_us), err);
}
