/* Timeline history files, and the backup label. */
#include "pg/timeline.h"

#include <stdlib.h>

#include "pg/backup_label.h"
#include "tap.h"

static bool parse(uint32_t timeline, const char *text, struct timeline_history *history, struct error *err)
{
	return timeline_history_parse(timeline, bytes_of_text(text), history, err);
}

static void path_test(struct timeline_history *history)
{
	struct error err;

	ok(parse(5,
		 "1\t0/3000000\tno recovery target specified\n\n"
		 "# a comment\n"
		 "3\t1/A0000028\tbefore 2024-01-15 14:30:00+01\n",
		 history, &err),
	   "a history of two switches is read");
	ok(history->count == 3 && history->path[2].timeline == 5 && history->path[2].end == UINT64_MAX,
	   "its last entry is the timeline itself");
	is_number(timeline_history_at(history, 0), 1, "0/0 is on the oldest");
	is_number(timeline_history_at(history, 0x2FFFFFF), 1, "so is the byte before the first switch");
	is_number(timeline_history_at(history, 0x3000000), 3, "the switch point is on the next");
	is_number(timeline_history_at(history, UINT64_C(0x1A0000027)), 3, "up to the second switch");
	is_number(timeline_history_at(history, UINT64_MAX), 5, "and the end is on the timeline itself");
	ok(timeline_history_contains(history, 3, 0x3000000) && !timeline_history_contains(history, 1, 0x3000000) &&
		   !timeline_history_contains(history, 2, 0x3000000),
	   "the path leads through 3 there, not through 1 or 2");
	ok(parse(2, "1 0/3000000", history, &err),
	   "blanks instead of tabs and no last newline are read as PostgreSQL does");
	timeline_history_root(1, history);
	ok(history->count == 1 && timeline_history_at(history, UINT64_MAX) == 1, "timeline 1 has no ancestors");
}

static void descending_test(struct timeline_history *history)
{
	struct error err;

	ok(parse(3, "1\t0/5000000\tx\n2\t0/4000000\tx\n", history, &err),
	   "a recovery along 2 that stopped before 2 began is read");
	ok(timeline_history_at(history, 0x3FFFFFF) == 1 && timeline_history_at(history, 0x4000000) == 3 &&
		   timeline_history_at(history, 0x4FFFFFF) == 3,
	   "what 1 wrote behind that point is not on its path");
}

static void corrupt_test(struct timeline_history *history)
{
	static const char *const corrupt[] = {
		"",
		"\n",
		"# nothing\n",
		"1",
		"1\t\n",
		"1\t0\n",
		"0\t0/1\n",
		"4\t0/1\n",
		"5\t0/1\n",
		"-1\t0/1\n",
		"x\t0/1\n",
		"1x\t0/1\n",
		"1\t0/G\n",
		"1\t0/1x\tr\n",
		"2\t0/1\n1\t0/2\n",
		"1\t0/1\n1\t0/2\n",
		"4294967297\t0/1\n",
		"1\t0/1\n\x80\n",
		"00000000000000000000000000000000000000001\t0/1\n",
	};
	struct error err;
	char *many = calloc(TIMELINES_MAX + 1, 32);
	size_t size = 0;

	for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++)
		ok(!parse(4, corrupt[i], history, &err) && err.kind == ERROR_CORRUPT, "corrupt history %zu: %s", i,
		   err.text);
	for (int i = 1; i <= TIMELINES_MAX; i++)
		size += (size_t) sprintf(many + size, "%d\t0/%X\tr\n", i, i);
	ok(!timeline_history_parse(5000, bytes_of(many, size), history, &err), "more timelines than there is room: %s",
	   err.text);
	free(many);
}

static const char LABEL[] = "START WAL LOCATION: 0/2000028 (file 000000030000000000000002)\n"
			    "CHECKPOINT LOCATION: 0/2000060\n"
			    "BACKUP METHOD: streamed\n"
			    "BACKUP FROM: %s\n"
			    "START TIME: 2026-11-21 04:20:00 UTC\n"
			    "LABEL: %s\n"
			    "%s";

