/* Questions to the summaries of an archive answer as a walk of all its records would. */
#include "tap.h"
#include "wal_writer.h"

#include "repo/wal_range.h"
#include "repo/wal_store.h"
#include "repo/wal_survey.h"

#define FIRST (BASE / SEGMENT)

static struct repo repo_made(void)
{
	struct repo repo = {.unlocking = PTHREAD_MUTEX_INITIALIZER, .host = "host"};
	struct error err = {0};

	if (!storage_open_memory(&repo.storage, &err) || !secrets_open(NULL, &repo.secrets, &err) ||
	    !layout_init(&repo.layout, "main", &err))
		abort();
	repo.layout.system_identifier = 4711;
	return repo;
}

/* The path of timeline 1 of the default branch. */
static void path_root(struct wal_path *path)
{
	struct error err;

	if (!layout_init(&path->layout, "main", &err))
		abort();
	path->layout.system_identifier = 4711;
	timeline_history_root(1, &path->history);
}

static void repo_release(struct repo *repo)
{
	storage_close(repo->storage);
	secrets_close(repo->secrets);
}

static bool put(struct repo *repo, const struct writer *writer, uint32_t timeline, uint64_t number)
{
	struct bytes content = bytes_of(writer->wal + (number - FIRST) * SEGMENT, SEGMENT);
	struct wal_segment segment;
	struct wal_name name;
	struct error err = {0};

	wal_name_of_segment(timeline, number, SEGMENT, &name);
	return wal_segment_parse(content, &segment, &err) && wal_store_put(repo, &name, content, &segment, &err);
}

/* What the records say, one by one. `end`: records that are not whole before it are not in the archive. */
static struct wal_survey expected(const struct writer *writer, const struct wal_survey *asked, uint64_t end)
{
	struct wal_survey answer = {0};

	for (int i = 0; i < writer->count && writer->events[i].end <= end; i++) {
		const struct wal_event *event = &writer->events[i];
		bool ends = event->kind == WAL_COMMIT || event->kind == WAL_ABORT;
		bool is_behind = asked->exclusive ? event->time_us >= asked->time_us : event->time_us > asked->time_us;

		if (asked->seeks_lsn && event->lsn >= asked->lsn) {
			answer.stop_record = event->lsn;
			if (asked->exclusive)
				return answer;
		}
		if (event->lsn >= asked->from)
			answer.last_record = event->lsn;
		if (event->kind == WAL_RESTORE_POINT && event->lsn >= asked->from && asked->name != NULL &&
		    strcmp(event->name, asked->name) == 0)
			answer.points[answer.point_count++].lsn = event->lsn;
		bool is_sought = asked->seeks_xid && event->xid == asked->xid;
		if (ends && ((asked->seeks_time && is_behind) || is_sought) && event->lsn >= asked->from) {
			answer.stop.lsn = answer.stop_record = event->lsn;
			return answer;
		}
		if (asked->until != 0 && event->lsn > asked->until)
			continue;
		answer.commits += event->kind == WAL_COMMIT;
		answer.aborts += event->kind == WAL_ABORT;
		if (event->kind == WAL_COMMIT) {
			answer.last_commit.lsn = event->lsn;
			answer.last_commit.time_us = event->time_us;
		}
		if (answer.stop_record != 0)
			return answer;
	}
	return answer;
}

static bool same(const struct wal_survey *got, const struct wal_survey *wanted, bool has_stop)
{
	bool points = got->point_count == wanted->point_count;

	for (int i = 0; points && i < wanted->point_count; i++)
		points = got->points[i].lsn == wanted->points[i].lsn;
	return points && got->stop.lsn == wanted->stop.lsn && got->stop_record == wanted->stop_record &&
	       got->last_commit.lsn == wanted->last_commit.lsn &&
	       got->last_commit.time_us == wanted->last_commit.time_us && got->commits == wanted->commits &&
	       got->aborts == wanted->aborts && (has_stop || got->last_record == wanted->last_record);
}

