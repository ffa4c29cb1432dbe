/* Makes the man pages and the reference of settings from options.def, programs.def and the prose beside them.
 *
 *   gen_docs man PROGRAM DIRECTORY     the man page of PROGRAM, in roff, to stdout
 *   gen_docs settings DIRECTORY        the reference of settings, in Markdown, to stdout
 *
 * DIRECTORY holds the prose: PROGRAM.txt, settings.txt, and *.inc for what several pages say. Its markup:
 *
 *   # HEADING        begins a section
 *   = TERM           begins an entry; the lines that follow say what it means
 *   - text           begins a point of a list
 *     text           (two spaces) is kept as it stands: commands, files
 *   @include NAME    puts in the file NAME
 *   @options         puts in the flags of the program, @settings its settings, @all-settings those of all
 *   `text`           is what a user types or sees
 *
 * Everything else is paragraphs, ended by an empty line.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/option_table.h"

#define LINE_MAX_SIZE 1024
#define INCLUDES_MAX  4

enum block { BLOCK_NONE, BLOCK_PARAGRAPH, BLOCK_ENTRY, BLOCK_POINT, BLOCK_LITERAL };

struct page {
	const struct program_row *program; /* NULL: the reference of settings */
	const char *directory;
	bool is_roff;
	enum block block;
	bool is_blank; /* an empty line came, which belongs to the literal block if that goes on */
	int depth;     /* of @include */
};

static void page_render(struct page *page, const char *name);

static _Noreturn void stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void stop(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "gen_docs: error: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	exit(1);
}

static void roff_char(char c)
{
	if (c == '\\')
		fputs("\\e", stdout);
	else if (c == '-')
		fputs("\\-", stdout);
	else if (c == '\'')
		fputs("\\(aq", stdout);
	else
		putchar(c);
}

/* A line of running text. A point at its beginning would be a command of roff. */
static void roff_text(const char *text)
{
	bool is_bold = false;

	if (*text == '.')
		fputs("\\&", stdout);
	for (; *text != '\0'; text++) {
		if (*text != '`') {
			roff_char(*text);
			continue;
		}
		is_bold = !is_bold;
		fputs(is_bold ? "\\fB" : "\\fR", stdout);
	}
	if (is_bold)
		stop("a backquote is not closed");
	putchar('\n');
}

static void block_end(struct page *page)
{
	if (page->block == BLOCK_LITERAL)
		puts(page->is_roff ? ".fi\n.RE" : "```");
	page->block = BLOCK_NONE;
	page->is_blank = false;
}

static void heading_print(struct page *page, const char *heading)
{
	block_end(page);
	if (page->is_roff)
		printf(".SH %s\n", heading);
	else
		printf("\n## %c%s\n", heading[0], heading + 1);
}

static void entry_begin(struct page *page, const char *term)
{
	block_end(page);
	if (page->is_roff) {
		fputs(".TP\n", stdout);
		roff_text(term);
	} else {
		printf("\n- %s: ", term);
	}
	page->block = BLOCK_ENTRY;
}

static void point_begin(struct page *page, const char *text)
{
	if (page->block != BLOCK_POINT)
		block_end(page);
	if (page->is_roff) {
		fputs(".IP \\(bu 2\n", stdout);
		roff_text(text);
	} else {
		printf("%s- %s\n", page->block == BLOCK_POINT ? "" : "\n", text);
	}
	page->block = BLOCK_POINT;
}

static void literal_print(struct page *page, const char *text)
{
	if (page->block != BLOCK_LITERAL) {
		block_end(page);
		puts(page->is_roff ? ".PP\n.RS 4\n.nf" : "\n```");
	}
	if (page->is_blank)
		puts("");
	page->is_blank = false;
	if (page->is_roff) {
		fputs("\\&", stdout);
		for (; *text != '\0'; text++)
			roff_char(*text);
		putchar('\n');
	} else {
		puts(text);
	}
	page->block = BLOCK_LITERAL;
}

