/* Prints what consecutive WAL segments (one file each, in order) say, for comparison with pg_waldump:
 *     kind<TAB>LSN<TAB>xid<TAB>what else it says, by kind          an event; "_cut" behind the kind when not all is
 * there change<TAB>xid<TAB>file<TAB>inserts updates deletes<TAB>committed, aborted or running end<TAB>LSN<TAB>"early"
 * or "full" Files are tablespace/database/number, lists have commas.
 *
 *     wal_events SEGMENT-FILE…              walks them as one; rows as changes
 *     wal_events --join SEGMENT-FILE…       each alone, and what lies between by joining their summaries; no changes,
 * but the rows of joined records wal_events --time SEGMENT-FILE…       only how many records and bytes, and how fast
 *     wal_events --summaries SEGMENT-FILE…  the same for making the summary of each, as JSON
 *     wal_events --json SEGMENT-FILE        its summary
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/exit.h"
#include "base/fs.h"
#include "pg/lsn.h"
#include "pg/wal_summary_json.h"

static const char *const kinds[] = {[WAL_COMMIT] = "commit",
				    [WAL_ABORT] = "abort",
				    [WAL_RESTORE_POINT] = "restore_point",
				    [WAL_TABLESPACE] = "tablespace",
				    [WAL_TABLESPACE_DROP] = "tablespace_drop",
				    [WAL_DATABASE] = "database",
				    [WAL_DATABASE_DROP] = "database_drop",
				    [WAL_TRUNCATE] = "truncate",
				    [WAL_FILE_TRUNCATE] = "file_truncate",
				    [WAL_LOCK] = "lock",
				    [WAL_INSERT] = "insert",
				    [WAL_UPDATE] = "update",
				    [WAL_DELETE] = "delete",
				    [WAL_CHECKPOINT] = "checkpoint",
				    [WAL_RECOVERY_END] = "recovery_end",
				    [WAL_OTHER] = "other"};

struct printer {
	bool prints_rows;
	struct wal_changes *changes; /* NULL: rows are not counted */
};

static void file_print(const struct relation_file *file)
{
	printf("%" PRIu32 "/%" PRIu32 "/%" PRIu32, file->tablespace, file->database, file->number);
}

static void transaction_print(const struct wal_event *event)
{
	printf("%" PRId64 " subxacts:", event->time_us);
	for (uint32_t i = 0; i < event->subtransactions.shown; i++)
		printf("%" PRIu32 ",", wal_event_xid(event, i));
	printf(" files:");
	for (uint32_t i = 0; i < event->files.shown; i++) {
		struct relation_file file = wal_event_file(event, i);

		file_print(&file);
		putchar(',');
	}
	printf(" relations:");
	for (uint32_t i = 0; i < event->statistics.shown; i++) {
		uint32_t relation;

		if (wal_event_dropped_relation(event, i, &relation))
			printf("%" PRIu32 ",", relation);
	}
}

static void relations_print(const struct wal_event *event)
{
	for (uint32_t i = 0; i < event->relations.shown; i++)
		printf("%" PRIu32 ",", wal_event_relation(event, i));
}

static void locks_print(const struct wal_event *event)
{
	for (uint32_t i = 0; i < event->locks.shown; i++) {
		struct wal_lock lock = wal_event_lock(event, i);

		printf("%" PRIu32 "/%" PRIu32 "/%" PRIu32 ",", lock.xid, lock.database, lock.relation);
	}
}

static void checkpoint_print(const struct wal_event *event)
{
	char redo[LSN_TEXT_SIZE];

	lsn_format(event->redo, redo);
	printf("%s %" PRIu32 " %" PRIu32 " %" PRIu64 ":%" PRIu32 " %s", redo, event->timeline, event->previous_timeline,
	       event->next_xid >> 32, (uint32_t) event->next_xid, event->is_shutdown ? "shutdown" : "online");
}

static void detail_print(const struct wal_event *event)
{
	switch (event->kind) {
	case WAL_COMMIT:
	case WAL_ABORT:
		transaction_print(event);
		break;
	case WAL_RESTORE_POINT:
		printf("%s", event->name);
		break;
	case WAL_TABLESPACE:
		printf("%" PRIu32 " %s", event->tablespace, event->path);
		break;
	case WAL_TABLESPACE_DROP:
		printf("%" PRIu32, event->tablespace);
		break;
	case WAL_DATABASE:
	case WAL_DATABASE_DROP:
		printf("%" PRIu32 "/%" PRIu32, event->tablespace, event->database);
		break;
	case WAL_TRUNCATE:
		relations_print(event);
		break;
	case WAL_LOCK:
		locks_print(event);
		break;
	case WAL_CHECKPOINT:
		checkpoint_print(event);
		break;
	case WAL_RECOVERY_END:
		printf("%" PRIu32 " %" PRIu32 " %" PRId64, event->timeline, event->previous_timeline, event->time_us);
		break;
	default:
		file_print(&event->file);
		printf(" %" PRIu32, event->kind == WAL_FILE_TRUNCATE ? event->blocks : event->rows);
	}
}

static bool is_rows(enum wal_event_kind kind)
{
	return kind == WAL_INSERT || kind == WAL_UPDATE || kind == WAL_DELETE;
}

static bool event_print(void *context, const struct wal_event *event, struct error *err)
{
	struct printer *printer = context;
	char lsn[LSN_TEXT_SIZE];

	(void) err;
	if (printer->changes != NULL)
		wal_changes_note(printer->changes, event);
	if (event->kind == WAL_OTHER || (is_rows(event->kind) && !printer->prints_rows))
		return true;
	lsn_format(event->lsn, lsn);
	printf("%s%s\t%s\t%" PRIu32 "\t", kinds[event->kind], event->is_cut ? "_cut" : "", lsn, event->xid);
	detail_print(event);
	putchar('\n');
	return true;
}

