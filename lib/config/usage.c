#include "config/usage.h"

#include <string.h>

#define HELP_COLUMN 32
#define LINE_WIDTH  100

/* Prints words from column `used` on, broken where the line would be too long. */
static void words_print(const char *text, int used, FILE *out)
{
	int column = used;

	while (*text != '\0') {
		int length = (int) strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + length > LINE_WIDTH) {
			fprintf(out, "\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		}
		column += fprintf(out, "%s%.*s", column > HELP_COLUMN ? " " : "", length, text);
		text += length;
		while (*text == ' ')
			text++;
	}
	fprintf(out, "\n");
}

static void entry_print(const char *left, const char *help, FILE *out)
{
	int used = fprintf(out, "  %s", left);

	if (used >= HELP_COLUMN)
		fprintf(out, "\n%*s", HELP_COLUMN, "");
	else
		fprintf(out, "%*s", HELP_COLUMN - used, "");
	words_print(help, HELP_COLUMN, out);
}

static void option_print(enum option_id id, enum program program, FILE *out)
{
	const struct option_row *row = &option_table[id];
	const char *fallback = option_fallback(id, program);
	char left[80], help[400];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
		 row->letter ? ", " : "  ", row->name, option_equals(row), row->argument ? row->argument : "");
	snprintf(help, sizeof(help), "%s%s%s%s", row->help, fallback ? " (default: " : "", fallback ? fallback : "",
		 fallback ? ")" : "");
	entry_print(left, help, out);
}

static void options_print(enum program program, bool settings, FILE *out)
{
	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		if ((option_table[id].programs & program) != 0 && option_table[id].is_setting == settings)
			option_print(id, program, out);
	}
}

/* Every line of `lines` behind `before`. */
static void lines_print(const char *lines, const char *before, FILE *out)
{
	while (*lines != '\0') {
		size_t length = strcspn(lines, "\n");

		fprintf(out, "  %s%.*s\n", before, (int) length, lines);
		lines += length + (lines[length] == '\n');
	}
}

void usage_print(enum program program, FILE *out)
{
	const struct program_row *row = program_row_of(program);
	char before[64];

	snprintf(before, sizeof(before), "%s ", row->name);
	fprintf(out, "%s %s.\n\nUsage:\n", row->name, row->summary);
	lines_print(row->usage, before, out);
	fprintf(out, "\nOptions:\n");
	options_print(program, false, out);
	entry_print("-V, --version", "print the version and exit", out);
	entry_print("-?, --help", "print this help and exit", out);
	fprintf(out, "\nSettings, which may also stand in the environment (PITR_NAME) or the configuration file:\n");
	options_print(program, true, out);
	fprintf(out, "\nExamples:\n");
	lines_print(row->examples, "", out);
}