static bool label_parse(const char *from, const char *name, const char *rest, struct backup_label *label,
			struct error *err)
{
	char text[4096];
	int size = snprintf(text, sizeof(text), LABEL, from, name, rest);

	return backup_label_parse(bytes_of(text, (size_t) size), label, err);
}

static void label_test(void)
{
	static const char timeline[] = "START TIMELINE: 3\n";
	struct backup_label label;
	struct error err;
	char long_name[1100];

	memset(long_name, 'x', sizeof(long_name));
	long_name[1023] = '\0';
	ok(label_parse("primary", "nightly", timeline, &label, &err) && label.start == 0x2000028 &&
		   label.checkpoint == 0x2000060 && label.timeline == 3 && !label.from_standby,
	   "a backup label is read");
	is_text(label.label, "nightly", "with its label");
	ok(label_parse("standby", long_name, "START TIMELINE: 3\nINCREMENTAL FROM LSN: 0/1\n", &label, &err) &&
		   label.from_standby && strlen(label.label) == 1023,
	   "from a standby, with the longest label");
	ok(label_parse("primary", "x", "", &label, &err) && label.timeline == 3,
	   "the WAL file's name tells the timeline");
	ok(label_parse("primary", "x\nSTART TIMELINE: 3\nSTART WAL LOCATION: 0/9 (file x)", timeline, &label, &err) &&
		   label.start == 0x2000028,
	   "a label with newlines changes nothing");
	long_name[1023] = 'x';
	long_name[1024] = '\0';
	ok(!label_parse("primary", long_name, timeline, &label, &err) && err.kind == ERROR_CORRUPT,
	   "a longer label: %s", err.text);
	ok(!label_parse("primary", "x", "START TIMELINE: 4\n", &label, &err), "two timelines: %s", err.text);
	ok(!label_parse("primary", "x", "START TIMELINE: 4294967299\n", &label, &err), "no number: %s", err.text);
	ok(!backup_label_parse(bytes_of(NULL, 0), &label, &err) && err.kind == ERROR_CORRUPT, "nothing: %s", err.text);
}

/* No damage of either text may crash; what is accepted must keep its promises. */
static void mutations_test(struct timeline_history *history)
{
	static const char timelines[] = "1\t0/3000000\tno recovery target specified\n3\t1/A0000028\tat x\n";
	char text[sizeof(LABEL) + 64];
	struct backup_label label;
	struct error err;
	int wrong = 0;

	srandom(2);
	for (int i = 0; i < 20000; i++) {
		bool is_label = i % 2 == 0;
		size_t size = is_label ? (size_t) sprintf(text, LABEL, "primary", "x", "START TIMELINE: 3\n")
				       : (size_t) sprintf(text, "%s", timelines);

		for (long changes = random() % 4; changes >= 0; changes--)
			text[(size_t) random() % size] =
				(char) (random() % 4 == 0 ? random() : "\t\n 0123/:("[random() % 10]);
		size -= (size_t) random() % 4 == 0 ? (size_t) random() % size : 0;
		char *exact = malloc(size);
		memcpy(exact, text, size);
		if (is_label && backup_label_parse(bytes_of(exact, size), &label, &err))
			wrong += label.timeline == 0 || label.checkpoint < label.start;
		if (!is_label && timeline_history_parse(5, bytes_of(exact, size), history, &err))
			for (int j = 1; j < history->count; j++)
				wrong += history->path[j].end < history->path[j - 1].end ||
					 history->path[j].timeline <= history->path[j - 1].timeline;
		free(exact);
	}
	is_number(wrong, 0, "20000 damaged histories and labels break no promise");
}

int main(void)
{
	struct timeline_history *history = malloc(sizeof(*history));

	path_test(history);
	descending_test(history);
	corrupt_test(history);
	label_test();
	mutations_test(history);
	free(history);
	return done_testing();
}
