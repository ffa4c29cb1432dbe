#include "plan/reach_why.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "repo/retired_wal.h"

static struct error *why(const struct search *search)
{
	return &search->reach->why;
}

void why_too_early(const struct search *search, const struct backup *next, const char *what)
{
	char end[CLOCK_TEXT_SIZE], lsn[LSN_TEXT_SIZE], option[CLOCK_TEXT_SIZE + 32];

	time_format_local(next->finished_us, end);
	lsn_format(next->stop_lsn, lsn);
	if (search->asked->target->kind == TARGET_LSN)
		(void) snprintf(option, sizeof(option), "--target-lsn=%s", lsn);
	else
		(void) snprintf(option, sizeof(option), "--target-time='%s'", end);
	(void) fail(why(search), ERROR_USAGE,
		    "%s is before the end of the %s: the earliest that can be reached on %s is %s (LSN %s)", what,
		    search->asked->chosen != NULL ? "chosen backup" : "first backup", search->leaf, end, lsn);
	if (search->asked->chosen != NULL)
		(void) fail_hint(why(search), "Choose an older backup, leave --backup out, or give %s or later.",
				 option);
	else
		(void) fail_hint(why(search), "Give %s or later, or --target-immediate for the end of a backup.",
				 option);
}

/* Where backups are: what --target-timeline takes. */
static const struct backup *backup_elsewhere(const struct search *search)
{
	const struct catalog *catalog = search->asked->catalog;
	const struct backup *newest = search->asked->chosen;

	for (int i = 0; i < catalog->count && search->asked->chosen == NULL; i++)
		if (newest == NULL || catalog->backups[i].finished_us > newest->finished_us)
			newest = &catalog->backups[i];
	return newest;
}

void why_no_backup(const struct search *search)
{
	const struct backup *elsewhere = backup_elsewhere(search);

	if (search->asked->chosen != NULL)
		(void) fail(why(search), ERROR_USAGE, "the backup \"%s\" is not on the path to %s",
			    search->asked->chosen->label, search->leaf);
	else
		(void) fail(why(search), ERROR_USAGE, "there is no backup from which %s can be reached", search->leaf);
	if (elsewhere == NULL)
		return;
	if (strcmp(elsewhere->branch, LAYOUT_BRANCH_DEFAULT) == 0)
		(void) fail_hint(why(search),
				 "%s ends on --target-timeline=%" PRIu32 "; run \"pitr-catalog window\" to see "
				 "what can be restored.",
				 search->asked->chosen != NULL ? "It" : "The newest backup", elsewhere->stop_timeline);
	else
		(void) fail_hint(why(search),
				 "%s ends on --target-timeline=%s/%" PRIu32 "; run \"pitr-catalog window\" to "
				 "see what can be restored.",
				 search->asked->chosen != NULL ? "It" : "The newest backup", elsewhere->branch,
				 elsewhere->stop_timeline);
}

void why_unknown_wal(const struct search *search)
{
	struct wal_name name;

	wal_range_name(&search->reach->range, search->survey.reached, &name);
	(void) fail(why(search), ERROR_USAGE,
		    "the WAL in \"%s\" is of a version that this program does not know (%04X)", name.text,
		    (unsigned) search->survey.magic);
	(void) fail_hint(why(search), "Use a newer release; PostgreSQL 13 to 18 are known.");
}

/* Up to where the WAL before a hole can be restored, as an option to give. */
static void hint_before_hole(const struct search *search, const struct backup *next, bool is_lost)
{
	const struct wal_commit *commit = &search->survey.last_commit;
	char time[CLOCK_TEXT_SIZE] = "", lsn[LSN_TEXT_SIZE], after[CLOCK_TEXT_SIZE + 64] = "", end[CLOCK_TEXT_SIZE];
	char before[CLOCK_TEXT_SIZE + 128] = "Nothing before it can be restored from this backup.";

	if (next != NULL) {
		time_format_local(next->finished_us, end);
		(void) snprintf(after, sizeof(after), " Behind it, %s and later can be reached.", end);
	}
	if (search->survey.last_record >= search->backup->stop_lsn) {
		lsn_format(search->survey.last_record, lsn);
		if (commit->lsn != 0) {
			time_format_local(commit->time_us, time);
			(void) snprintf(before, sizeof(before),
					"Before it, --target-lsn=%s is the latest (last commit %s).", lsn, time);
		} else {
			(void) snprintf(before, sizeof(before), "Before it, --target-lsn=%s is the latest.", lsn);
		}
	}
	(void) fail_hint(why(search), "%s%s%s", before, after,
			 is_lost ? " \"pitr-catalog window\" says which servers may still have them." : "");
}

/* *is_lost: nobody removed it on purpose, so that it may still be found. */
static void why_gap(const struct search *search, const char *what, uint64_t missing, uint64_t missing_last,
		    bool *is_lost)
{
	struct wal_name first, last;

	*is_lost = !retired_wal_has(search->asked->retired, search->path, missing, missing_last);
	const char *gone = *is_lost ? "missing from the archive" : "no longer in the archive";
	const char *by = *is_lost ? "" : ": pitr-expire removed what the retention policy does not keep";
	wal_range_name(&search->reach->range, missing, &first);
	wal_range_name(&search->reach->range, missing_last, &last);
	if (missing == missing_last)
		(void) fail(why(search), ERROR_USAGE, "%s cannot be reached: the WAL segment \"%s\" is %s%s", what,
			    first.text, gone, by);
	else
		(void) fail(why(search), ERROR_USAGE,
			    "%s cannot be reached: %" PRIu64 " WAL segments are %s, \"%s\" to \"%s\"%s", what,
			    missing_last - missing + 1, gone, first.text, last.text, by);
}