static void text_print(struct page *page, const char *text)
{
	if (page->block == BLOCK_LITERAL)
		block_end(page);
	if (page->block == BLOCK_NONE) {
		puts(page->is_roff ? ".PP" : "");
		page->block = BLOCK_PARAGRAPH;
	}
	if (page->is_roff)
		roff_text(text);
	else
		printf("%s%s\n", page->block == BLOCK_POINT ? "  " : "", text);
}

/* "--jobs=N", with its letter where it has one. */
static void flag_format(const struct option_row *row, char *text, size_t size)
{
	char letter[8] = "";

	if (row->letter != 0)
		snprintf(letter, sizeof(letter), "`-%c`, ", row->letter);
	snprintf(text, size, "%s`--%s`%s%s", letter, row->name, option_equals(row), row->argument ? row->argument : "");
}

static void options_print(struct page *page, bool settings)
{
	char flag[128], text[512];

	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		const struct option_row *row = &option_table[id];
		const char *fallback = option_fallback(id, page->program->program);

		if ((row->programs & page->program->program) == 0 || row->is_setting != settings)
			continue;
		flag_format(row, flag, sizeof(flag));
		entry_begin(page, flag);
		snprintf(text, sizeof(text), "%c%s.", toupper((unsigned char) row->help[0]), row->help + 1);
		text_print(page, text);
		if (fallback != NULL) {
			snprintf(text, sizeof(text), "Default: `%s`.", fallback);
			text_print(page, text);
		}
	}
	if (!settings) {
		entry_begin(page, "`-V`, `--version`");
		text_print(page, "Print the version and exit.");
		entry_begin(page, "`-?`, `--help`");
		text_print(page, "Print a short help and exit.");
	}
	block_end(page);
}

static void default_markdown(enum option_id id)
{
	const char *general = option_table[id].fallback;

	if (general == NULL) {
		puts("- default: none");
		return;
	}
	printf("- default: `%s`", general);
	for (int i = 0; i < program_table_count; i++) {
		const char *own = option_fallback(id, program_table[i].program);

		if (strcmp(own, general) != 0)
			printf(", `%s` for `%s`", own, program_table[i].name);
	}
	puts("");
}

static void takers_markdown(const struct option_row *row)
{
	bool is_first = true;

	fputs("- used by", stdout);
	for (int i = 0; i < program_table_count; i++) {
		if ((row->programs & program_table[i].program) == 0)
			continue;
		printf("%s `%s`", is_first ? "" : ",", program_table[i].name);
		is_first = false;
	}
	puts("");
}

static void variable_markdown(const char *name)
{
	fputs("`PITR_", stdout);
	for (; *name != '\0'; name++)
		putchar(*name == '-' ? '_' : toupper((unsigned char) *name));
	puts("`");
}

static void setting_markdown(enum option_id id)
{
	const struct option_row *row = &option_table[id];
	const char *least, *most;
	char flag[128];

	flag_format(row, flag, sizeof(flag));
	printf("\n### `%s`\n\n%c%s.\n\n", row->name, toupper((unsigned char) row->help[0]), row->help + 1);
	printf("- flag: %s, environment: ", flag);
	variable_markdown(row->name);
	default_markdown(id);
	if (option_range(id, &least, &most))
		printf("- from `%s` to `%s`\n", least, most);
	takers_markdown(row);
}

static void all_settings_print(struct page *page)
{
	if (page->is_roff)
		stop("@all-settings stands in the reference only");
	block_end(page);
	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		if (option_table[id].is_setting)
			setting_markdown(id);
	}
}

static void command_do(struct page *page, const char *command)
{
	if (strncmp(command, "@include ", 9) == 0) {
		page_render(page, command + 9);
		return;
	}
	if (strcmp(command, "@all-settings") == 0)
		all_settings_print(page);
	else if (page->program != NULL && strcmp(command, "@options") == 0)
		options_print(page, false);
	else if (page->program != NULL && strcmp(command, "@settings") == 0)
		options_print(page, true);
	else
		stop("unknown command \"%s\"", command);
}

