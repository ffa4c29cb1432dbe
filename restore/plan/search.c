#include "plan/search.h"

#include <stdlib.h>
#include <string.h>

void search_release(struct search *search)
{
	free((void *) search->candidates.backups);
}

static int backup_newer(const void *left, const void *right)
{
	const struct backup *a = *(const struct backup *const *) left, *b = *(const struct backup *const *) right;

	return a->stop_lsn < b->stop_lsn ? 1 : a->stop_lsn > b->stop_lsn ? -1 : strcmp(a->label, b->label);
}

static bool is_wanted(const struct reaching *asked, const struct backup *backup, bool takes_damaged)
{
	return asked->chosen != NULL ? asked->chosen == backup : takes_damaged || !backup->is_damaged;
}

static bool candidates_find(const struct reaching *asked, const struct wal_path *path, bool takes_damaged,
			    struct candidates *candidates, struct error *err)
{
	const struct catalog *catalog = asked->catalog;

	candidates->backups = calloc((size_t) catalog->count + 1, sizeof(*candidates->backups));
	if (candidates->backups == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];

		if (is_wanted(asked, backup, takes_damaged) && wal_path_has_backup(path, backup))
			candidates->backups[candidates->count++] = backup;
	}
	qsort((void *) candidates->backups, (size_t) candidates->count, sizeof(*candidates->backups), backup_newer);
	return true;
}

bool search_init(struct search *search, const struct reaching *asked, const struct wal_path *path, bool takes_damaged,
		 struct reach *reach, struct error *err)
{
	*search = (struct search){.asked = asked, .path = path, .reach = reach};
	wal_path_format(path, search->leaf);
	return candidates_find(asked, path, takes_damaged, &search->candidates, err);
}

uint64_t search_segment(const struct search *search, uint64_t lsn)
{
	return wal_segment_of(lsn, search->backup->segment_size);
}

bool search_open(struct search *search, const struct backup *backup, bool *is_whole, struct error *err)
{
	wal_range_release(&search->reach->range);
	search->backup = backup;
	search->survey = (struct wal_survey){0};
	TRY(wal_range_list(search->asked->repo, search->path, backup->segment_size, backup->start_lsn,
			   &search->reach->range, err));
	if (search->asked->ignores_index)
		wal_range_ignore_index(&search->reach->range);
	if (search->asked->surviving != NULL)
		TRY(wal_range_add_directory(&search->reach->range, &search->asked->surviving->directory,
					    &search->asked->surviving->origin, err));
	if (search->asked->uses_partial)
		TRY(wal_range_add_partial(&search->reach->range, err));
	*is_whole = wal_range_reach(&search->reach->range, search->reach->range.first, &search->available) &&
		    search->available >= search_segment(search, backup->stop_lsn - 1);
	if (!*is_whole && search->available < search->reach->range.first)
		search->available = search->reach->range.first;
	return true;
}

bool search_survey(struct search *search, uint64_t last, struct error *err)
{
	search->survey.first = search->reach->range.first;
	search->survey.last = last;
	search->survey.jobs = search->asked->jobs;
	if (search->survey.from == 0)
		search->survey.from = search->backup->start_lsn;
	return wal_survey_run(search->asked->repo, &search->reach->range, &search->survey, err);
}

bool search_has_hole(const struct search *search)
{
	uint64_t missing, missing_last;

	return wal_survey_breaks(&search->survey) ||
	       wal_range_gap(&search->reach->range, search->reach->range.first, &missing, &missing_last);
}

const struct backup *search_backup_after(const struct search *search, int64_t time_us)
{
	const struct backup *found = NULL;

	for (int i = 0; i < search->candidates.count; i++)
		if (search->candidates.backups[i]->finished_us > time_us)
			found = search->candidates.backups[i];
	return found;
}
