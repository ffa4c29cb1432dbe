/* options.def and programs.def as tables, for whoever reads them: the parser, --help and the documentation.
 * Constant; knows nothing of where values come from.
 */
#pragma once

#include "config/options.h"

enum option_type { OPTION_TEXT, OPTION_TEXTS, OPTION_SWITCH, OPTION_COUNT, OPTION_SIZE, OPTION_DURATION };

struct option_row {
	const char *name;
	char letter; /* 0: none */
	enum option_type type;
	bool is_setting;
	unsigned programs;
	const char *argument; /* NULL: takes none */
	const char *fallback;
	const char *help;
	size_t offset; /* of its member in struct options */
};

struct program_row {
	enum program program;
	const char *name;
	int arguments_least, arguments_most;
	const char *arguments, *summary, *usage, *examples;
};

extern const struct option_row option_table[OPTION_ID_COUNT];
extern const struct program_row program_table[];
extern const int program_table_count;

const struct program_row *program_row_of(enum program program);
/* The value when none is given, as a user would write it; NULL: none. */
const char *option_fallback(enum option_id id, enum program program);
/* The values that make sense; false: any. */
bool option_range(enum option_id id, const char **least, const char **most);
/* Which one is called that, or OPTION_ID_COUNT. */
enum option_id option_find(const char *name);
/* Between the flag and what it calls its value. */
static inline const char *option_equals(const struct option_row *row)
{
	return row->argument == NULL || row->argument[0] == '[' ? "" : "=";
}
/* May the flag stand without its value (which is called "[=TIME]")? */
static inline bool option_is_optional(const struct option_row *row)
{
	return row->argument != NULL && row->argument[0] == '[';
}
/* Is the value a place in the file system? */
bool option_is_path(const struct option_row *row);
