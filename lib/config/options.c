#include "config/options.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "config/config_file.h"
#include "config/nearest.h"
#include "config/option_value.h"
#include "config/usage.h"

#ifndef PITR_VERSION
#define PITR_VERSION "unknown"
#endif

#define CONFIG_FILE_DEFAULT "/etc/pitr/pitr.conf"
#define ENVIRONMENT_PREFIX  "PITR_"

/* What the values point into, and what is remembered of each. */
struct options_storage {
	unsigned char sources[OPTION_ID_COUNT];
	const char *texts[OPTION_ID_COUNT]; /* as given; NULL for a flag without a value */
	char config_path[PATH_MAX];
	struct config_file file;
};

static struct options_storage *storage_of(const struct options *options)
{
	return options->storage;
}

static bool option_is_taken(enum option_id id, enum program program)
{
	return (option_table[id].programs & program) != 0;
}

static bool option_set(struct options *options, enum option_id id, enum option_source source, const char *text,
		       struct error *err)
{
	TRY(option_value_parse(id, text, options, err));
	options->sources[id] = (unsigned char) source;
	storage_of(options)->texts[id] = text;
	return true;
}

static bool set_defaults(struct options *options, struct error *err)
{
	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		const char *fallback = option_fallback(id, options->program);

		if (fallback != NULL)
			TRY(option_set(options, id, OPTION_DEFAULT, fallback, err));
	}
	return true;
}

static bool fail_try_help(const struct options *options, struct error *err)
{
	return fail_hint(err, "Try \"%s --help\".", program_row_of(options->program)->name);
}

/* "pitr-archive, pitr-basebackup": who takes it. */
static bool fail_other_program(const struct options *options, enum option_id id, struct error *err)
{
	char takers[256] = "";
	size_t used = 0;

	for (int i = 0; i < program_table_count && used < sizeof(takers); i++) {
		if (option_is_taken(id, program_table[i].program))
			used += (size_t) snprintf(takers + used, sizeof(takers) - used, "%s%s", used ? ", " : "",
						  program_table[i].name);
	}
	(void) fail(err, ERROR_USAGE, "%s has no flag \"--%s\"", program_row_of(options->program)->name,
		    option_table[id].name);
	return fail_hint(err, "It belongs to %s.", takers);
}

static bool fail_unknown_flag(const struct options *options, const char *name, struct error *err)
{
	struct nearest nearest = nearest_init(name);

	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		if (option_is_taken(id, options->program))
			nearest_try(&nearest, option_table[id].name);
	}
	nearest_try(&nearest, "help");
	nearest_try(&nearest, "version");
	(void) fail(err, ERROR_USAGE, "unknown flag \"--%.64s\"", name);
	if (nearest.name == NULL)
		return fail_try_help(options, err);
	return fail_hint(err, "Did you mean \"--%s\"?", nearest.name);
}

static bool fail_unknown_setting(const char *name, struct error *err)
{
	struct nearest nearest = nearest_init(name);

	(void) fail(err, ERROR_USAGE, "unknown setting \"%.64s\"", name);
	if (option_find(name) != OPTION_ID_COUNT)
		return fail_hint(err, "\"%s\" is a flag only.", name);
	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		if (option_table[id].is_setting)
			nearest_try(&nearest, option_table[id].name);
	}
	if (nearest.name == NULL)
		return fail_hint(err, "The settings are listed by --help.");
	return fail_hint(err, "Did you mean \"%s\"?", nearest.name);
}

/* --help and --version, wherever they stand. */
static bool answer(const struct options *options, bool help, struct error *err)
{
	if (help)
		usage_print(options->program, stdout);
	else
		printf("%s (pitr) %s\n", program_row_of(options->program)->name, PITR_VERSION);
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail_errno(err, "could not write to standard output");
	return true;
}

static bool flag_set_switch(struct options *options, enum option_id id, struct error *err)
{
	TRY(option_value_parse(id, "on", options, err));
	options->sources[id] = OPTION_FLAG;
	return true;
}

