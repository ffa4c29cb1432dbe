#include "config/option_table.h"

#include <assert.h>
#include <string.h>

#define TYPE_TEXT     OPTION_TEXT
#define TYPE_TEXTS    OPTION_TEXTS
#define TYPE_FLAG     OPTION_SWITCH
#define TYPE_COUNT    OPTION_COUNT
#define TYPE_SIZE     OPTION_SIZE
#define TYPE_DURATION OPTION_DURATION

const struct option_row option_table[OPTION_ID_COUNT] = {
#define OPTION(member, option_name, option_letter, option_type, setting, takers, value, otherwise, text) \
	[OPTION_ID_##member] = {                                                                         \
		.name = option_name,                                                                     \
		.letter = option_letter,                                                                 \
		.type = TYPE_##option_type,                                                              \
		.is_setting = setting,                                                                   \
		.programs = takers,                                                                      \
		.argument = value,                                                                       \
		.fallback = otherwise,                                                                   \
		.help = text,                                                                            \
		.offset = offsetof(struct options, member),                                              \
	},
#include "config/options.def"
};

const struct program_row program_table[] = {
#define PROGRAM(bit, program_name, least, most, wanted, text, lines, shown) \
	{                                                                   \
		.program = PITR_##bit,                                      \
		.name = program_name,                                       \
		.arguments_least = least,                                   \
		.arguments_most = most,                                     \
		.arguments = wanted,                                        \
		.summary = text,                                            \
		.usage = lines,                                             \
		.examples = shown,                                          \
	},
#include "config/programs.def"
};

const int program_table_count = sizeof(program_table) / sizeof(program_table[0]);

const struct program_row *program_row_of(enum program program)
{
	for (int i = 0; i < program_table_count; i++) {
		if (program_table[i].program == program)
			return &program_table[i];
	}
	assert(false);
	return NULL;
}

const char *option_fallback(enum option_id id, enum program program)
{
	static const struct {
		enum option_id id;
		unsigned programs;
		const char *fallback;
	} EXCEPTIONS[] = {
#define EXCEPTION(member, takers, otherwise) {OPTION_ID_##member, takers, otherwise},
#include "config/options.def"
	};

	for (size_t i = 0; i < sizeof(EXCEPTIONS) / sizeof(EXCEPTIONS[0]); i++) {
		if (EXCEPTIONS[i].id == id && (EXCEPTIONS[i].programs & program) != 0)
			return EXCEPTIONS[i].fallback;
	}
	return option_table[id].fallback;
}

bool option_range(enum option_id id, const char **least, const char **most)
{
	static const struct {
		enum option_id id;
		const char *least, *most;
	} RANGES[] = {
#define RANGE(member, from, to) {OPTION_ID_##member, from, to},
#include "config/options.def"
	};

	for (size_t i = 0; i < sizeof(RANGES) / sizeof(RANGES[0]); i++) {
		if (RANGES[i].id == id) {
			*least = RANGES[i].least;
			*most = RANGES[i].most;
			return true;
		}
	}
	return false;
}

enum option_id option_find(const char *name)
{
	enum option_id id = 0;

	while (id < OPTION_ID_COUNT && strcmp(option_table[id].name, name) != 0)
		id++;
	return id;
}

bool option_is_path(const struct option_row *row)
{
	return row->argument != NULL && (strcmp(row->argument, "FILE") == 0 || strcmp(row->argument, "DIR") == 0 ||
					 strcmp(row->argument, "REPOSITORY") == 0);
}
