#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "pg/control_file.h"
#include "repo/wal_drain.h"
#include "repo/wal_survey.h"

/* So many segments are looked through for a commit. */
#define SEEK_MAX 64

/* The commits of one segment, *count of them. */
static bool segment_survey(struct checking *checking, const struct wal_range *range, uint64_t number,
			   struct wal_survey *survey, struct error *err)
{
	*survey = (struct wal_survey){.first = number, .last = number, .jobs = 1};
	return wal_survey_run(checking->repo, range, survey, err);
}

/* --------------------------------------------------------------------------------------------- in the archive */

/* The last commit on the path, among its last segments; 0: none there. */
static bool archived_seek(struct checking *checking, const struct wal_range *range, int64_t *time_us, struct error *err)
{
	struct wal_survey survey;
	enum wal_source source;
	uint32_t size;

	*time_us = 0;
	if (range->run_count == 0)
		return true;
	uint64_t number = range->runs[range->run_count - 1].last;
	for (int i = 0; i < SEEK_MAX && wal_range_find(range, number, &source, &size); i++, number--) {
		TRY(segment_survey(checking, range, number, &survey, err));
		if (survey.last_commit.lsn != 0)
			*time_us = survey.last_commit.time_us;
		if (*time_us != 0 || number == 0)
			return true;
	}
	return true;
}

static bool archived_find(struct checking *checking, int64_t *time_us, struct error *err)
{
	const struct backup *newest = check_backup_newest(checking, true);
	const struct lineage *lineage = &checking->lineage;

	*time_us = 0;
	for (int i = 0; i < lineage->count; i++) {
		struct wal_range range WAL_RANGE_CLEANUP = {0};
		int64_t found_us;

		if (!lineage->is_end[i] || !lineage->is_proposed[i] || newest == NULL ||
		    !wal_path_has_backup(lineage->paths[i], newest))
			continue;
		TRY(wal_range_list(checking->repo, lineage->paths[i], newest->segment_size, newest->start_lsn, &range,
				   err));
		TRY(archived_seek(checking, &range, &found_us, err));
		*time_us = found_us > *time_us ? found_us : *time_us;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ not in the archive */

/* The first commit or abort behind the archive; 0: there is none. */
static bool unarchived_seek(struct checking *checking, const struct wal_range *range, uint64_t number, int64_t *time_us,
			    struct error *err)
{
	struct wal_survey survey;
	enum wal_source source;
	uint32_t size;

	for (int i = 0; i < SEEK_MAX && wal_range_find(range, number, &source, &size); i++, number++) {
		TRY(segment_survey(checking, range, number, &survey, err));
		*time_us = survey.commits > 0 ? survey.time_min_us : 0;
		if (*time_us != 0 || wal_survey_breaks(&survey))
			return true;
	}
	return true;
}

/* In the server's own WAL, from where the archive ends. */
static bool unarchived_find(struct checking *checking, int64_t *time_us, struct error *err)
{
	const char *pgdata = checking->options->pgdata;
	struct wal_directory directory WAL_DIRECTORY_CLEANUP = {.count = 0};
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct control_file control;
	struct wal_path path;

	*time_us = 0;
	TRY(control_file_read(pgdata, &control, err));
	if (control.state == CONTROL_IN_ARCHIVE_RECOVERY || control.state == CONTROL_SHUTDOWNED_IN_RECOVERY)
		return true;
	TRY(wal_directory_read(pgdata, control.system_identifier, &directory, err));
	if (directory.count == 0)
		return true;
	TRY(wal_drain_path(checking->repo, &directory, control.timeline, control.checkpoint, &path, err));
	TRY(wal_range_list(checking->repo, &path, directory.segment_size,
			   directory.files[0].number * directory.segment_size, &range, err));
	if (range.run_count == 0)
		return true;
	uint64_t behind = range.runs[range.run_count - 1].last + 1;
	TRY(wal_range_add_directory(&range, &directory, &checking->repo->layout, err));
	return unarchived_seek(checking, &range, behind, time_us, err);
}

/* ------------------------------------------------------------------------------------------------- the objective */

static void timeout_check(struct checking *checking, int64_t rpo_s, const char *rpo)
{
	if (!checking->has_settings || checking->in_recovery ||
	    (checking->archive_timeout_s != 0 && checking->archive_timeout_s < rpo_s))
		return;
	struct finding *finding =
		checking->archive_timeout_s == 0
			? finding_add(checking, CHECK_WARNING,
				      "archive_timeout is off: what is committed waits until its WAL segment is full, "
				      "and no more than %s of it is to be lost",
				      rpo)
			: finding_add(checking, CHECK_WARNING,
				      "archive_timeout is %" PRId64 " s, and no more than %s is to be lost",
				      checking->archive_timeout_s, rpo);
	finding_hint(finding, "Set archive_timeout = '%" PRId64 "s', or less, and reload the server.",
		     rpo_s > 120 ? 60
		     : rpo_s > 1 ? rpo_s / 2
				 : 1);
}

/* Commits tell it exactly. Where WAL cannot be read here, how long a file has been waiting does. */
static bool loss_check(struct checking *checking, int64_t rpo_s, const char *rpo, struct error *err)
{
	const struct measured *lag = &checking->metrics[METRIC_LAG];
	char age[CLOCK_TEXT_SIZE];
	int64_t oldest_us, age_s;

	TRY(unarchived_find(checking, &oldest_us, err));
	age_s = oldest_us == 0 || oldest_us > checking->now_us ? 0 : (checking->now_us - oldest_us) / 1000000;
	metric_set(checking, METRIC_UNARCHIVED, age_s);
	metric_limits(checking, METRIC_UNARCHIVED, rpo_s, rpo_s);
	bool is_file = age_s < rpo_s && lag->is_set && lag->value >= rpo_s;
	if (age_s < rpo_s && !is_file)
		return true;
	duration_format(is_file ? lag->value : age_s, age);
	finding_hint(finding_add(checking, CHECK_CRITICAL,
				 "the oldest %s that is not archived is %s old, and no more than %s is to be lost",
				 is_file ? "WAL file" : "commit", age, rpo),
		     "Does archiving keep up, and is archive_timeout short enough?");
	return true;
}

bool check_rpo(struct checking *checking, struct error *err)
{
	int64_t rpo_s = checking->options->rpo / 1000, newest_us;
	int64_t findings = checking->finding_total;
	char rpo[CLOCK_TEXT_SIZE], newest[CLOCK_TEXT_SIZE];

	if (rpo_s == 0)
		return true;
	duration_format(rpo_s, rpo);
	TRY(archived_find(checking, &newest_us, err));
	if (newest_us != 0)
		metric_set(checking, METRIC_COMMIT_TIME, newest_us / 1000000);
	if (checking->has_server) {
		timeout_check(checking, rpo_s, rpo);
		TRY(loss_check(checking, rpo_s, rpo, err));
	}
	if (checking->finding_total != findings)
		return true;
	time_format_local(newest_us / 1000000 * 1000000, newest);
	finding_add(checking, CHECK_OK, "%s%s (rpo: %s%s)",
		    newest_us == 0 ? "there is no commit among the last segments of the archive"
				   : "the last commit in the archive is of ",
		    newest_us == 0 ? "" : newest, rpo,
		    checking->has_server ? "" : "; what the server has besides is not seen from here");
	return true;
}
