/* WAL along every path of timelines: of each backup from its first byte to its last, and onward. What is damaged or
 * missing divides a path into stretches; a moment can be restored when it lies in one that begins with a backup. What
 * pitr-expire has removed divides it too, and is no loss: nobody promises what lies behind it, up to the next backup.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "repo/lineage.h"
#include "repo/retired_wal.h"
#include "repo/wal_survey.h"
#include "verify.h"

/* Segments that are absent although a later one is there, and although nobody removed them. */
struct hole {
	uint64_t first, last;
};

/* A path, and how far it has been looked at. */
struct path_walk {
	struct verify *verify;
	const struct wal_path *path;
	struct wal_range range;
	size_t hole_count, hole_capacity;
	struct hole *holes; /* owned; ascending */
	bool has_window;
	uint64_t reached;	      /* the last segment of the window … */
	int64_t latest_us;	      /* … and the last moment in it that can be restored */
	const struct backup *damaged; /* the first of the path that cannot be restored, before any window */
};

static uint64_t segment_first(const struct backup *backup)
{
	return wal_segment_of(backup->start_lsn, backup->segment_size);
}

static uint64_t segment_last(const struct backup *backup)
{
	return wal_segment_of(backup->stop_lsn - 1, backup->segment_size);
}

/* ------------------------------------------------------------------------------------------------- segments */

static void segment_key(const struct path_walk *walk, uint64_t number, char key[LAYOUT_KEY_SIZE])
{
	enum wal_source source = WAL_FROM_ARCHIVE;
	struct wal_name name;
	uint32_t size;

	wal_range_name(&walk->range, number, &name);
	if (wal_range_find(&walk->range, number, &source, &size) && source == WAL_FROM_PARTIAL)
		name = walk->range.partial;
	layout_wal(&walk->path->layout, &name, key);
}

static bool segment_is_there(const struct path_walk *walk, uint64_t number)
{
	enum wal_source source;
	uint32_t size;

	return wal_range_find(&walk->range, number, &source, &size);
}

/* Damaged or missing. */
static bool segment_is_bad(const struct path_walk *walk, uint64_t number)
{
	char key[LAYOUT_KEY_SIZE];

	if (!segment_is_there(walk, number))
		return true;
	segment_key(walk, number, key);
	return problem_find(&walk->verify->problems, key) != NULL;
}

/* Removed on purpose, as a fact says. */
static bool segment_is_retired(const struct path_walk *walk, uint64_t number)
{
	const struct wal_needed *retired = &walk->verify->retired;

	return retired->count > 0 && retired_wal_has(retired, walk->path, number, number);
}

/* ------------------------------------------------------------------------------------------------- holes */

/* Where the next backup of the path begins; UINT64_MAX: there is none. */
static uint64_t backup_next(const struct path_walk *walk, uint64_t number)
{
	const struct catalog *catalog = &walk->verify->catalog;
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < catalog->count; i++) {
		const struct backup *backup = &catalog->backups[i];

		if (segment_first(backup) > number && segment_first(backup) < next &&
		    wal_path_has_backup(walk->path, backup))
			next = segment_first(backup);
	}
	return next;
}

/* What is missing behind what was removed nobody needs, before the next backup. */
static bool holes_add(struct path_walk *walk, uint64_t missing, uint64_t missing_last, struct error *err)
{
	while (missing <= missing_last) {
		struct hole hole = {missing, missing};

		if (segment_is_retired(walk, missing)) {
			missing = backup_next(walk, missing);
			continue;
		}
		while (hole.last < missing_last && !segment_is_retired(walk, hole.last + 1))
			hole.last++;
		TRY(ARRAY_RESERVE(&walk->holes, walk->hole_count, &walk->hole_capacity, err));
		walk->holes[walk->hole_count++] = hole;
		missing = hole.last + 1;
	}
	return true;
}