/* Each that counts is either found or lies where the records have to be read; none is found that was not written. */
static bool tablespaces_agree(const struct writer *writer, const struct wal_survey *survey, uint64_t end)
{
	const struct wal_tablespaces *found = &survey->tablespaces;
	int right = 0;

	if (survey->stop_record != 0)
		end = survey->seeks_lsn && !survey->exclusive ? survey->stop_end : survey->stop_record;
	for (int i = 0; i < writer->count && writer->events[i].end <= end; i++) {
		const struct wal_event *event = &writer->events[i];
		bool is_found = false;

		if (event->kind != WAL_TABLESPACE || event->lsn < survey->from)
			continue;
		for (int k = 0; k < found->count; k++) {
			const struct wal_tablespace *item = &found->items[k];

			is_found = is_found || (item->oid == event->tablespace && item->lsn <= event->lsn &&
						strcmp(item->path, event->path) == 0);
			right += item->lsn == event->lsn && item->previous == event->previous;
		}
		if (!is_found && (!found->has_unread || event->lsn / SEGMENT < found->unread_first ||
				  (event->end - 1) / SEGMENT > found->unread_last))
			return false;
	}
	return right == found->count || survey->stop_record != 0;
}

static bool agrees(struct repo *repo, const struct wal_range *range, const struct writer *writer,
		   struct wal_survey survey)
{
	uint64_t end = (survey.last + 1) * SEGMENT;
	struct wal_survey wanted = expected(writer, &survey, end);
	struct error err = {0};

	if (!wal_survey_run(repo, range, &survey, &err)) {
		printf("# %s\n", err.text);
		return false;
	}
	return same(&survey, &wanted, wanted.stop_record != 0) && survey.understood &&
	       tablespaces_agree(writer, &survey, end);
}

/* Full segments with everything in them; a commit crosses every boundary, the time of which is sought too. */
static struct writer *wal_made(uint16_t magic)
{
	struct writer *writer = writer_open(magic);

	for (unsigned i = 1; i < SEGMENTS - 1; i++) {
		const struct part part = {.subxacts = 100};

		while (writer->position < BASE + i * SEGMENT - 4 * PAGE) {
			append_random(writer);
			append_other(writer, (uint32_t) random() % 3000);
			if (writer->count % 100 == 0)
				append_restore_point(writer, writer->count % 200 == 0 ? "even" : "odd");
		}
		fill_to(writer, BASE + i * SEGMENT - 64);
		append_transaction(writer, i % 2 == 1, &part);
	}
	return writer;
}

static bool crosses(const struct wal_event *event)
{
	return event->lsn / SEGMENT != (event->end - 1) / SEGMENT;
}

static void test_times(struct repo *repo, const struct wal_range *range, const struct writer *writer, uint64_t last)
{
	int right = 0, tried = 0;

	for (int i = 0; i < writer->count; i++) {
		bool is_near = crosses(&writer->events[i]) || (i > 0 && crosses(&writer->events[i - 1])) ||
			       (i + 1 < writer->count && crosses(&writer->events[i + 1]));

		if (!is_near && i % 97 != 0)
			continue;
		struct wal_survey survey = {.first = FIRST,
					    .last = last,
					    .from = BASE,
					    .jobs = 1 + i % 3,
					    .seeks_time = true,
					    .exclusive = i % 2 == 1,
					    .time_us = NOON + POSTGRES_EPOCH_US + i};

		if (i % 5 == 0)
			survey.from = writer->events[i / 2].lsn;
		right += agrees(repo, range, writer, survey);
		tried++;
	}
	ok(right == tried && tried > 20, "%d of %d times are found as a walk of all records finds them", right, tried);
}

/* No other transaction with a greater number, or none with a smaller one, ends in its segment. */
static bool is_extreme(const struct writer *writer, int place)
{
	const struct wal_event *event = &writer->events[place];
	bool is_least = true, is_greatest = true;

	for (int i = 0; i < writer->count; i++) {
		const struct wal_event *other = &writer->events[i];

		if ((other->kind != WAL_COMMIT && other->kind != WAL_ABORT) || crosses(other) ||
		    other->lsn / SEGMENT != event->lsn / SEGMENT || other->xid == event->xid)
			continue;
		is_least = is_least && xid_precedes(event->xid, other->xid);
		is_greatest = is_greatest && xid_precedes(other->xid, event->xid);
	}
	return !crosses(event) && (is_least || is_greatest);
}