/* The command line, read from the left. */
struct command_line {
	int argc;
	char **argv;
	int next;
};

static bool value_of_next(struct command_line *line, const char *flag, const char **value, struct error *err)
{
	if (line->next >= line->argc)
		return fail(err, ERROR_USAGE, "flag \"%s\" needs a value", flag);
	*value = line->argv[line->next++];
	return true;
}

/* `word` is "--name" or "--name=value". */
static bool long_flag_parse(struct options *options, struct command_line *line, const char *word, struct error *err)
{
	const char *equals = strchr(word, '=');
	const char *value = equals == NULL ? NULL : equals + 1;
	size_t length = equals == NULL ? strlen(word) - 2 : (size_t) (equals - word) - 2;
	char name[64], flag[68];
	enum option_id id = OPTION_ID_COUNT;

	snprintf(name, sizeof(name), "%.*s", (int) (length < sizeof(name) ? length : sizeof(name) - 1), word + 2);
	if (length < sizeof(name))
		id = option_find(name);
	if (id == OPTION_ID_COUNT)
		return fail_unknown_flag(options, name, err);
	if (!option_is_taken(id, options->program))
		return fail_other_program(options, id, err);
	if (option_table[id].argument == NULL) {
		if (value != NULL)
			return fail(err, ERROR_USAGE, "flag \"--%s\" takes no value", name);
		return flag_set_switch(options, id, err);
	}
	snprintf(flag, sizeof(flag), "--%s", name);
	if (value == NULL && option_is_optional(&option_table[id]))
		value = "forever";
	if (value == NULL)
		TRY(value_of_next(line, flag, &value, err));
	return option_set(options, id, OPTION_FLAG, value, err);
}

static enum option_id letter_find(const struct options *options, char letter)
{
	enum option_id id = 0;

	while (id < OPTION_ID_COUNT && (option_table[id].letter != letter || !option_is_taken(id, options->program)))
		id++;
	return id;
}

/* `word` is "-x", "-xvalue" or "-xyz". */
static bool letters_parse(struct options *options, struct command_line *line, const char *word, struct error *err)
{
	for (const char *letter = word + 1; *letter != '\0'; letter++) {
		enum option_id id = letter_find(options, *letter);
		const char flag[] = {'-', *letter, '\0'};
		const char *value = letter + 1;

		if (id == OPTION_ID_COUNT) {
			(void) fail(err, ERROR_USAGE, "unknown flag \"-%c\"", *letter);
			return fail_try_help(options, err);
		}
		if (option_table[id].argument == NULL) {
			TRY(flag_set_switch(options, id, err));
			continue;
		}
		if (*value == '\0')
			TRY(value_of_next(line, flag, &value, err));
		return option_set(options, id, OPTION_FLAG, value, err);
	}
	return true;
}

static bool argument_add(struct options *options, const char *word, struct error *err)
{
	const struct program_row *row = program_row_of(options->program);
	struct texts *arguments = &options->arguments;

	if (arguments->count == row->arguments_most) {
		(void) fail(err, ERROR_USAGE, "unexpected argument \"%.200s\"", word);
		return fail_try_help(options, err);
	}
	arguments->items[arguments->count++] = word;
	return true;
}

static bool arguments_check(const struct options *options, struct error *err)
{
	const struct program_row *row = program_row_of(options->program);

	if (options->arguments.count >= row->arguments_least)
		return true;
	(void) fail(err, ERROR_USAGE, "missing argument: %s %s", row->name, row->arguments);
	return fail_try_help(options, err);
}

static bool command_line_parse(struct options *options, int argc, char **argv, enum options_outcome *outcome,
			       struct error *err)
{
	struct command_line line = {.argc = argc, .argv = argv, .next = 1};
	bool flags_end = false;

