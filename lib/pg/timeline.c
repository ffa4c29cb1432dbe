#include "pg/timeline.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pg/wal_name.h"

/* Lines are "parent<TAB>switch point<TAB>reason"; the reason may hold a restore point's name and is not read. */
#define FIELD_MAX 32

/* The next blank-separated field of a line; false when there is none or it is longer than any number could be. */
static bool field_next(struct bytes *line, char field[FIELD_MAX])
{
	size_t begin = 0, size = 0;

	while (begin < line->size && isspace(line->data[begin]))
		begin++;
	while (begin + size < line->size && !isspace(line->data[begin + size]))
		size++;
	if (size == 0 || size >= FIELD_MAX)
		return false;
	memcpy(field, line->data + begin, size);
	field[size] = '\0';
	*line = bytes_slice(*line, begin + size, line->size - begin - size);
	return true;
}

static bool timeline_parse(const char *text, uint32_t *timeline)
{
	char *end;

	if (!isdigit((unsigned char) text[0]))
		return false;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || value == 0 || value > UINT32_MAX)
		return false;
	*timeline = (uint32_t) value;
	return true;
}

/* Blank lines and comments are skipped, as readTimeLineHistory() of timeline.c does. */
static bool line_is_blank(struct bytes line)
{
	for (size_t i = 0; i < line.size; i++)
		if (!isspace(line.data[i]))
			return line.data[i] == '#';
	return true;
}

static bool line_add(struct timeline_history *history, uint32_t timeline, struct bytes line, int number,
		     struct error *err)
{
	struct timeline_switch found;
	char field[FIELD_MAX];
	uint32_t before = history->count > 0 ? history->path[history->count - 1].timeline : 0;

	if (!field_next(&line, field) || !timeline_parse(field, &found.timeline))
		return fail(err, ERROR_CORRUPT, "line %d does not begin with the number of a timeline", number);
	if (!field_next(&line, field) || !lsn_parse(field, &found.end))
		return fail(err, ERROR_CORRUPT, "line %d has no switch point", number);
	if (found.timeline <= before)
		return fail(err, ERROR_CORRUPT, "line %d: timeline %" PRIu32 " cannot follow timeline %" PRIu32, number,
			    found.timeline, before);
	if (found.timeline >= timeline)
		return fail(err, ERROR_CORRUPT, "line %d: timeline %" PRIu32 " cannot be a parent of timeline %" PRIu32,
			    number, found.timeline, timeline);
	if (history->count >= TIMELINES_MAX - 1)
		return fail(err, ERROR_CORRUPT, "more than %d timelines", TIMELINES_MAX - 1);
	for (int i = history->count - 1; i >= 0 && history->path[i].end > found.end; i--)
		history->path[i].end = found.end;
	history->path[history->count++] = found;
	return true;
}

static bool lines_add(struct timeline_history *history, uint32_t timeline, struct bytes text, struct error *err)
{
	for (int number = 1; text.size > 0; number++) {
		const uint8_t *newline = memchr(text.data, '\n', text.size);
		size_t size = newline != NULL ? (size_t) (newline - text.data) : text.size;
		struct bytes line = bytes_slice(text, 0, size);

		if (!line_is_blank(line))
			TRY(line_add(history, timeline, line, number, err));
		size += newline != NULL;
		text = bytes_slice(text, size, text.size - size);
	}
	if (history->count == 0)
		return fail(err, ERROR_CORRUPT, "no timeline in it");
	return true;
}

bool timeline_history_parse(uint32_t timeline, struct bytes text, struct timeline_history *history, struct error *err)
{
	history->count = 0;
	if (!lines_add(history, timeline, text, err))
		return fail_in(err, "history of timeline %" PRIu32, timeline);
	history->path[history->count++] = (struct timeline_switch){.timeline = timeline, .end = UINT64_MAX};
	return true;
}

void timeline_history_root(uint32_t timeline, struct timeline_history *history)
{
	history->count = 1;
	history->path[0] = (struct timeline_switch){.timeline = timeline, .end = UINT64_MAX};
}

uint32_t timeline_history_at(const struct timeline_history *history, uint64_t lsn)
{
	for (int i = 0; i < history->count - 1; i++)
		if (lsn < history->path[i].end)
			return history->path[i].timeline;
	return history->path[history->count - 1].timeline;
}

bool timeline_history_contains(const struct timeline_history *history, uint32_t timeline, uint64_t lsn)
{
	return timeline_history_at(history, lsn) == timeline;
}
