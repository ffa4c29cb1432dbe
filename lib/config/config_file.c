#include "config/config_file.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"

#define SECTION_NAME_MAX 63

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static char *trim(char *text)
{
	size_t length;

	while (is_space(*text))
		text++;
	length = strlen(text);
	while (length > 0 && is_space(text[length - 1]))
		text[--length] = '\0';
	return text;
}

bool config_file_fail_in(const struct config_file *file, int line, struct error *err)
{
	err->kind = ERROR_USAGE;
	return fail_in(err, "configuration file \"%s\" line %d", file->path, line);
}

/* A comment begins with # at the beginning of a line or behind a space: "a#b" is a value. */
static void comment_cut(char *text)
{
	for (char *c = text; *c != '\0'; c++) {
		if (*c == '#' && (c == text || is_space(c[-1]))) {
			*c = '\0';
			return;
		}
	}
}

static bool rest_is_empty(char *rest)
{
	comment_cut(rest);
	return *trim(rest) == '\0';
}

/* Takes the quotes off in place; '' within stands for one. `text` begins with the opening quote. */
static bool unquote(char *text, char **value, struct error *err)
{
	char *from = text + 1, *to = text;

	*value = text;
	for (; *from != '\0'; from++) {
		if (*from == '\'' && from[1] != '\'') {
			if (!rest_is_empty(from + 1))
				return fail(err, ERROR_USAGE, "unexpected text behind the closing quote");
			*to = '\0';
			return true;
		}
		if (*from == '\'')
			from++;
		*to++ = *from;
	}
	return fail(err, ERROR_USAGE, "a quoted value does not end");
}

static bool value_parse(char *text, char **value, struct error *err)
{
	if (*text == '\'')
		return unquote(text, value, err);
	comment_cut(text);
	*value = trim(text);
	if (strpbrk(*value, "'\"") != NULL) {
		(void) fail(err, ERROR_USAGE, "a value with quotes in it must be quoted");
		return fail_hint(err, "Write it in single quotes, and a quote within as ''.");
	}
	return true;
}

static bool section_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= SECTION_NAME_MAX && isalnum((unsigned char) name[0]) &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

/* "[cluster NAME]"; `line` begins with the bracket. */
static bool section_parse(char *line, const char **section, struct error *err)
{
	char *end = strchr(line, ']');

	if (end == NULL || !rest_is_empty(end + 1))
		return fail(err, ERROR_USAGE, "a section must look like [cluster NAME]");
	*end = '\0';
	char *kind = trim(line + 1);
	char *name = kind + strcspn(kind, " \t");
	if (*name != '\0')
		*name++ = '\0';
	name = trim(name);
	if (strcmp(kind, "repo") == 0) {
		(void) fail(err, ERROR_USAGE, "sections of repositories are not supported yet");
		return fail_hint(err, "Set \"repo\" at the beginning of the file or in a [cluster NAME] section.");
	}
	if (strcmp(kind, "cluster") != 0) {
		(void) fail(err, ERROR_USAGE, "unknown section \"%.64s\"", kind);
		return fail_hint(err, "A section looks like [cluster NAME].");
	}
	if (!section_name_is_valid(name)) {
		(void) fail(err, ERROR_USAGE, "invalid name of a cluster: \"%.64s\"", name);
		return fail_hint(err, "Use letters, digits, \"_\" and \"-\", at most %d, a letter or digit first.",
				 SECTION_NAME_MAX);
	}
	*section = name;
	return true;
}

/* Twice in one place is a slip, and which of the two was meant is not for us to guess. */
static bool entry_check_new(const struct config_file *file, const struct config_entry *entry, struct error *err)
{
	for (int i = 0; i < file->count; i++) {
		const struct config_entry *other = &file->entries[i];
		bool same_section =
			other->section == entry->section || (other->section != NULL && entry->section != NULL &&
							     strcmp(other->section, entry->section) == 0);

		if (same_section && strcmp(other->name, entry->name) == 0)
			return fail(err, ERROR_USAGE, "\"%.64s\" is set a second time, after line %d", entry->name,
				    other->line);
	}
	return true;
}

static bool setting_parse(struct config_file *file, char *line, int number, const char *section, struct error *err)
{
	struct config_entry *entry = &file->entries[file->count];
	char *equals = strchr(line, '=');
	char *value;

	if (equals == NULL) {
		(void) fail(err, ERROR_USAGE, "could not understand \"%.64s\"", line);
		return fail_hint(err, "A line looks like: name = value");
	}
	if (file->count == CONFIG_ENTRIES_MAX)
		return fail(err, ERROR_USAGE, "more than %d settings", CONFIG_ENTRIES_MAX);
	*equals = '\0';
	TRY(value_parse(trim(equals + 1), &value, err));
	*entry = (struct config_entry){.section = section, .name = trim(line), .value = value, .line = number};
	TRY(entry_check_new(file, entry, err));
	file->count++;
	return true;
}

static bool line_parse(struct config_file *file, char *line, int number, const char **section, struct error *err)
{
	line = trim(line);
	if (*line == '\0' || *line == '#')
		return true;
	if (*line == '[')
		return section_parse(line, section, err);
	return setting_parse(file, line, number, *section, err);
}

static bool lines_parse(struct config_file *file, struct error *err)
{
	char *line = (char *) file->text.data;
	const char *section = NULL;

	for (int number = 1; line != NULL; number++) {
		char *end = strchr(line, '\n');

		if (end != NULL)
			*end = '\0';
		if (!line_parse(file, line, number, &section, err))
			return config_file_fail_in(file, number, err);
		line = end == NULL ? NULL : end + 1;
	}
	return true;
}

/* A directory or a pipe at that name would otherwise read as an empty file, or wait for ever. */
static bool path_check(const char *path, struct error *err)
{
	struct stat status;

	if (stat(path, &status) != 0 || S_ISREG(status.st_mode) || S_ISCHR(status.st_mode))
		return true;
	return fail(err, ERROR_USAGE, "could not use the configuration file \"%s\": it is no file", path);
}

bool config_file_read(struct config_file *file, const char *path, bool *found, struct error *err)
{
	const char *text;

	file->path = path;
	file->count = 0;
	file->text = (struct buf){.size_max = CONFIG_SIZE_MAX};
	*found = true;
	TRY(path_check(path, err));
	if (!fs_read_file(path, &file->text, err)) {
		*found = err->kind != ERROR_NOT_FOUND;
		err->kind = ERROR_USAGE;
		return *found ? fail_in(err, "could not use the configuration file") : true;
	}
	if (file->text.size > 0 && memchr(file->text.data, '\0', file->text.size) != NULL)
		return fail(err, ERROR_USAGE, "\"%s\" is no configuration file: it is not text", path);
	TRY(buf_text(&file->text, &text, err));
	return lines_parse(file, err);
}

void config_file_release(struct config_file *file)
{
	buf_release(&file->text);
	file->count = 0;
}