/* Every transaction that ends near a boundary, some of the others, and some that there are not. */
static void test_transactions(struct repo *repo, const struct wal_range *range, const struct writer *writer,
			      uint64_t last)
{
	int right = 0, tried = 0, found = 0;

	for (int i = 0; i < writer->count; i++) {
		const struct wal_event *event = &writer->events[i];
		struct wal_survey survey = {.first = FIRST, .last = last, .from = BASE, .jobs = 2, .seeks_xid = true};

		if ((event->kind != WAL_COMMIT && event->kind != WAL_ABORT) ||
		    (!crosses(event) && i % 29 != 0 && !is_extreme(writer, i)))
			continue;
		survey.xid = i % 7 == 0 && !is_extreme(writer, i) ? 0x7FFFFFFFu : event->xid;
		if (i % 3 == 0)
			survey.from = event->lsn;
		right += agrees(repo, range, writer, survey);
		found += survey.xid == event->xid;
		tried++;
	}
	ok(right == tried && found > 10, "%d of %d transactions are found, or not, as a walk finds them", right, tried);
}

/* At the start of records, behind it, and before; at boundaries and elsewhere. */
static void test_positions(struct repo *repo, const struct wal_range *range, const struct writer *writer, uint64_t last)
{
	int right = 0, tried = 0;

	for (int i = 2; i + 2 < writer->count; i++) {
		bool is_near = crosses(&writer->events[i]) || crosses(&writer->events[i - 1]);

		/* Where nothing counts in the segment, the record itself is not looked for. */
		if (!is_near && i % 97 != 0)
			continue;
		struct wal_survey survey = {.first = FIRST,
					    .last = last,
					    .from = BASE,
					    .jobs = 2,
					    .seeks_lsn = true,
					    .exclusive = i % 2 == 1,
					    .lsn = writer->events[i].lsn + (uint64_t) (i % 3) - 1};

		right += agrees(repo, range, writer, survey);
		tried++;
	}
	ok(right == tried && tried > 20, "%d of %d positions are found, and what is before them", right, tried);
}

static void test_limits(struct repo *repo, const struct wal_range *range, const struct writer *writer, uint64_t last)
{
	int right = 0, tried = 0;

	for (int i = 1; i < writer->count; i += 131) {
		struct wal_survey survey = {
			.first = FIRST, .last = last, .from = BASE, .jobs = 2, .name = i % 2 ? "even" : "odd"};

		survey.until = writer->events[i].lsn - (uint64_t) (i % 3 == 0);
		if (survey.until < (last + 1) * SEGMENT)
			right += agrees(repo, range, writer, survey), tried++;
	}
	ok(right == tried && tried > 10, "%d of %d limits are kept, and restore points found by name", right, tried);
	for (uint64_t end = FIRST; end <= last; end++)
		ok(agrees(repo, range, writer,
			  (struct wal_survey){.first = FIRST, .last = end, .from = BASE, .jobs = 2}),
		   "the end of %d segments: the last complete record", (int) (end - FIRST + 1));
}

/* The last record is one that began in the segment before. */
static void test_last_crossing(void)
{
	struct writer *writer = writer_open(MAGIC_18);
	struct repo repo = repo_made();
	struct wal_path path;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct error err = {0};

	path_root(&path);
	fill_to(writer, BASE + SEGMENT - 200);
	append_other(writer, 300000);
	ok(put(&repo, writer, 1, FIRST) && put(&repo, writer, 1, FIRST + 1) &&
		   wal_range_list(&repo, &path, SEGMENT, BASE, &range, &err),
	   "an archive that ends with a record of two segments");
	ok(agrees(&repo, &range, writer,
		  (struct wal_survey){.first = FIRST, .last = FIRST + 1, .from = BASE, .jobs = 1}),
	   "its last record is that one");
	ok(agrees(&repo, &range, writer, (struct wal_survey){.first = FIRST, .last = FIRST, .from = BASE, .jobs = 1}),
	   "without the second segment it is the one before");
	repo_release(&repo);
	writer_close(writer);
}

/* A record that is larger than a segment, and whose header the segment in which it begins does not hold. */
static void test_position_of_large(void)
{
	struct writer *writer = writer_open(MAGIC_18);
	struct repo repo = repo_made();
	struct wal_path path;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct error err = {0};

	path_root(&path);
	append_simple_commit(writer);
	fill_to(writer, BASE + SEGMENT - 8);
	append_other(writer, 2 * SEGMENT + SEGMENT / 2);
	uint64_t large = writer->previous;
	append_simple_commit(writer);
	for (uint64_t i = 0; i < 4; i++)
		if (!put(&repo, writer, 1, FIRST + i))
			abort();
	struct wal_survey survey = {
		.first = FIRST, .last = FIRST + 3, .from = BASE, .jobs = 1, .seeks_lsn = true, .lsn = large};
	ok(wal_range_list(&repo, &path, SEGMENT, BASE, &range, &err) && wal_survey_run(&repo, &range, &survey, &err) &&
		   survey.stop_record == large && survey.reached == FIRST + 3,
	   "a position is found at a record of which no summary has the header");
	repo_release(&repo);
	writer_close(writer);
}

