#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "repo/fact.h"
#include "repo/run.h"

#define RUNS_DAYS INT64_C(30)
/* One that failed by itself is told until the next one, and is no rate. */
#define RUNS_FAILED_LEAST 2

/* A program that runs by itself fails by itself. What it says of its last run is the last word. */
static bool is_last_run(const struct facts *facts, int index)
{
	for (int i = index + 1; i < facts->count; i++)
		if (facts->items[i].kind == FACT_RUN &&
		    strcmp(facts->items[i].program, facts->items[index].program) == 0)
			return false;
	return true;
}

/* A base backup that ends well leaves itself, and no word about the run. */
static bool is_made_up_for(const struct checking *checking, const struct fact *fact)
{
	const struct backup *newest = check_backup_newest(checking, false);

	return strcmp(fact->program, "pitr-basebackup") == 0 && newest != NULL && newest->finished_us > fact->time_us;
}

/* ------------------------------------------------------------------------------------------------ pitr-verify */

/* What a run of pitr-verify has read. */
struct verified_part {
	int64_t part, parts;
	bool is_all;	   /* not WAL alone, or one base backup */
	bool has_contents; /* not headers only, for want of a secret key */
	int64_t problems;  /* objects that are damaged or missing */
};

/* False: it did not get so far. */
static bool part_read(const struct fact *fact, struct verified_part *part)
{
	const json_t *detail = fact->detail;
	const char *scope = json_string_value(json_object_get(detail, "scope"));

	*part = (struct verified_part){.part = json_integer_value(json_object_get(detail, "part")),
				       .parts = json_integer_value(json_object_get(detail, "parts")),
				       .has_contents = json_is_true(json_object_get(detail, "contents_read")),
				       .problems = json_integer_value(json_object_get(detail, "problems"))};
	part->is_all = scope == NULL || strcmp(scope, "all") == 0;
	return part->parts > 0;
}

/* What was found is wrong until a run has looked at the same and found nothing: the same part, or everything. A run
 * that did not get to look at anything is made up for by any that did. */
static bool is_verified_since(const struct facts *facts, int index)
{
	struct verified_part found, later;

	if (!part_read(&facts->items[index], &found) || found.problems == 0)
		return !is_last_run(facts, index);
	for (int i = index + 1; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		if (fact->kind != FACT_RUN || strcmp(fact->program, "pitr-verify") != 0 || !part_read(fact, &later))
			continue;
		bool has_same = later.parts == found.parts && later.part == found.part;
		if (later.is_all && (has_same || later.parts == 1) && (later.has_contents || !found.has_contents) &&
		    (fact->is_good || later.problems > 0))
			return true; /* one that is bad itself is told in its place */
	}
	return false;
}

/* Of several parts in which something was found the last is told, and that there are more. */
static void verify_runs(struct checking *checking, const struct facts *facts)
{
	const struct fact *last = NULL;
	int64_t problems = 0;
	int count = 0;
	char time[CLOCK_TEXT_SIZE];

	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];
		struct verified_part part;

		if (fact->kind != FACT_RUN || strcmp(fact->program, "pitr-verify") != 0 || fact->is_good ||
		    is_verified_since(facts, i) || !part_read(fact, &part) || part.problems == 0)
			continue;
		last = fact;
		problems += part.problems;
		count++;
	}
	if (last == NULL)
		return;
	time_format_local(last->time_us / 1000000 * 1000000, time);
	struct finding *finding = finding_add(
		checking, CHECK_CRITICAL,
		"pitr-verify, on host \"%.100s\" at %s, found %" PRId64 " object%s damaged or missing%s, and has "
		"not found them good since: %.500s",
		last->host, time, problems, problems == 1 ? "" : "s", count > 1 ? " in several parts" : "", last->text);
	finding_hint(finding, "Run pitr-verify over the same part, or over everything: it says what can no longer be "
			      "restored because of it.");
}

static bool is_told(const struct fact *fact)
{
	struct verified_part part;

	return strcmp(fact->program, "pitr-verify") == 0 && part_read(fact, &part) && part.problems > 0;
}

static void last_runs(struct checking *checking, const struct facts *facts, int64_t since_us)
{
	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];
		char time[CLOCK_TEXT_SIZE];

		if (fact->kind != FACT_RUN || fact->is_good || fact->time_us < since_us || is_told(fact) ||
		    !is_last_run(facts, i) || is_made_up_for(checking, fact))
			continue;
		time_format_local(fact->time_us / 1000000 * 1000000, time);
		finding_add(checking, CHECK_WARNING, "the last run of %s, on host \"%.100s\" at %s, failed%s%.500s",
			    fact->program, fact->host, time, fact->text[0] == '\0' ? "" : ": ", fact->text);
	}
}

static const struct backup *backup_find(const struct checking *checking, const struct fact *fact)
{
	for (int i = 0; i < checking->catalog.count; i++) {
		const struct backup *backup = &checking->catalog.backups[i];

		if (strcmp(backup->label, fact->label) == 0 && strcmp(backup->branch, fact->branch) == 0)
			return backup;
	}
	return NULL;
}

/* Those that are there, and those that pitr-expire has removed since: what it says of them stays as long as this asks
 * for it (EXPIRE_RETIRED_US). */
static int64_t backups_count(const struct checking *checking, const struct facts *facts, int64_t since_us)
{
	int64_t count = 0, finished_us;

	for (int i = 0; i < checking->catalog.count; i++)
		count += checking->catalog.backups[i].finished_us >= since_us;
	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];
		struct error ignored = {0};

		if (fact->kind == FACT_RETIRED && fact->label[0] != '\0' && fact->detail != NULL &&
		    json_get_integer(fact->detail, "finished_us", 0, INT64_MAX, &finished_us, &ignored) &&
		    finished_us >= since_us && backup_find(checking, fact) == NULL)
			count++;
	}
	return count;
}

static int64_t failures_count(const struct facts *facts, int64_t since_us)
{
	int64_t count = 0;

	for (int i = 0; i < facts->count; i++)
		count += facts->items[i].kind == FACT_RUN && !facts->items[i].is_good &&
			 facts->items[i].time_us >= since_us && strcmp(facts->items[i].program, "pitr-basebackup") == 0;
	return count;
}

static void success_rate(struct checking *checking, const struct facts *facts, int64_t since_us)
{
	int64_t good = backups_count(checking, facts, since_us), failed = failures_count(facts, since_us),
		all = good + failed;
	bool is_low = failed >= RUNS_FAILED_LEAST && good * 100 < all * checking->options->success_warning;

	metric_set(checking, METRIC_RUNS, all);
	metric_set(checking, METRIC_RUNS_FAILED, failed);
	if (all == 0)
		return;
	struct finding *finding = finding_add(
		checking, is_low ? CHECK_WARNING : CHECK_OK,
		"%" PRId64 " of %" PRId64 " base backups of the last %" PRId64 " days succeeded", good, all, RUNS_DAYS);
	if (is_low)
		finding_hint(finding,
			     "The log of pitr-basebackup says why each failed: journalctl -u pitr-backup, where "
			     "systemd runs it.");
}

bool check_runs(struct checking *checking, struct error *err)
{
	int64_t since_us = checking->now_us - RUNS_DAYS * 86400 * 1000000;
	struct facts facts FACTS_CLEANUP = {.count = 0};

	TRY(facts_read_since(checking->repo, 1u << FACT_RUN | 1u << FACT_RETIRED, checking->now_us - RUNS_KEPT_US,
			     &facts, err));
	verify_runs(checking, &facts);
	last_runs(checking, &facts, since_us);
	success_rate(checking, &facts, since_us);
	return true;
}