/* What was removed is asked after what is there was listed: the fact comes before the removal. */
static bool holes_find(struct path_walk *walk, struct error *err)
{
	uint64_t from = walk->range.first, missing, missing_last;

	if (wal_range_gap_count(&walk->range) > 0)
		TRY(verify_retired_read(walk->verify, err));
	for (; wal_range_gap(&walk->range, from, &missing, &missing_last); from = missing_last + 1)
		TRY(holes_add(walk, missing, missing_last, err));
	return true;
}

/* Its problem has the name of the first segment. */
static bool hole_note(const struct path_walk *walk, const struct hole *hole, char key[LAYOUT_KEY_SIZE],
		      struct error *err)
{
	struct wal_name last;
	char why[128];

	segment_key(walk, hole->first, key);
	wal_range_name(&walk->range, hole->last, &last);
	if (hole->first == hole->last)
		(void) snprintf(why, sizeof(why), "it is missing");
	else
		(void) snprintf(why, sizeof(why), "it is missing, and so are those up to \"%s\": %" PRIu64 " in all",
				last.text, hole->last - hole->first + 1);
	return problem_add(&walk->verify->problems, key, OBJECT_WAL, VERIFY_MISSING, why, err);
}

static bool holes_note(const struct path_walk *walk, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	for (size_t i = 0; i < walk->hole_count; i++)
		TRY(hole_note(walk, &walk->holes[i], key, err));
	return true;
}

/* Under which name its problem is known: of segments that are missing one after the other that of the first. Makes the
 * problem of what is missing where a listing shows no hole: at the end, or because it was removed. */
static bool segment_problem(const struct path_walk *walk, uint64_t number, char key[LAYOUT_KEY_SIZE], struct error *err)
{
	segment_key(walk, number, key);
	if (segment_is_there(walk, number))
		return true;
	for (size_t i = 0; i < walk->hole_count; i++)
		if (walk->holes[i].first <= number && number <= walk->holes[i].last)
			return hole_note(walk, &walk->holes[i], key, err);
	return problem_add(&walk->verify->problems, key, OBJECT_WAL, VERIFY_MISSING,
			   segment_is_retired(walk, number) ? "it was removed by pitr-expire, and a backup needs it"
							    : "the WAL from here on is missing, and a backup needs it",
			   err);
}

/* The last segment that is reached from `first` on over good ones. `first` is good. */
static uint64_t segments_reach(const struct path_walk *walk, uint64_t first)
{
	while (!segment_is_bad(walk, first + 1))
		first++;
	return first;
}

static uint64_t range_last(const struct wal_range *range)
{
	return range->run_count == 0 ? range->first : range->runs[range->run_count - 1].last;
}

/* ------------------------------------------------------------------------------------------------- backups */