/* One that crosses, of which the path is kept, or is not; one before the beginning, and more than are kept. */
static void test_tablespaces(size_t length)
{
	struct writer *writer = writer_open(MAGIC_18);
	struct repo repo = repo_made();
	struct wal_path way;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct wal_survey survey = {.first = FIRST, .last = FIRST + 2, .jobs = 1};
	struct wal_tablespaces *found = &survey.tablespaces;
	char path[WAL_PATH_SIZE] = "/";
	struct error err = {0};

	memset(path + 1, 'x', length - 1);
	path_root(&way);
	append_tablespace(writer, 1, "/before");
	append_other(writer, 10);
	survey.from = writer->previous;
	for (uint32_t i = 0; i < 3; i++)
		append_tablespace(writer, 2, "/again");
	while (writer->position + 2 * PAGE < BASE + SEGMENT)
		append_other(writer, 5000);
	fill_to(writer, BASE + SEGMENT - 48);
	append_tablespace(writer, 3, path);
	uint64_t crossing = writer->previous;
	append_other(writer, SEGMENT);
	append_simple_commit(writer);
	for (uint64_t i = 0; i < 3; i++)
		if (!put(&repo, writer, 1, FIRST + i))
			abort();
	bool done = wal_range_list(&repo, &way, SEGMENT, BASE, &range, &err) &&
		    wal_survey_run(&repo, &range, &survey, &err);
	bool has_crossing = false;
	for (int i = 0; i < found->count; i++)
		has_crossing =
			has_crossing || (found->items[i].lsn == crossing && strcmp(found->items[i].path, path) == 0);
	ok(done && tablespaces_agree(writer, &survey, BASE + 3 * SEGMENT) && found->items[0].oid == 2,
	   "tablespaces that are created are found, those before the beginning are not");
	if (length < 60)
		ok(has_crossing, "… also one that crosses segments");
	else
		ok(!has_crossing && found->has_unread && found->unread_first == FIRST &&
			   found->unread_last == FIRST + 1,
		   "… and of one that crosses with a long path it is said which segments have to be read");
	repo_release(&repo);
	writer_close(writer);
}

static void test_damage(void)
{
	struct writer *writer = wal_made(MAGIC_18);
	struct repo repo = repo_made();
	struct wal_path path;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct wal_survey survey = {.first = FIRST, .last = FIRST + 3, .from = BASE, .jobs = 2};
	struct wal_survey wanted = expected(writer, &survey, BASE + 2 * SEGMENT);
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE];
	struct error err = {0};

	path_root(&path);
	for (uint64_t i = 0; i < 4; i++)
		if (i != 2 && !put(&repo, writer, 1, FIRST + i))
			abort();
	wal_name_of_segment(1, FIRST + 2, SEGMENT, &name);
	layout_wal(&repo.layout, &name, key);
	ok(storage_put(repo.storage, key, bytes_of("nonsense", 8), &err) &&
		   wal_range_list(&repo, &path, SEGMENT, BASE, &range, &err),
	   "an archive with a damaged object");
	ok(wal_survey_run(&repo, &range, &survey, &err) && wal_survey_breaks(&survey) && survey.is_damaged &&
		   survey.reached == FIRST + 2 && survey.damage.kind == ERROR_CORRUPT,
	   "is surveyed up to it, and it is named");
	ok(same(&survey, &wanted, false), "what lies before it is answered as without it");
	survey = (struct wal_survey){.first = FIRST, .last = FIRST + 3, .from = BASE, .jobs = 2, .seeks_time = true};
	ok(wal_survey_run(&repo, &range, &survey, &err) && !wal_survey_breaks(&survey) && survey.stop.lsn != 0,
	   "damage behind what is sought does not matter");
	repo_release(&repo);
	writer_close(writer);
}