	while (line.next < argc) {
		const char *word = argv[line.next++];
		bool help = strcmp(word, "--help") == 0 || strcmp(word, "-?") == 0;
		bool version = strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;

		if (flags_end || word[0] != '-' || word[1] == '\0') {
			TRY(argument_add(options, word, err));
		} else if (strcmp(word, "--") == 0) {
			flags_end = true;
		} else if (help || version) {
			*outcome = OPTIONS_ANSWERED;
			return answer(options, help, err);
		} else if (word[1] == '-') {
			TRY(long_flag_parse(options, &line, word, err));
		} else {
			TRY(letters_parse(options, &line, word, err));
		}
	}
	return arguments_check(options, err);
}

/* "PITR_KEY_FILE=…" to "key-file". False when the name is too long to be one of ours. */
static bool environment_name(const char *variable, char name[64])
{
	size_t prefix = strlen(ENVIRONMENT_PREFIX), length = strcspn(variable, "=");

	if (length - prefix >= 64)
		return false;
	for (size_t i = prefix; i < length; i++) {
		char c = variable[i];
		name[i - prefix] = c == '_' ? '-' : (char) tolower((unsigned char) c);
	}
	name[length - prefix] = '\0';
	return true;
}

static bool variable_parse(struct options *options, const char *variable, struct error *err)
{
	const char *value = strchr(variable, '=') + 1;
	char name[64] = "";
	enum option_id id = environment_name(variable, name) ? option_find(name) : OPTION_ID_COUNT;
	bool known = id != OPTION_ID_COUNT && (option_table[id].is_setting || id == OPTION_ID_config);
	struct options unused = {0};

	if (!known)
		return fail_unknown_setting(name, err);
	if (options->sources[id] == OPTION_FLAG)
		return option_value_parse(id, value, &unused, err);
	return option_set(options, id, OPTION_ENVIRONMENT, value, err);
}

static bool environment_parse(struct options *options, struct error *err)
{
	for (char **variable = environ; *variable != NULL; variable++) {
		if (strncmp(*variable, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) != 0 ||
		    strchr(*variable, '=') == NULL)
			continue;
		if (!variable_parse(options, *variable, err))
			return fail_in(err, "environment variable %.*s", (int) strcspn(*variable, "="), *variable);
	}
	return true;
}

/* A path in a file means the same wherever the program is started: the archiver runs in the data directory, cron
 * in a home directory. */
static bool entry_check_path(const struct option_row *row, const char *value, struct error *err)
{
	if (!option_is_path(row) || value[0] == '/' || strstr(value, "://") != NULL)
		return true;
	(void) fail(err, ERROR_USAGE, "\"%s\" must be a full path, not \"%.200s\"", row->name, value);
	return fail_hint(err, "Begin it with \"/\".");
}

/* Every entry is checked, also those for another cluster or another program. */
static bool entry_check(const struct config_entry *entry, struct error *err)
{
	enum option_id id = option_find(entry->name);
	struct options unused = {0};

	if (id == OPTION_ID_COUNT || !option_table[id].is_setting)
		return fail_unknown_setting(entry->name, err);
	if (id == OPTION_ID_cluster && entry->section != NULL)
		return fail(err, ERROR_USAGE, "the section names the cluster: \"cluster\" cannot be set in it");
	TRY(option_value_parse(id, entry->value, &unused, err));
	return entry_check_path(&option_table[id], entry->value, err);
}

static bool entries_check(const struct config_file *file, struct error *err)
{
	for (int i = 0; i < file->count; i++) {
		if (!entry_check(&file->entries[i], err))
			return config_file_fail_in(file, file->entries[i].line, err);
	}
	return true;
}

/* Sets what flags and environment left open from the entries of one section (NULL: those for all). */
static bool entries_apply(struct options *options, const char *section, struct error *err)
{
	const struct config_file *file = &storage_of(options)->file;

	for (int i = 0; i < file->count; i++) {
		const struct config_entry *entry = &file->entries[i];
		bool wanted = section == NULL ? entry->section == NULL
					      : entry->section != NULL && strcmp(entry->section, section) == 0;
		enum option_id id = option_find(entry->name);

		if (wanted && options->sources[id] <= OPTION_FILE)
			TRY(option_set(options, id, OPTION_FILE, entry->value, err));
	}
	return true;
}