static void change_print(void *context, const struct wal_change *change, bool is_aborted)
{
	(void) context;
	printf("change\t%" PRIu32 "\t", change->xid);
	file_print(&change->file);
	printf("\t%" PRIu64 " %" PRIu64 " %" PRIu64 "\t%s\n", change->rows.inserts, change->rows.updates,
	       change->rows.deletes,
	       is_aborted	     ? "aborted"
	       : change->commit != 0 ? "committed"
				     : "running");
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

static void changes_cleanup(struct wal_changes **changes)
{
	wal_changes_close(*changes);
}

static bool files_walk(char **paths, int count, struct error *err)
{
	struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;
	struct wal_changes *changes __attribute__((cleanup(changes_cleanup))) = NULL;
	struct printer printer = {.prints_rows = false};
	struct wal_segment segment;
	uint64_t end_lsn, other;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	TRY(wal_changes_open(change_print, NULL, &changes, err));
	printer.changes = changes;
	TRY(wal_walk_open(event_print, &printer, &walk, err));
	for (int i = 0; i < count; i++) {
		TRY(segment_read(paths[i], &content, &segment, err));
		TRY(wal_walk_segment(walk, buf_bytes(&content), &segment, err));
	}
	wal_changes_finish(changes);
	(void) wal_changes_total(changes, &other);
	if (other > 0)
		return fail(err, ERROR_SYSTEM, "%" PRIu64 " rows found no room", other);
	bool is_early = wal_walk_ended(walk, &end_lsn);
	end_print(end_lsn, is_early);
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
	struct printer alone = {.prints_rows = false}, joined = {.prints_rows = true};
	struct wal_segment segment;
	struct wal_event event;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	for (int i = 0; i < count; i++) {
		struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;

		TRY(segment_read(paths[i], &content, &segment, err));
		TRY(wal_summary_make(buf_bytes(&content), &segment, after, err));
		TRY(summary_pass(after, err));
		if (i > 0 && wal_summary_join(before, after, &event))
			TRY(event_print(&joined, &event, err));
		TRY(wal_walk_open(event_print, &alone, &walk, err));
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

static bool record_count(void *context, const struct wal_event *event, struct error *err)
{
	uint64_t *records = context;

	(void) event;
	(void) err;
	++*records;
	return true;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool summary_encode(struct bytes content, const struct wal_segment *segment, struct buf *text, struct error *err)
{
	json_t *object JSON_CLEANUP = json_object();
	struct wal_summary summary;

	buf_clear(text);
	TRY(wal_summary_make(content, segment, &summary, err));
	TRY(wal_summary_encode(&summary, object, err));
	return json_encode(object, text, err);
}

/* Reading the files does not count. */
static bool files_time(char **paths, int count, bool makes_summaries, struct error *err)
{
	struct wal_walk *walk __attribute__((cleanup(walk_cleanup))) = NULL;
	uint64_t records = 0, size = 0, size_json = 0, largest = 0;
	struct wal_segment segment;
	double seconds = 0;
	BUF(content, WAL_SEGMENT_SIZE_MAX);
	BUF(text, 64 * KiB);

	TRY(wal_walk_open(record_count, &records, &walk, err));
	for (int i = 0; i < count; i++) {
		TRY(segment_read(paths[i], &content, &segment, err));
		double begun = cpu_seconds();

		if (makes_summaries)
			TRY(summary_encode(buf_bytes(&content), &segment, &text, err));
		else
			TRY(wal_walk_segment(walk, buf_bytes(&content), &segment, err));
		seconds += cpu_seconds() - begun;
		size += content.size;
		size_json += text.size;
		largest = text.size > largest ? text.size : largest;
	}
	printf("%" PRIu64 " records, %" PRIu64 " bytes, %.0f ms of CPU, %.0f MB/s\n", records, size, seconds * 1000,
	       (double) size / 1e6 / seconds);
	if (makes_summaries)
		printf("%.2f ms a segment, JSON of %" PRIu64 " bytes on average, %" PRIu64 " at most\n",
		       seconds * 1000 / count, size_json / (uint64_t) count, largest);
	return true;
}

static bool file_show(const char *path, struct error *err)
{
	struct wal_segment segment;
	BUF(content, WAL_SEGMENT_SIZE_MAX);
	BUF(text, 64 * KiB);

	TRY(segment_read(path, &content, &segment, err));
	TRY(summary_encode(buf_bytes(&content), &segment, &text, err));
	printf("%.*s\n", (int) text.size, (const char *) text.data);
	return true;
}

static bool files_do(const char *mode, char **paths, int count, struct error *err)
{
	if (strcmp(mode, "--join") == 0)
		return files_join(paths, count, err);
	if (strcmp(mode, "--time") == 0 || strcmp(mode, "--summaries") == 0)
		return files_time(paths, count, strcmp(mode, "--summaries") == 0, err);
	if (strcmp(mode, "--json") == 0)
		return file_show(paths[0], err);
	return files_walk(paths, count, err);
}

int main(int argc, char **argv)
{
	bool has_mode = argc > 1 && strncmp(argv[1], "--", 2) == 0;
	int first = has_mode ? 2 : 1;
	struct error err;

	process_init();
	if (argc <= first) {
		fprintf(stderr, "usage: wal_events [--join | --time | --summaries | --json] SEGMENT-FILE...\n");
		return 2;
	}
	if (!files_do(has_mode ? argv[1] : "", argv + first, argc - first, &err) || !stdout_finish(&err))
		return exit_with(&err, FOR_PROGRAM);
	return 0;
}