static void test_unknown(void)
{
	struct writer *writer = wal_made(MAGIC_15);
	struct repo repo = repo_made();
	struct wal_path path;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct wal_survey survey = {.first = FIRST, .last = FIRST, .jobs = 1};
	struct error err = {0};

	store_u16(writer->wal, 0xDFFF);
	path_root(&path);
	ok(put(&repo, writer, 1, FIRST) && wal_range_list(&repo, &path, SEGMENT, BASE, &range, &err) &&
		   wal_survey_run(&repo, &range, &survey, &err) && !survey.understood && survey.magic == 0xDFFF,
	   "WAL of an unknown version is said to be that");
	repo_release(&repo);
	writer_close(writer);
}

static void test_archive(uint16_t magic, uint32_t timeline_split)
{
	struct writer *writer = wal_made(magic);
	struct repo repo = repo_made();
	struct wal_path path;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct error err = {0};
	uint64_t last = FIRST + SEGMENTS - 3, reached = 0, missing, missing_last;
	bool is_put = true;
	struct wal_name name;

	path_root(&path);
	path.history = (struct timeline_history){2, {{1, BASE + timeline_split * SEGMENT + 100}, {2, UINT64_MAX}}};
	for (uint64_t number = FIRST; number <= last; number++)
		is_put = is_put && put(&repo, writer, number < FIRST + timeline_split ? 1 : 2, number);
	/* The old timeline goes on for a segment that is not on the path. */
	is_put = is_put && put(&repo, writer, 1, FIRST + timeline_split);
	ok(is_put && wal_range_list(&repo, &path, SEGMENT, BASE + 5, &range, &err), "an archive with two timelines");
	ok(range.run_count == 2 && wal_range_reach(&range, FIRST, &reached) && reached == last,
	   "is listed along the path, in two runs");
	wal_range_name(&range, FIRST + timeline_split, &name);
	ok(name.timeline == 2, "the segment in which the path changes is read from the younger timeline");
	ok(!wal_range_gap(&range, FIRST, &missing, &missing_last) && wal_range_gap_count(&range) == 0, "has no hole");
	test_times(&repo, &range, writer, last);
	test_transactions(&repo, &range, writer, last);
	test_positions(&repo, &range, writer, last);
	test_limits(&repo, &range, writer, last);
	repo_release(&repo);
	writer_close(writer);
}

static void test_holes(void)
{
	struct writer *writer = wal_made(MAGIC_18);
	struct repo repo = repo_made();
	struct wal_path path;
	struct wal_range range WAL_RANGE_CLEANUP = {0};
	struct error err = {0};
	uint64_t reached = 0, missing = 0, missing_last = 0;

	path_root(&path);
	for (uint64_t i = 0; i < 6; i++)
		if (i != 2 && i != 3)
			ok(put(&repo, writer, 1, FIRST + i), "segment %d is there", (int) i);
	ok(wal_range_list(&repo, &path, SEGMENT, BASE, &range, &err) && wal_range_reach(&range, FIRST, &reached) &&
		   reached == FIRST + 1,
	   "what can be reached ends before a hole");
	ok(wal_range_gap(&range, FIRST, &missing, &missing_last) && missing == FIRST + 2 && missing_last == FIRST + 3 &&
		   wal_range_gap_count(&range) == 1,
	   "the hole is named");
	ok(!wal_range_gap(&range, FIRST + 4, &missing, &missing_last), "there is none behind it");
	ok(wal_range_gap(&range, FIRST - 1, &missing, &missing_last) && missing == FIRST - 1 &&
		   missing_last == FIRST - 1,
	   "what is missing before the first one is a hole");
	ok(!wal_range_reach(&range, FIRST + 2, &reached), "nothing is reached from inside the hole");
	ok(wal_range_reach(&range, FIRST + 4, &reached) && reached == FIRST + 5, "behind it, the rest is");
	uint64_t size = wal_range_stored_size(&range, FIRST, FIRST + 1);
	ok(size > 0 && size < wal_range_stored_size(&range, FIRST, FIRST + 9),
	   "stored sizes are those of the segments asked for");
	repo_release(&repo);
	writer_close(writer);
}

int main(void)
{
	test_archive(MAGIC_13, 1);
	test_archive(MAGIC_15, 3);
	test_archive(MAGIC_18, 4);
	test_holes();
	test_last_crossing();
	test_position_of_large();
	test_tablespaces(30);
	test_tablespaces(900);
	test_damage();
	test_unknown();
	return done_testing();
}