static bool same_place(const char *a, const char *b)
{
	char real_a[PATH_MAX], real_b[PATH_MAX];

	return realpath(a, real_a) != NULL && realpath(b, real_b) != NULL && strcmp(real_a, real_b) == 0;
}

/* Which data directory is this about? The one that was named; else where PostgreSQL starts its commands (there is a
 * PG_VERSION); else $PGDATA. NULL: not known. */
static const char *data_directory(const struct options *options)
{
	if (options->pgdata != NULL && options->sources[OPTION_ID_pgdata] >= OPTION_ENVIRONMENT)
		return options->pgdata;
	if (access("PG_VERSION", F_OK) == 0)
		return ".";
	return getenv("PGDATA");
}

static const char *section_of_directory(const struct config_file *file, const char *directory)
{
	for (int i = 0; i < file->count; i++) {
		const struct config_entry *entry = &file->entries[i];

		if (entry->section != NULL && strcmp(entry->name, "pgdata") == 0 && same_place(entry->value, directory))
			return entry->section;
	}
	return NULL;
}

static const char *section_of_name(const struct config_file *file, const char *name)
{
	for (int i = 0; i < file->count; i++) {
		const struct config_entry *entry = &file->entries[i];

		if (entry->section != NULL && strcmp(entry->section, name) == 0)
			return entry->section;
	}
	return NULL;
}

static bool fail_which_cluster(const struct config_file *file, struct error *err)
{
	char names[300] = "";
	const char *last = "";
	size_t used = 0;

	for (int i = 0; i < file->count && used < sizeof(names); i++) {
		const char *section = file->entries[i].section;

		if (section == NULL || strcmp(section, last) == 0)
			continue;
		used += (size_t) snprintf(names + used, sizeof(names) - used, "%s\"%s\"", used ? ", " : "", section);
		last = section;
	}
	(void) fail(err, ERROR_USAGE, "could not tell which cluster of \"%s\" is meant", file->path);
	return fail_hint(err, "Give --cluster or --pgdata; the file has %s.", names);
}

/* By name when one was given, else by the data directory, else the default name; never by being the first.
 * *section may become NULL: nothing but the settings for all applies. */
static bool section_choose(struct options *options, const char **section, struct error *err)
{
	const struct config_file *file = &storage_of(options)->file;
	const char *directory = data_directory(options);
	bool has_sections = false;

	for (int i = 0; i < file->count; i++)
		has_sections = has_sections || file->entries[i].section != NULL;
	*section = NULL;
	if (options->sources[OPTION_ID_cluster] <= OPTION_FILE && directory != NULL)
		*section = section_of_directory(file, directory);
	if (*section == NULL)
		*section = section_of_name(file, options->cluster);
	if (*section == NULL && has_sections && options->sources[OPTION_ID_cluster] == OPTION_DEFAULT)
		return fail_which_cluster(file, err);
	return true;
}

static bool file_apply(struct options *options, struct error *err)
{
	const char *section;

	TRY(entries_check(&storage_of(options)->file, err));
	TRY(entries_apply(options, NULL, err));
	TRY(section_choose(options, &section, err));
	if (section == NULL)
		return true;
	if (options->sources[OPTION_ID_cluster] <= OPTION_FILE)
		TRY(option_set(options, OPTION_ID_cluster, OPTION_FILE, section, err));
	return entries_apply(options, section, err);
}

/* What a path means to a process that runs elsewhere. */
static bool path_complete(const char *path, char complete[PATH_MAX], struct error *err)
{
	char here[PATH_MAX];

	if (path[0] == '/')
		here[0] = '\0';
	else if (getcwd(here, sizeof(here)) == NULL)
		return fail_errno(err, "could not tell the current directory");
	if (here[0] != '\0')
		return path_join(complete, here, path, err);
	if (snprintf(complete, PATH_MAX, "%s", path) >= PATH_MAX)
		return fail(err, ERROR_USAGE, "path is too long: \"%.200s…\"", path);
	return true;
}

