#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "print.h"
#include "repo/fact.h"

/* Among so many of the latest a backup is to look as the others do. */
#define SIZE_COMPARED_MAX   9
#define SIZE_COMPARED_LEAST 3
/* Clocks of two hosts that are right differ by less. */
#define CLOCK_TOLERANCE_US (INT64_C(5) * 60 * 1000000)

static bool key_seen(void *context, const char *key, uint64_t size, struct error *err)
{
	bool *is_seen = context;

	(void) key;
	(void) size;
	*is_seen = true;
	err->kind = ERROR_NONE;
	return false;
}

static bool no_backup(struct checking *checking, struct error *err)
{
	char prefix[LAYOUT_KEY_SIZE];
	bool has_wal = false;

	layout_wal_timelines_prefix(&checking->repo->layout, layout_branch(&checking->repo->layout), prefix);
	TRY(storage_list(checking->repo->storage, prefix, "", key_seen, &has_wal, err));
	struct finding *finding = finding_add(
		checking, CHECK_CRITICAL, "%s",
		has_wal ? "WAL is archived but there is no base backup: point-in-time recovery is impossible"
			: "no base backup: PITR is impossible");
	finding_hint(finding, "Take one with pitr-basebackup.");
	return true;
}

/* What there is belongs to copies, or to a timeline that was left: nothing is proposed from it. */
static bool no_backup_of_it(struct checking *checking)
{
	struct finding *finding = finding_add(
		checking, CHECK_CRITICAL,
		"no base backup of the branch \"%s\": the %d that %s there %s of other branches, or of timelines that "
		"were left",
		checking->lineage.production, checking->catalog.count, checking->catalog.count == 1 ? "is" : "are",
		checking->catalog.count == 1 ? "is" : "are");
	finding_hint(finding, "Take one with pitr-basebackup; \"pitr-catalog list\" and \"pitr-catalog window\" say "
			      "what there is.");
	return true;
}

const struct backup *check_backup_newest(const struct checking *checking, bool only_good)
{
	const struct backup *newest = NULL;

	for (int i = 0; i < checking->catalog.count; i++) {
		const struct backup *backup = &checking->catalog.backups[i];

		if ((!only_good || !backup->is_damaged) && check_path_counts(checking, backup) &&
		    (newest == NULL || backup->finished_us > newest->finished_us))
			newest = backup;
	}
	return newest;
}

static void backup_age(struct checking *checking, const struct backup *newest)
{
	const struct options *options = checking->options;
	int64_t age_s = (checking->now_us - newest->finished_us) / 1000000;
	int64_t warning_s = options->backup_warning / 1000, critical_s = options->backup_critical / 1000;
	char age[CLOCK_TEXT_SIZE], limit[CLOCK_TEXT_SIZE], time[CLOCK_TEXT_SIZE];

	metric_set(checking, METRIC_BACKUP_AGE, age_s);
	metric_limits(checking, METRIC_BACKUP_AGE, warning_s, critical_s);
	metric_set(checking, METRIC_BACKUP_TIME, newest->finished_us / 1000000);
	metric_set(checking, METRIC_BACKUP_DATABASE, (int64_t) newest->database_bytes);
	metric_set(checking, METRIC_BACKUP_STORED, (int64_t) newest->stored_bytes);
	time_format_local(newest->finished_us, time);
	if (age_s < warning_s && age_s < critical_s) {
		int64_t count = checking->metrics[METRIC_BACKUPS].value;
		finding_add(checking, CHECK_OK, "%" PRId64 " base backup%s, the last of %s", count,
			    count == 1 ? "" : "s", time);
		return;
	}
	bool is_critical = age_s >= critical_s;
	duration_format(age_s, age);
	duration_format(is_critical ? critical_s : warning_s, limit);
	struct finding *finding = finding_add(
		checking, is_critical ? CHECK_CRITICAL : CHECK_WARNING,
		"the last base backup is %s old, and should not be older than %s: it is of %s", age, limit, time);
	finding_hint(finding, "Take one with pitr-basebackup, and see why the last run did not.");
}

/* The backups, and on which paths they lie. */
static bool backups_read(struct checking *checking, struct error *err)
{
	const struct catalog *catalog = &checking->catalog;
	int64_t count = 0;

	TRY(facts_read_catalog(checking->repo, &checking->catalog, err));
	if (catalog->count > 0)
		TRY(lineage_read(checking->repo, catalog->backups[0].segment_size, &checking->lineage, err));
	for (int i = 0; i < catalog->count; i++)
		count += check_path_counts(checking, &catalog->backups[i]);
	metric_set(checking, METRIC_BACKUPS, count);
	return true;
}

