#include "config/option_value.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define CORES_MAX 8

struct unit {
	const char *name;
	int64_t factor;
};

/* Digits only; false when there is none or they do not fit. */
static bool digits_scan(const char **at, int64_t *number)
{
	const char *start = *at;

	*number = 0;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, **at - '0', number))
			return false;
	}
	return *at != start;
}

static bool number_with_unit(const char *text, const struct unit *units, int64_t *value)
{
	int64_t number;

	if (!digits_scan(&text, &number))
		return false;
	while (*text == ' ')
		text++;
	for (; units->name != NULL; units++) {
		if (strcasecmp(text, units->name) == 0)
			return !__builtin_mul_overflow(number, units->factor, value);
	}
	return false;
}

bool size_parse(const char *text, int64_t *size)
{
	static const struct unit UNITS[] = {
		{"B", 1},
		{"kB", INT64_C(1) << 10},
		{"k", INT64_C(1) << 10},
		{"MB", INT64_C(1) << 20},
		{"M", INT64_C(1) << 20},
		{"GB", INT64_C(1) << 30},
		{"G", INT64_C(1) << 30},
		{"TB", INT64_C(1) << 40},
		{"T", INT64_C(1) << 40},
		{NULL, 0},
	};

	return number_with_unit(text, UNITS, size);
}

bool duration_parse(const char *text, int64_t *duration_ms)
{
	static const struct unit UNITS[] = {
		{"ms", 1},	    {"s", 1000},       {"sec", 1000},	   {"second", 1000},   {"seconds", 1000},
		{"min", 60000},	    {"minute", 60000}, {"minutes", 60000}, {"h", 3600000},     {"hour", 3600000},
		{"hours", 3600000}, {"d", 86400000},   {"day", 86400000},  {"days", 86400000}, {NULL, 0},
	};

	if (strcasecmp(text, "forever") == 0) {
		*duration_ms = INT64_MAX;
		return true;
	}
	return number_with_unit(text, UNITS, duration_ms);
}

static bool switch_parse(const char *text, bool *value)
{
	static const char *const WORDS[2][4] = {{"off", "false", "no", "0"}, {"on", "true", "yes", "1"}};

	for (int side = 0; side < 2; side++) {
		for (int i = 0; i < 4; i++) {
			if (strcasecmp(text, WORDS[side][i]) == 0) {
				*value = side == 1;
				return true;
			}
		}
	}
	return false;
}

/* How many processors this process may run on, which in a container are fewer than the machine has. */
static int64_t cores_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return CORES_MAX;
	int count = CPU_COUNT(&set);
	return count > CORES_MAX ? CORES_MAX : count;
}

static bool count_parse(const char *text, int64_t *count)
{
	if (strcasecmp(text, "cores") == 0) {
		*count = cores_count();
		return true;
	}
	if (strcasecmp(text, "all") == 0) {
		*count = INT64_MAX;
		return true;
	}
	return digits_scan(&text, count) && *text == '\0';
}

/* Walks the words of "path|virtual" or "lz4|zstd|none[:LEVEL]". */
static bool word_next(const char **list, char word[32])
{
	size_t length = strcspn(*list, "|[");

	if (length == 0 || length >= 32)
		return false;
	memcpy(word, *list, length);
	word[length] = '\0';
	*list += length;
	if (**list == '|')
		(*list)++;
	return true;
}

static bool level_is_valid(const char *text)
{
	int64_t level;

	return digits_scan(&text, &level) && *text == '\0';
}

/* "path or virtual", "lz4, zstd or none". */
static void words_format(const char *list, char *text, size_t size)
{
	char word[32];
	size_t used = 0;

	for (int i = 0; word_next(&list, word) && used < size; i++) {
		bool is_last = *list == '\0' || *list == '[';

		used += (size_t) snprintf(text + used, size - used, "%s\"%s\"",
					  i == 0    ? ""
					  : is_last ? " or "
						    : ", ",
					  word);
	}
}

static bool word_check(const struct option_row *row, const char *text, struct error *err)
{
	bool may_have_level = strstr(row->argument, "[:LEVEL]") != NULL;
	const char *list = row->argument;
	char word[32], all[256];

	while (word_next(&list, word)) {
		size_t length = strlen(word);

		if (strcmp(text, word) == 0)
			return true;
		if (may_have_level && strncmp(text, word, length) == 0 && text[length] == ':' &&
		    level_is_valid(text + length + 1))
			return true;
	}
	words_format(row->argument, all, sizeof(all));
	(void) fail(err, ERROR_USAGE, "invalid value \"%.100s\" for \"%s\"", text, row->name);
	return fail_hint(err, "Use %s%s.", all, may_have_level ? ", with a level as \"zstd:3\"" : "");
}

static bool fail_value(const struct option_row *row, const char *text, const char *how, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "invalid value \"%.100s\" for \"%s\"", text, row->name);
	return fail_hint(err, "%s", how);
}

static bool number_parse(enum option_type type, const char *text, int64_t *number)
{
	if (type == OPTION_SIZE)
		return size_parse(text, number);
	if (type == OPTION_DURATION)
		return duration_parse(text, number);
	return count_parse(text, number);
}

static bool number_check_range(enum option_id id, const char *text, int64_t number, struct error *err)
{
	const struct option_row *row = &option_table[id];
	const char *least, *most;
	int64_t from = 0, to = INT64_MAX;

	if (!option_range(id, &least, &most) || !number_parse(row->type, least, &from) ||
	    !number_parse(row->type, most, &to) || (number >= from && number <= to))
		return true;
	(void) fail(err, ERROR_USAGE, "value \"%.100s\" for \"%s\" is out of range", text, row->name);
	return fail_hint(err, "Use %s to %s.", least, most);
}

static bool number_set(enum option_id id, const char *text, int64_t *member, struct error *err)
{
	static const char *const HOW[] = {
		[OPTION_SIZE] = "A size has a number and a unit: \"256MB\", \"20 MB\", \"512kB\".",
		[OPTION_DURATION] = "A time has a number and a unit: \"30s\", \"5 min\", \"1h\".",
		[OPTION_COUNT] = "Use a whole number.",
	};
	const struct option_row *row = &option_table[id];
	int64_t number;

	if (!number_parse(row->type, text, &number))
		return fail_value(row, text, HOW[row->type], err);
	TRY(number_check_range(id, text, number, err));
	*member = number;
	return true;
}

static bool texts_add(const struct option_row *row, const char *text, struct texts *texts, struct error *err)
{
	int room = (int) (sizeof(texts->items) / sizeof(texts->items[0]));

	if (texts->count == room)
		return fail(err, ERROR_USAGE, "\"%s\" is given more than %d times", row->name, room);
	texts->items[texts->count++] = text;
	return true;
}

bool option_value_parse(enum option_id id, const char *text, struct options *options, struct error *err)
{
	const struct option_row *row = &option_table[id];
	void *member = (char *) options + row->offset;

	if (*text == '\0')
		return fail(err, ERROR_USAGE, "\"%s\" needs a value", row->name);
	switch (row->type) {
	case OPTION_TEXT:
		if (strchr(row->argument, '|') != NULL)
			TRY(word_check(row, text, err));
		*(const char **) member = text;
		return true;
	case OPTION_TEXTS:
		return texts_add(row, text, member, err);
	case OPTION_SWITCH:
		if (!switch_parse(text, member))
			return fail_value(row, text, "Use \"on\" or \"off\".", err);
		return true;
	case OPTION_COUNT:
	case OPTION_SIZE:
	case OPTION_DURATION:
		break;
	}
	return number_set(id, text, member, err);
}
