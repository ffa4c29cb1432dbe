/* Prints every commit, abort and restore point of consecutive WAL segments (one file each, in order), for comparison
 * with pg_waldump:  kind<TAB>LSN<TAB>xid<TAB>time in microseconds since 1970<TAB>name
 * and at last:      end<TAB>LSN<TAB>"early" or "full"
 *
 *     wal_commits SEGMENT-FILE…             walks them as one
 *     wal_commits --join SEGMENT-FILE…      each alone, and what lies between by joining their summaries
 *     wal_commits --time SEGMENT-FILE…      only how many records and bytes, and how fast
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/exit.h"
#include "base/fs.h"
#include "pg/wal_summary.h"

struct printer {
	bool is_silent;
	uint64_t records;
};

static bool event_print(void *context, const struct wal_event *event, struct error *err)
{
	static const char *const kinds[] = {[WAL_COMMIT] = "commit",
					    [WAL_ABORT] = "abort",
					    [WAL_RESTORE_POINT] = "restore_point",
					    [WAL_TABLESPACE] = "tablespace"};
	struct printer *printer = context;
	char lsn[LSN_TEXT_SIZE];

	(void) err;
	printer->records++;
	if (event->kind == WAL_OTHER || printer->is_silent)
		return true;
	lsn_format(event->lsn, lsn);
	if (event->kind == WAL_TABLESPACE)
		printf("%s%s\t%s\t%" PRIu32 "\t0\t%s\n", kinds[event->kind], event->path_is_cut ? "_cut" : "", lsn,
		       event->tablespace, event->path);
	else
		printf("%s\t%s\t%" PRIu32 "\t%" PRId64 "\t%s\n", kinds[event->kind], lsn, event->xid, event->time_us,
		       event->name);
	return true;
}

static void end_print(uint64_t end_lsn, bool is_early)
{
	char lsn[LSN_TEXT_SIZE];

	lsn_format(end_lsn, lsn);
	printf("end\t%s\t%s\n", lsn, is_early ? "early" : "full");
}

static bool segment_read(const char *path, struct buf *content, struct wal_segment *segment, struct error *err)
{
	buf_clear(content);
	TRY(fs_read_file(path, content, err));
	return wal_segment_parse(buf_bytes(content), segment, err);
}

static void walk_cleanup(struct wal_walk **walk)
{
	wal_walk_close(*walk);
}

static bool files_walk(char **paths, int count, bool is_timed, struct error *err)
{
	struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;
	struct printer printer = {.is_silent = is_timed};
	struct wal_segment segment;
	uint64_t end_lsn, size = 0;
	int64_t walking_ms = 0;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	TRY(wal_walk_open(event_print, &printer, &walk, err));
	for (int i = 0; i < count; i++) {
		TRY(segment_read(paths[i], &content, &segment, err));
		int64_t begun_ms = clock_monotonic_ms();

		TRY(wal_walk_segment(walk, buf_bytes(&content), &segment, err));
		walking_ms += clock_monotonic_ms() - begun_ms;
		size += content.size;
	}
	bool is_early = wal_walk_ended(walk, &end_lsn);
	end_print(end_lsn, is_early);
	if (is_timed)
		printf("%" PRIu64 " records, %" PRIu64 " bytes, %" PRId64 " ms, %" PRIu64 " MB/s\n", printer.records,
		       size, walking_ms, size / 1000 / (uint64_t) (walking_ms > 0 ? walking_ms : 1));
	return true;
}

/* Through JSON and back, as the repository does it. */
static bool summary_pass(struct wal_summary *summary, struct error *err)
{
	json_t *object JSON_CLEANUP = json_object();

	TRY(wal_summary_encode(summary, object, err));
	return wal_summary_decode(object, summary, err);
}

static bool files_join(char **paths, int count, struct error *err)
{
	struct wal_summary summaries[2], *before = &summaries[0], *after = &summaries[1];
	struct printer printer = {.is_silent = false};
	struct wal_segment segment;
	struct wal_event event;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	for (int i = 0; i < count; i++) {
		struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;

		TRY(segment_read(paths[i], &content, &segment, err));
		TRY(wal_summary_make(buf_bytes(&content), &segment, after, err));
		TRY(summary_pass(after, err));
		if (i > 0 && wal_summary_join(before, after, &event))
			TRY(event_print(&printer, &event, err));
		TRY(wal_walk_open(event_print, &printer, &walk, err));
		TRY(wal_walk_segment(walk, buf_bytes(&content), &segment, err));
		/* A record of more than two segments: only the summaries of its first and last are joined. */
		if (after->tail_record != 0 || after->head_size == 0 || after->head_end != 0) {
			struct wal_summary *swap = before;

			before = after;
			after = swap;
		}
	}
	end_print(before->end, before->ends_early);
	return true;
}

int main(int argc, char **argv)
{
	struct error err;
	bool is_joined = argc > 1 && strcmp(argv[1], "--join") == 0;
	bool is_timed = argc > 1 && strcmp(argv[1], "--time") == 0;
	int first = is_joined || is_timed ? 2 : 1;

	process_init();
	if (argc <= first) {
		fprintf(stderr, "usage: wal_commits [--join | --time] SEGMENT-FILE...\n");
		return 2;
	}
	if (!(is_joined ? files_join(argv + first, argc - first, &err)
			: files_walk(argv + first, argc - first, is_timed, &err)) ||
	    !stdout_finish(&err))
		return exit_with(&err, FOR_PROGRAM);
	return 0;
}