static void line_render(struct page *page, const char *line)
{
	if (*line == '\0' && page->block == BLOCK_LITERAL)
		page->is_blank = true;
	else if (*line == '\0')
		block_end(page);
	else if (strncmp(line, "# ", 2) == 0)
		heading_print(page, line + 2);
	else if (strncmp(line, "= ", 2) == 0)
		entry_begin(page, line + 2);
	else if (strncmp(line, "- ", 2) == 0)
		point_begin(page, line + 2);
	else if (strncmp(line, "  ", 2) == 0)
		literal_print(page, line + 2);
	else if (*line == '@')
		command_do(page, line);
	else
		text_print(page, line);
}

static void page_render(struct page *page, const char *name)
{
	char path[LINE_MAX_SIZE], line[LINE_MAX_SIZE];

	if (++page->depth > INCLUDES_MAX)
		stop("too many files include one another at \"%s\"", name);
	snprintf(path, sizeof(path), "%s/%s", page->directory, name);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		stop("could not open \"%s\"", path);
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		line_render(page, line);
	}
	block_end(page);
	if (fclose(file) != 0)
		stop("could not read \"%s\"", path);
	page->depth--;
}

static void lines_print(struct page *page, const char *lines, const char *before)
{
	char line[LINE_MAX_SIZE];

	while (*lines != '\0') {
		int length = (int) strcspn(lines, "\n");

		snprintf(line, sizeof(line), "%s%.*s", before, length, lines);
		literal_print(page, line);
		lines += length + (lines[length] == '\n');
	}
	block_end(page);
}

static void see_also_print(struct page *page)
{
	heading_print(page, "SEE ALSO");
	for (int i = 0; i < program_table_count; i++) {
		if (&program_table[i] != page->program) {
			printf(".BR ");
			for (const char *c = program_table[i].name; *c != '\0'; c++)
				roff_char(*c);
			printf(" (1)%s\n", i == program_table_count - 1 ? "" : ",");
		}
	}
}

static void man_page_print(struct page *page)
{
	const struct program_row *row = page->program;
	char text[LINE_MAX_SIZE];

	puts(".\\\" Generated by tools/gen_docs.c; do not edit. The prose is beside this file, the flags in "
	     "lib/config/options.def.");
	fputs(".TH ", stdout);
	for (const char *c = row->name; *c != '\0'; c++)
		putchar(toupper((unsigned char) *c));
	printf(" 1 \"\" \"pitr %s\" \"pitr\"\n.nh\n.ad l\n.SH NAME\n", PITR_VERSION);
	snprintf(text, sizeof(text), "%s - %s", row->name, row->summary);
	roff_text(text);
	heading_print(page, "SYNOPSIS");
	snprintf(text, sizeof(text), "%s ", row->name);
	lines_print(page, row->usage, text);
	snprintf(text, sizeof(text), "%s.txt", row->name);
	page_render(page, text);
	heading_print(page, "EXAMPLES");
	lines_print(page, row->examples, "");
	see_also_print(page);
}

static const struct program_row *program_find(const char *name)
{
	for (int i = 0; i < program_table_count; i++) {
		if (strcmp(program_table[i].name, name) == 0)
			return &program_table[i];
	}
	stop("no program is called \"%s\"", name);
}

int main(int argc, char **argv)
{
	struct page page = {0};

	if (argc == 4 && strcmp(argv[1], "man") == 0) {
		page.program = program_find(argv[2]);
		page.directory = argv[3];
		page.is_roff = true;
		man_page_print(&page);
	} else if (argc == 3 && strcmp(argv[1], "settings") == 0) {
		page.directory = argv[2];
		puts("<!-- Generated by tools/gen_docs.c; do not edit. The prose is in docs/man/settings.txt, the "
		     "settings are "
		     "in lib/config/options.def. -->\n\n# Settings");
		page_render(&page, "settings.txt");
	} else {
		stop("usage: gen_docs man PROGRAM DIRECTORY | gen_docs settings DIRECTORY");
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		stop("could not write");
	return 0;
}