/* All WAL that makes the backup consistent. */
static bool backup_wal_verify(const struct path_walk *walk, size_t index, struct error *err)
{
	struct verify *verify = walk->verify;
	const struct backup *backup = &verify->catalog.backups[index];

	for (uint64_t number = segment_first(backup); number <= segment_last(backup); number++) {
		char key[LAYOUT_KEY_SIZE], why[1024];

		if (!segment_is_bad(walk, number))
			continue;
		TRY(segment_problem(walk, number, key, err));
		const struct problem *problem = problem_find(&verify->problems, key);
		(void) snprintf(why, sizeof(why), "its WAL, %.400s: %.500s", key,
				problem != NULL ? problem->why : "it cannot be used");
		verify_backup_damaged(verify, index, why);
		TRY(problem_needed(&verify->problems, key, backup->label, err));
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------- what is lost */

static bool lost_is_known(const struct verify *verify, const struct lost_stretch *lost)
{
	for (size_t i = 0; i < verify->lost_count; i++)
		if (strcmp(verify->lost[i].because, lost->because) == 0 &&
		    strcmp(verify->lost[i].label, lost->label) == 0 &&
		    (lost->because[0] != '\0' || strcmp(verify->lost[i].damaged, lost->damaged) == 0))
			return true;
	return false;
}

static bool lost_append(struct verify *verify, const struct lost_stretch *lost, struct error *err)
{
	TRY(ARRAY_RESERVE(&verify->lost, verify->lost_count, &verify->lost_capacity, err));
	verify->lost[verify->lost_count++] = *lost;
	return true;
}

/* The stretch before a younger path leaves an older one is of both: it is told once. */
static bool lost_add(struct verify *verify, const struct lost_stretch *lost, struct error *err)
{
	return lost_is_known(verify, lost) || lost_append(verify, lost, err);
}

/* What lies between the end of a window and the next backup (NULL: there is none) that can be restored. */
static bool stretch_lose(const struct path_walk *walk, const struct backup *next, struct error *err)
{
	struct verify *verify = walk->verify;
	struct lost_stretch lost = {.timeline = wal_path_timeline(walk->path), .has_after = true};
	uint64_t last = next != NULL ? segment_first(next) : range_last(&walk->range) + 1;

	(void) snprintf(lost.branch, sizeof(lost.branch), "%s", layout_branch(&walk->path->layout));
	lost.after_us = walk->has_window ? walk->latest_us : walk->damaged->finished_us;
	lost.has_until = next != NULL;
	if (next != NULL) {
		lost.until_us = next->finished_us;
		(void) snprintf(lost.label, sizeof(lost.label), "%s", next->label);
	}
	if (walk->has_window)
		TRY(segment_problem(walk, walk->reached + 1, lost.because, err));
	else
		(void) snprintf(lost.damaged, sizeof(lost.damaged), "%s", walk->damaged->label);
	for (uint64_t number = walk->has_window ? walk->reached + 1 : last; number < last; number++) {
		char key[LAYOUT_KEY_SIZE];

		if (!segment_is_there(walk, number) && segment_is_retired(walk, number))
			break;
		if (!segment_is_bad(walk, number))
			continue;
		TRY(segment_problem(walk, number, key, err));
		TRY(problem_needed(&verify->problems, key, "", err));
	}
	return lost_add(verify, &lost, err);
}

/* What the summaries tell on the way: a segment that does not continue the one before it, WAL that breaks off. Of a
 * segment in which it does, what is there is as it was archived: it is the next one that cannot be reached. */
static bool survey_judge(const struct path_walk *walk, const struct wal_survey *survey, struct error *err)
{
	enum verify_state state = survey->is_damaged || survey->ends_early ? VERIFY_DAMAGED : VERIFY_UNREAD;
	char key[LAYOUT_KEY_SIZE];
	const char *why;

	if (survey->is_damaged)
		why = survey->damage.text;
	else if (survey->ends_early)
		why = "it cannot be reached: the WAL breaks off in the segment before it";
	else if (!survey->understood)
		why = "its WAL is of a version that this program does not know";
	else
		return true;
	segment_key(walk, survey->reached + (survey->ends_early ? 1 : 0), key);
	return problem_add(&walk->verify->problems, key, OBJECT_WAL, state, why, err);
}

/* From the backup on to the end, or to what is bad. *is_whole: the backup itself has its WAL. */
static bool window_open(struct path_walk *walk, size_t index, bool *is_whole, struct error *err)
{
	struct verify *verify = walk->verify;
	const struct backup *backup = &verify->catalog.backups[index];
	struct wal_survey *survey = calloc(1, sizeof(*survey));

	if (survey == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	survey->first = segment_first(backup);
	survey->last = segments_reach(walk, survey->first);
	survey->from = backup->start_lsn;
	survey->jobs = (int) verify->options->jobs;
	bool done = wal_survey_run(verify->repo, &walk->range, survey, err) && survey_judge(walk, survey, err) &&
		    backup_wal_verify(walk, index, err);
	*is_whole = !verify->backups[index].is_damaged;
	if (done && *is_whole) {
		bool is_behind = survey->last_commit.lsn != 0 && survey->last_commit.time_us > backup->finished_us;

		walk->has_window = true;
		walk->reached = segments_reach(walk, survey->first);
		walk->latest_us = is_behind ? survey->last_commit.time_us : backup->finished_us;
	}
	free(survey);
	return done;
}

/* Is it WAL removed on purpose that ends, before `until`, what the window or the damaged backup could have reached? */
static bool ends_on_purpose(const struct path_walk *walk, uint64_t until)
{
	uint64_t number;

	if (!walk->has_window && walk->damaged == NULL)
		return false;
	number = walk->has_window ? walk->reached + 1 : segment_last(walk->damaged) + 1;
	while (!walk->has_window && number < until && segment_is_there(walk, number))
		number++;
	return number < until && !segment_is_there(walk, number) && segment_is_retired(walk, number);
}

static bool backup_walk(struct path_walk *walk, size_t index, struct error *err)
{
	struct verify *verify = walk->verify;
	const struct backup *backup = &verify->catalog.backups[index];
	bool is_whole = false;

	TRY(backup_wal_verify(walk, index, err));
	if (walk->has_window && segment_first(backup) <= walk->reached)
		return true; /* it lies in the window, whether it is of use or not */
	if (ends_on_purpose(walk, segment_first(backup))) {
		walk->has_window = false;
		walk->damaged = NULL;
	}
	struct path_walk before = *walk;
	if (!verify->backups[index].is_damaged)
		TRY(window_open(walk, index, &is_whole, err));
	if (!is_whole) {
		if (walk->damaged == NULL)
			walk->damaged = backup;
		return true;
	}
	if (before.has_window || before.damaged != NULL)
		return stretch_lose(&before, backup, err);
	return true;
}

/* ------------------------------------------------------------------------------------------------- paths */

static void walk_release(struct path_walk *walk)
{
	wal_range_release(&walk->range);
	free(walk->holes);
}

static bool path_verify(struct verify *verify, const struct wal_path *path, struct error *err)
{
	struct path_walk walk = {.verify = verify, .path = path};
	bool is_listed = false, done = true;

	for (int i = 0; i < verify->catalog.count && done; i++) {
		const struct backup *backup = &verify->catalog.backups[i];

		if (!wal_path_has_backup(path, backup))
			continue;
		verify->backups[i].is_on_path = true;
		if (!is_listed) {
			done = wal_range_list(verify->repo, path, backup->segment_size, backup->start_lsn, &walk.range,
					      err) &&
			       wal_range_add_partial(&walk.range, err) && holes_find(&walk, err) &&
			       holes_note(&walk, err);
			if (done && verify->has_bad_index)
				wal_range_ignore_index(&walk.range);
		}
		is_listed = true;
		done = done && backup_walk(&walk, (size_t) i, err);
	}
	bool ends_late = is_listed && (walk.has_window ? walk.reached < range_last(&walk.range) : walk.damaged != NULL);
	ends_late = ends_late && !ends_on_purpose(&walk, range_last(&walk.range) + 1);
	done = done && (!ends_late || stretch_lose(&walk, NULL, err));
	walk_release(&walk);
	return done;
}

static bool backup_verify(struct verify *verify, const struct wal_path *path, size_t index, struct error *err)
{
	const struct backup *backup = &verify->catalog.backups[index];
	struct path_walk walk = {.verify = verify, .path = path};

	verify->backups[index].is_on_path = true;
	bool done = wal_range_list(verify->repo, path, backup->segment_size, backup->start_lsn, &walk.range, err) &&
		    holes_find(&walk, err) && backup_wal_verify(&walk, index, err);
	walk_release(&walk);
	return done;
}

/* Of a path that is no end, what is on it is on one that goes on; but a backup may end where nobody went on from. */
static bool paths_verify(struct verify *verify, const struct lineage *lineage, struct error *err)
{
	for (int i = 0; i < lineage->count && verify->scope != VERIFY_BACKUP; i++)
		if (lineage->is_end[i])
			TRY(path_verify(verify, lineage->paths[i], err));
	for (int i = 0; i < lineage->count; i++)
		for (int k = 0; k < verify->catalog.count; k++)
			if (verify->backups[k].is_looked_at && !verify->backups[k].is_on_path &&
			    wal_path_has_backup(lineage->paths[i], &verify->catalog.backups[k]))
				TRY(backup_verify(verify, lineage->paths[i], (size_t) k, err));
	for (int i = 0; i < verify->catalog.count; i++)
		if (verify->backups[i].is_looked_at && !verify->backups[i].is_on_path)
			verify_backup_damaged(verify, (size_t) i,
					      "the history of its timeline, or where its branch comes "
					      "from, cannot be read");
	return true;
}

/* ------------------------------------------------------------------------------------------------- histories */

/* Nothing on that timeline can be restored. */
static bool timeline_lose(struct verify *verify, const char *branch, uint32_t timeline, const char *key,
			  struct error *err)
{
	struct lost_stretch lost = {.timeline = timeline};

	(void) snprintf(lost.branch, sizeof(lost.branch), "%s", branch);
	(void) snprintf(lost.because, sizeof(lost.because), "%s", key);
	return problem_needed(&verify->problems, key, "", err) && lost_append(verify, &lost, err);
}

/* Segments of a timeline are of use only with its history, and those of a branch only with its origin. */
static bool timeline_verify(struct verify *verify, const char *branch, uint32_t timeline, struct error *err)
{
	struct layout layout;
	struct wal_name history;
	char key[LAYOUT_KEY_SIZE];
	bool has_origin = strcmp(branch, LAYOUT_BRANCH_DEFAULT) != 0;

	layout_origin(&verify->repo->layout, branch, key);
	if (has_origin && verify_table_find(&verify->table, key) == NULL)
		TRY(problem_add(&verify->problems, key, OBJECT_FACT, VERIFY_MISSING, "it is missing", err));
	if (has_origin && problem_find(&verify->problems, key) != NULL)
		return timeline_lose(verify, branch, timeline, key, err);
	if (!branch_chain_read(verify->repo, branch, &layout, err))
		return err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CORRUPT; /* of an ancestor: told there */
	if (timeline == 1)
		return true;
	wal_name_of_history(timeline, &history);
	layout_wal(&layout, &history, key);
	if (verify_table_find(&verify->table, key) == NULL)
		TRY(problem_add(&verify->problems, key, OBJECT_HISTORY, VERIFY_MISSING, "it is missing", err));
	return problem_find(&verify->problems, key) == NULL || timeline_lose(verify, branch, timeline, key, err);
}

/* Objects are sorted by name: by branch, and there by timeline. */
static bool timelines_verify(struct verify *verify, struct error *err)
{
	char branch[BRANCH_NAME_MAX + 1] = "";
	uint32_t timeline = 0;

	for (size_t i = 0; i < verify->table.count; i++) {
		const struct verify_object *object = &verify->table.objects[i];
		struct object_name name;

		if (object->kind != OBJECT_WAL || !object_name_parse(&verify->repo->layout, object->key, &name) ||
		    (strcmp(name.branch, branch) == 0 && name.wal.timeline == timeline))
			continue;
		(void) snprintf(branch, sizeof(branch), "%s", name.branch);
		timeline = name.wal.timeline;
		TRY(timeline_verify(verify, branch, timeline, err));
	}
	return true;
}

bool verify_wal(struct verify *verify, struct error *err)
{
	struct lineage lineage LINEAGE_CLEANUP = {0};

	if (verify->scope != VERIFY_BACKUP)
		TRY(timelines_verify(verify, err));
	if (verify->catalog.count == 0)
		return true;
	return lineage_read(verify->repo, verify->catalog.backups[0].segment_size, &lineage, err) &&
	       paths_verify(verify, &lineage, err);
}