static bool file_parse(struct options *options, struct error *err)
{
	struct options_storage *storage = storage_of(options);
	bool is_named = options->config != NULL;
	bool found;

	TRY(path_complete(is_named ? options->config : CONFIG_FILE_DEFAULT, storage->config_path, err));
	options->config_path = storage->config_path;
	TRY(config_file_read(&storage->file, storage->config_path, &found, err));
	if (!found && is_named)
		return fail(err, ERROR_USAGE, "configuration file \"%s\" does not exist", storage->config_path);
	if (!found)
		return true;
	options->config_file = storage->config_path;
	return file_apply(options, err);
}

static bool pgdata_from_environment(struct options *options, struct error *err)
{
	const char *directory = getenv("PGDATA");

	if (options->pgdata != NULL || directory == NULL || *directory == '\0')
		return true;
	return option_set(options, OPTION_ID_pgdata, OPTION_ENVIRONMENT, directory, err);
}

bool options_parse(enum program program, int argc, char **argv, struct options *options, enum options_outcome *outcome,
		   struct error *err)
{
	*options = (struct options){.program = program, .argv = argv};
	*outcome = OPTIONS_RUN;
	options->storage = calloc(1, sizeof(struct options_storage));
	if (options->storage == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	options->sources = storage_of(options)->sources;
	TRY(set_defaults(options, err));
	TRY(command_line_parse(options, argc, argv, outcome, err));
	if (*outcome == OPTIONS_ANSWERED)
		return true;
	TRY(environment_parse(options, err));
	TRY(file_parse(options, err));
	return pgdata_from_environment(options, err);
}

void options_release(struct options *options)
{
	if (options->storage != NULL)
		config_file_release(&storage_of(options)->file);
	free(options->storage);
	options->storage = NULL;
	options->sources = NULL;
}

enum log_level options_log_level(const struct options *options)
{
	static const char *const NAMES[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARNING] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	for (int level = LOG_LEVEL_ERROR; level < LOG_LEVEL_DEBUG; level++) {
		if (strcmp(options->log_level, NAMES[level]) == 0)
			return (enum log_level) level;
	}
	return LOG_LEVEL_DEBUG;
}

bool shell_quote(struct buf *command, const char *text, struct error *err)
{
	static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@,+-";

	if (*text != '\0' && strspn(text, PLAIN) == strlen(text))
		return buf_append_text(command, text, err);
	TRY(buf_append_text(command, "'", err));
	while (*text != '\0') {
		size_t length = strcspn(text, "'");

		TRY(buf_append(command, bytes_of(text, length), err));
		text += length;
		if (*text == '\'') {
			TRY(buf_append_text(command, "'\\''", err));
			text++;
		}
	}
	return buf_append_text(command, "'", err);
}

static bool setting_append(struct buf *command, const char *name, const char *value, struct error *err)
{
	TRY(buf_format(command, err, " --%s=", name));
	return shell_quote(command, value, err);
}

static bool setting_is_handed_on(const struct options *options, enum option_id id, enum program program)
{
	const struct option_row *row = &option_table[id];

	if (!row->is_setting || (row->programs & program) == 0 || id == OPTION_ID_pgdata)
		return false;
	/* Always where a file was read: from another directory, another of its sections might be chosen. */
	if (id == OPTION_ID_cluster && options->config_file != NULL)
		return true;
	return options->sources[id] != OPTION_DEFAULT;
}

bool options_format_settings(const struct options *options, enum program program, struct buf *command,
			     struct error *err)
{
	if (options->config_file != NULL)
		TRY(setting_append(command, "config", options->config_file, err));
	for (enum option_id id = 0; id < OPTION_ID_COUNT; id++) {
		const char *value = storage_of(options)->texts[id];
		char path[PATH_MAX];

		if (!setting_is_handed_on(options, id, program))
			continue;
		if (option_is_path(&option_table[id]) && strstr(value, "://") == NULL) {
			TRY(path_complete(value, path, err));
			value = path;
		}
		TRY(setting_append(command, option_table[id].name, value, err));
	}
	return true;
}