/* The hole behind what is available: segments that are not there, or WAL that breaks off inside one. */
void why_hole(const struct search *search, const char *what)
{
	struct wal_name first;
	uint64_t missing, missing_last;
	const struct backup *next = NULL;
	bool is_lost = false;

	for (int i = 0; i < search->candidates.count; i++)
		if (search->candidates.backups[i]->start_lsn > search->backup->start_lsn &&
		    search_segment(search, search->candidates.backups[i]->start_lsn) > search->available)
			next = search->candidates.backups[i];
	if (search->survey.is_damaged) {
		(void) fail(why(search), search->survey.damage.kind, "%s cannot be reached: %.700s", what,
			    search->survey.damage.text);
	} else if (search->survey.ends_early) {
		char lsn[LSN_TEXT_SIZE];

		lsn_format(search->survey.end, lsn);
		wal_range_name(&search->reach->range, search->survey.reached, &first);
		(void) fail(why(search), ERROR_CORRUPT,
			    "%s cannot be reached: the WAL in segment \"%s\" breaks off at LSN %s", what, first.text,
			    lsn);
	} else if (wal_range_gap(&search->reach->range, search->reach->range.first, &missing, &missing_last)) {
		why_gap(search, what, missing, missing_last, &is_lost);
	} else {
		wal_range_name(&search->reach->range, search->reach->range.first, &first);
		(void) fail(why(search), ERROR_USAGE,
			    "%s cannot be reached: the archive has no WAL from segment \"%s\" on, which the backup "
			    "\"%s\" needs",
			    what, first.text, search->backup->label);
	}
	hint_before_hole(search, next, is_lost);
}

void why_nothing_whole(const struct search *search)
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(search->backup->stop_lsn, lsn);
	(void) fail(why(search), ERROR_CORRUPT,
		    "the archive has no complete record behind LSN %s, where the backup \"%s\" ends", lsn,
		    search->backup->label);
	(void) fail_hint(why(search), "Use --target-immediate to restore the backup alone.");
}

void why_beyond(const struct search *search)
{
	char lsn[LSN_TEXT_SIZE], record[LSN_TEXT_SIZE];

	lsn_format(search->survey.end, lsn);
	lsn_format(search->survey.last_record, record);
	(void) fail(why(search), ERROR_USAGE, "the target LSN is behind the archive, which ends at %s on %s", lsn,
		    search->leaf);
	(void) fail_hint(why(search), "Give --target-lsn=%s, the last record in it, or leave the target out.", record);
}

void why_two_points(const struct search *search)
{
	char text[2][CLOCK_TEXT_SIZE], lsn[2][LSN_TEXT_SIZE];

	for (int i = 0; i < 2; i++) {
		time_format_local(search->survey.points[i].time_us, text[i]);
		lsn_format(search->survey.points[i].lsn, lsn[i]);
	}
	(void) fail(why(search), ERROR_USAGE, "there are %d restore points \"%s\": of %s at LSN %s, of %s at LSN %s%s",
		    search->survey.point_count, search->asked->target->name, text[0], lsn[0], text[1], lsn[1],
		    search->survey.point_count > 2 ? ", …" : "");
	(void) fail_hint(why(search), "Choose one with --target-lsn=%s or --target-lsn=%s.", lsn[0], lsn[1]);
}

/* The last few restore points there are, since a name is easily mistyped. */
static void points_format(const struct wal_survey *survey, char *text, size_t size)
{
	int count = survey->point_count < WAL_SURVEY_POINTS_MAX ? survey->point_count : WAL_SURVEY_POINTS_MAX;
	size_t used = 0;

	text[0] = '\0';
	for (int i = count > 4 ? count - 4 : 0; i < count && used < size; i++)
		used += (size_t) snprintf(text + used, size - used, "%s\"%s\"", used > 0 ? ", " : "",
					  survey->points[i].name);
}

void why_not_found(const struct search *search)
{
	char what[TARGET_TEXT_SIZE], points[4 * 68];

	target_format(search->asked->target, what);
	(void) fail(why(search), ERROR_USAGE, "%s is not in the archive behind the end of %s backup on %s", what,
		    search->asked->chosen != NULL ? "the chosen" : "any", search->leaf);
	points_format(&search->survey, points, sizeof(points));
	if (search->asked->target->kind == TARGET_XID)
		(void) fail_hint(why(search), "Only the number of a top-level transaction that wrote something and has "
					      "ended can be a target.");
	else if (points[0] != '\0')
		(void) fail_hint(why(search), "Names are compared exactly. There is %s.", points);
	else
		(void) fail_hint(why(search), "There is no restore point at all; pg_create_restore_point() makes one.");
}