bool check_backup(struct checking *checking, struct error *err)
{
	TRY(backups_read(checking, err));
	const struct backup *newest = check_backup_newest(checking, false), *good = check_backup_newest(checking, true);
	if (newest == NULL)
		return checking->catalog.count == 0 ? no_backup(checking, err) : no_backup_of_it(checking);
	if (good == NULL) {
		finding_add(checking, CHECK_CRITICAL,
			    "every base backup is damaged, as pitr-verify has found: PITR is impossible");
		return true;
	}
	if (newest->is_damaged)
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "the last base backup, \"%s\", is damaged, as pitr-verify has found",
					 newest->label),
			     "Take another one with pitr-basebackup.");
	backup_age(checking, good);
	return true;
}

static int size_compare(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *) a, other = *(const uint64_t *) b;

	return one < other ? -1 : one > other ? 1 : 0;
}

static int time_compare(const void *a, const void *b)
{
	const struct backup *one = *(const struct backup *const *) a, *other = *(const struct backup *const *) b;

	return one->finished_us < other->finished_us ? 1 : one->finished_us > other->finished_us ? -1 : 0;
}

/* The others that count, the latest first. The caller frees them. */
static bool others_list(const struct checking *checking, const struct backup *newest, const struct backup ***others,
			int *count, struct error *err)
{
	*count = 0;
	*others = calloc((size_t) checking->catalog.count, sizeof(const struct backup *));
	if (*others == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < checking->catalog.count; i++)
		if (&checking->catalog.backups[i] != newest &&
		    check_path_counts(checking, &checking->catalog.backups[i]))
			(*others)[(*count)++] = &checking->catalog.backups[i];
	qsort(*others, (size_t) *count, sizeof(const struct backup *), time_compare);
	return true;
}

/* The median of those before it; 0: there are too few. */
static bool size_usual(const struct checking *checking, const struct backup *newest, uint64_t *median,
		       struct error *err)
{
	const struct backup **others;
	uint64_t sizes[SIZE_COMPARED_MAX] = {0};
	int count;

	*median = 0;
	TRY(others_list(checking, newest, &others, &count, err));
	count = count < SIZE_COMPARED_MAX ? count : SIZE_COMPARED_MAX;
	for (int i = 0; i < count; i++)
		sizes[i] = others[i]->database_bytes;
	free(others);
	if (count < SIZE_COMPARED_LEAST)
		return true;
	qsort(sizes, (size_t) count, sizeof(*sizes), size_compare);
	*median = sizes[count / 2];
	return true;
}

/* Half as much, or twice as much, of a sudden: another server was backed up, or data has gone. */
bool check_size(struct checking *checking, struct error *err)
{
	const struct backup *newest = check_backup_newest(checking, false);
	char size[PRINT_SIZE_SIZE], usual[PRINT_SIZE_SIZE];
	uint64_t median;

	if (newest == NULL)
		return true;
	TRY(size_usual(checking, newest, &median, err));
	if (median == 0 || (newest->database_bytes >= median / 2 && newest->database_bytes / 2 <= median))
		return true;
	print_size(newest->database_bytes, size);
	print_size(median, usual);
	finding_hint(finding_add(checking, CHECK_WARNING,
				 "the last base backup is of %s of database, and those before it were of about %s",
				 size, usual),
		     "If that is as it should be, it is over after the next few backups.");
	return true;
}

/* Times decide how long backups are kept, and which one a restore to a time begins with. */
bool check_clock(struct checking *checking, struct error *err)
{
	const struct backup *newest = check_backup_newest(checking, false);
	char ahead[CLOCK_TEXT_SIZE];

	(void) err;
	if (newest == NULL || newest->finished_us <= checking->now_us + CLOCK_TOLERANCE_US)
		return true;
	duration_format((newest->finished_us - checking->now_us) / 1000000, ahead);
	finding_hint(finding_add(checking, CHECK_WARNING,
				 "the last base backup ended %s in the future: the clock here is wrong, or that of the "
				 "server was",
				 ahead),
		     "Look at \"timedatectl\" on both hosts.");
	return true;
}
