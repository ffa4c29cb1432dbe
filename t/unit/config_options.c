/* Settings from flags, environment and file: what was given, and the value or the exact sentence that comes of it. */
#include "config/options.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/option_table.h"
#include "tap.h"

#define WORDS_MAX 8

/* One trial: words of the command line behind the program's name, one variable "NAME=value", the file's text. The
 * answer is the value of the option `name`, or what the error says with "<file>" for the file's path, and its hint. */
struct trial {
	enum program program;
	const char *words[WORDS_MAX];
	const char *variable, *file;
	const char *name, *answer, *hint;
};

static const struct trial TRIALS[] = {
	/* Defaults, and those that depend on the program */
	{PITR_RESTORE, {0}, NULL, NULL, "cluster", "main", NULL},
	{PITR_RESTORE, {0}, NULL, NULL, "repo", "(none)", NULL},
	{PITR_RESTORE, {0}, NULL, NULL, "retry-for", "60000", NULL},
	{PITR_FETCH, {"a", "b"}, NULL, NULL, "retry-for", "300000", NULL},
	{PITR_RESTORE, {0}, NULL, NULL, "log-level", "info", NULL},
	{PITR_ARCHIVE, {"a"}, NULL, NULL, "log-level", "warning", NULL},
	{PITR_RESTORE, {0}, NULL, NULL, "memory", "268435456", NULL},
	{PITR_RESTORE, {0}, NULL, NULL, "compress", "lz4", NULL},
	{PITR_RESTORE, {0}, NULL, NULL, "s3-create-only", "on", NULL},
	/* The forms of flags */
	{PITR_RESTORE, {"--repo=/a"}, NULL, NULL, "repo", "/a", NULL},
	{PITR_RESTORE, {"--repo", "/a"}, NULL, NULL, "repo", "/a", NULL},
	{PITR_RESTORE, {"--repo=/a", "--repo=/b"}, NULL, NULL, "repo", "/b", NULL},
	{PITR_RESTORE, {"--target-time", "10 minutes ago"}, NULL, NULL, "target-time", "10 minutes ago", NULL},
	{PITR_RESTORE, {"-D", "/d"}, NULL, NULL, "pgdata", "/d", NULL},
	{PITR_RESTORE, {"-D/d"}, NULL, NULL, "pgdata", "/d", NULL},
	{PITR_RESTORE, {"-PnD/d"}, NULL, NULL, "pgdata", "/d", NULL},
	{PITR_RESTORE, {"-PnD/d"}, NULL, NULL, "dry-run", "on", NULL},
	{PITR_RESTORE, {"-T", "/a=/b", "-T/c=/d"}, NULL, NULL, "tablespace-mapping", "/a=/b /c=/d", NULL},
	{PITR_RESTORE, {"--dry-run"}, NULL, NULL, "dry-run", "on", NULL},
	{PITR_BASEBACKUP, {"-h", "/run", "-p5433", "-U", "backup"}, NULL, NULL, "port", "5433", NULL},
	{PITR_BASEBACKUP, {"-r", "32M"}, NULL, NULL, "max-rate", "33554432", NULL},
	{PITR_ARCHIVE, {"--", "--repo"}, NULL, NULL, "repo", "(none)", NULL},
	{PITR_ARCHIVE, {"--s3-create-only=off", "a"}, NULL, NULL, "s3-create-only", "off", NULL},
	/* Values */
	{PITR_ARCHIVE, {"--compress=zstd:3", "a"}, NULL, NULL, "compress", "zstd:3", NULL},
	{PITR_RESTORE, {"--retry-for=5 min"}, NULL, NULL, "retry-for", "300000", NULL},
	{PITR_RESTORE, {"--retry-for=30s"}, NULL, NULL, "retry-for", "30000", NULL},
	{PITR_RESTORE, {"--retry-for=1h"}, NULL, NULL, "retry-for", "3600000", NULL},
	{PITR_RESTORE, {"--memory=512 mb"}, NULL, NULL, "memory", "536870912", NULL},
	{PITR_RESTORE, {"-j", "64"}, NULL, NULL, "jobs", "64", NULL},
	/* Flag beats environment beats file */
	{PITR_RESTORE, {0}, "PITR_REPO=/e", "repo = /f\n", "repo", "/e", NULL},
	{PITR_RESTORE, {"--repo=/a"}, "PITR_REPO=/e", "repo = /f\n", "repo", "/a", NULL},
	{PITR_RESTORE, {0}, "PITR_S3_CREATE_ONLY=off", NULL, "s3-create-only", "off", NULL},
	{PITR_RESTORE, {0}, NULL, "repo = /f\n", "repo", "/f", NULL},
	{PITR_RESTORE, {0}, "PGDATA=/p", NULL, "pgdata", "/p", NULL},
	{PITR_RESTORE, {0}, "PGDATA=/p", "pgdata = /f\n", "pgdata", "/f", NULL},
	{PITR_RESTORE, {0}, "TEST_PITR_ANYTHING=1", NULL, "cluster", "main", NULL},
	/* The file's grammar */
	{PITR_RESTORE, {0}, NULL, "# all\n\n  repo\t=  /f   # where\r\n", "repo", "/f", NULL},
	{PITR_RESTORE, {0}, NULL, "repo=/f#1", "repo", "/f#1", NULL},
	{PITR_RESTORE, {0}, NULL, "repo = '/it''s # here' # a comment\n", "repo", "/it's # here", NULL},
	{PITR_RESTORE, {0}, NULL, "retry-for = 5 min\n", "retry-for", "300000", NULL},
	{PITR_FETCH, {"a", "b"}, NULL, "compress = zstd\n", "compress", "zstd", NULL},
	{PITR_RESTORE,
	 {"--cluster=b"},
	 NULL,
	 "repo=/f\n[cluster a]\nrepo=/a\n[cluster b]\nrepo=/b\n",
	 "repo",
	 "/b",
	 NULL},
	{PITR_RESTORE,
	 {"--cluster=c"},
	 NULL,
	 "repo=/f\n[cluster a]\nrepo=/a\n[cluster b]\nrepo=/b\n",
	 "repo",
	 "/f",
	 NULL},
	{PITR_RESTORE, {"-D/"}, NULL, "[cluster a]\npgdata=/usr\n[cluster b]\npgdata='/'\n", "cluster", "b", NULL},
	{PITR_RESTORE, {"-D/usr/../"}, NULL, "[cluster b]\npgdata=/\nrepo=/b\n", "repo", "/b", NULL},
	{PITR_RESTORE, {0}, "PGDATA=/usr", "[cluster a]\npgdata=/usr\n[cluster b]\npgdata=/\n", "cluster", "a", NULL},
	{PITR_RESTORE, {0}, NULL, "repo=/f\n[cluster a]\nrepo=/a\n[cluster main]\nrepo=/m\n", "repo", "/m", NULL},
	{PITR_RESTORE, {"-D/nowhere"}, NULL, "repo=/f\n[cluster main]\nrepo=/m\n", "repo", "/m", NULL},
	{PITR_RESTORE,
	 {"--cluster=a", "-D/"},
	 NULL,
	 "[cluster a]\nrepo=/a\n[cluster b]\npgdata=/\n",
	 "cluster",
	 "a",
	 NULL},

	/* Refused: flags */
	{PITR_RESTORE,
	 {"--targt-time=x"},
	 NULL,
	 NULL,
	 NULL,
	 "unknown flag \"--targt-time\"",
	 "Did you mean \"--target-time\"?"},
	{PITR_RESTORE,
	 {"--endpoint=x"},
	 NULL,
	 NULL,
	 NULL,
	 "unknown flag \"--endpoint\"",
	 "Did you mean \"--s3-endpoint\"?"},
	{PITR_RESTORE,
	 {"--s3_endpoint=x"},
	 NULL,
	 NULL,
	 NULL,
	 "unknown flag \"--s3_endpoint\"",
	 "Did you mean \"--s3-endpoint\"?"},
	{PITR_RESTORE,
	 {"--kms-key=x"},
	 NULL,
	 NULL,
	 NULL,
	 "unknown flag \"--kms-key\"",
	 "Did you mean \"--s3-kms-key-id\"?"},
	{PITR_RESTORE, {"--xyzzy"}, NULL, NULL, NULL, "unknown flag \"--xyzzy\"", "Try \"pitr-restore --help\"."},
	{PITR_RESTORE, {"-x"}, NULL, NULL, NULL, "unknown flag \"-x\"", "Try \"pitr-restore --help\"."},
	{PITR_FETCH,
	 {"--compress=lz4"},
	 NULL,
	 NULL,
	 NULL,
	 "pitr-fetch has no flag \"--compress\"",
	 "It belongs to pitr-archive, pitr-basebackup."},
	{PITR_RESTORE, {"--repo"}, NULL, NULL, NULL, "flag \"--repo\" needs a value", ""},
	{PITR_RESTORE, {"-D"}, NULL, NULL, NULL, "flag \"-D\" needs a value", ""},
	{PITR_RESTORE, {"--repo="}, NULL, NULL, NULL, "\"repo\" needs a value", ""},
	{PITR_RESTORE, {"--dry-run=yes"}, NULL, NULL, NULL, "flag \"--dry-run\" takes no value", ""},
	{PITR_RESTORE, {"now"}, NULL, NULL, NULL, "unexpected argument \"now\"", "Try \"pitr-restore --help\"."},
	{PITR_FETCH,
	 {"a"},
	 NULL,
	 NULL,
	 NULL,
	 "missing argument: pitr-fetch WAL-NAME DESTINATION",
	 "Try \"pitr-fetch --help\"."},
	{PITR_FETCH, {"a", "b", "c"}, NULL, NULL, NULL, "unexpected argument \"c\"", "Try \"pitr-fetch --help\"."},
	/* Refused: values */
	{PITR_RESTORE,
	 {"--retry-for=5"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"5\" for \"retry-for\"",
	 "A time has a number and a unit: \"30s\", \"5 min\", \"1h\"."},
	{PITR_RESTORE,
	 {"--retry-for=-5s"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"-5s\" for \"retry-for\"",
	 "A time has a number and a unit: \"30s\", \"5 min\", \"1h\"."},
	{PITR_RESTORE,
	 {"--memory=256"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"256\" for \"memory\"",
	 "A size has a number and a unit: \"256MB\", \"20 MB\", \"512kB\"."},
	{PITR_RESTORE,
	 {"--memory=99999999999TB"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"99999999999TB\" for \"memory\"",
	 "A size has a number and a unit: \"256MB\", \"20 MB\", \"512kB\"."},
	{PITR_RESTORE,
	 {"--memory=1kB"},
	 NULL,
	 NULL,
	 NULL,
	 "value \"1kB\" for \"memory\" is out of range",
	 "Use 32MB to 1TB."},
	{PITR_RESTORE, {"-j0"}, NULL, NULL, NULL, "value \"0\" for \"jobs\" is out of range", "Use 1 to 64."},
	{PITR_RESTORE, {"-jmany"}, NULL, NULL, NULL, "invalid value \"many\" for \"jobs\"", "Use a whole number."},
	{PITR_ARCHIVE,
	 {"--compress=gzip", "a"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"gzip\" for \"compress\"",
	 "Use \"lz4\", \"zstd\" or \"none\", with a level as \"zstd:3\"."},
	{PITR_ARCHIVE,
	 {"--compress=zstd:", "a"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"zstd:\" for \"compress\"",
	 "Use \"lz4\", \"zstd\" or \"none\", with a level as \"zstd:3\"."},
	{PITR_RESTORE,
	 {"--s3-addressing=auto"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"auto\" for \"s3-addressing\"",
	 "Use \"path\" or \"virtual\"."},
	{PITR_RESTORE,
	 {"--s3-create-only=maybe"},
	 NULL,
	 NULL,
	 NULL,
	 "invalid value \"maybe\" for \"s3-create-only\"",
	 "Use \"on\" or \"off\"."},
	{PITR_BASEBACKUP,
	 {"--max-rate=1kB"},
	 NULL,
	 NULL,
	 NULL,
	 "value \"1kB\" for \"max-rate\" is out of range",
	 "Use 32kB to 1GB."},
	/* Refused: environment */
	{PITR_RESTORE,
	 {0},
	 "PITR_KEYFILE=/k",
	 NULL,
	 NULL,
	 "environment variable PITR_KEYFILE: unknown setting \"keyfile\"",
	 "Did you mean \"key-file\"?"},
	{PITR_RESTORE,
	 {0},
	 "PITR_TARGET_TIME=now",
	 NULL,
	 NULL,
	 "environment variable PITR_TARGET_TIME: unknown setting \"target-time\"",
	 "\"target-time\" is a flag only."},
	{PITR_RESTORE,
	 {0},
	 "PITR_RETRY_FOR=5",
	 NULL,
	 NULL,
	 "environment variable PITR_RETRY_FOR: invalid value \"5\" for \"retry-for\"",
	 "A time has a number and a unit: \"30s\", \"5 min\", \"1h\"."},
	{PITR_RESTORE,
	 {"--retry-for=5s"},
	 "PITR_RETRY_FOR=5",
	 NULL,
	 NULL,
	 "environment variable PITR_RETRY_FOR: invalid value \"5\" for \"retry-for\"",
	 "A time has a number and a unit: \"30s\", \"5 min\", \"1h\"."},
	{PITR_RESTORE,
	 {0},
	 "PITR_KEY_FILE=",
	 NULL,
	 NULL,
	 "environment variable PITR_KEY_FILE: \"key-file\" needs a value",
	 ""},
	/* Refused: file */
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo = /f\ncompres = lz4\n",
	 NULL,
	 "configuration file \"<file>\" line 2: unknown setting \"compres\"",
	 "Did you mean \"compress\"?"},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "config = /x\n",
	 NULL,
	 "configuration file \"<file>\" line 1: unknown setting \"config\"",
	 "\"config\" is a flag only."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "\n\nretry-for = soon\n",
	 NULL,
	 "configuration file \"<file>\" line 3: invalid value \"soon\" for \"retry-for\"",
	 "A time has a number and a unit: \"30s\", \"5 min\", \"1h\"."},
	{PITR_RESTORE,
	 {"--retry-for=5s"},
	 NULL,
	 "retry-for = soon\n",
	 NULL,
	 "configuration file \"<file>\" line 1: invalid value \"soon\" for \"retry-for\"",
	 "A time has a number and a unit: \"30s\", \"5 min\", \"1h\"."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo /f\n",
	 NULL,
	 "configuration file \"<file>\" line 1: could not understand \"repo /f\"",
	 "A line looks like: name = value"},
	{PITR_RESTORE, {0}, NULL, "repo =\n", NULL, "configuration file \"<file>\" line 1: \"repo\" needs a value", ""},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo = '/f\n",
	 NULL,
	 "configuration file \"<file>\" line 1: a quoted value does not end",
	 ""},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo = '/f' x\n",
	 NULL,
	 "configuration file \"<file>\" line 1: unexpected text behind the closing quote",
	 ""},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo = \"/f\"\n",
	 NULL,
	 "configuration file \"<file>\" line 1: a value with quotes in it must be quoted",
	 "Write it in single quotes, and a quote within as ''."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo = /f\nrepo = /g\n",
	 NULL,
	 "configuration file \"<file>\" line 2: \"repo\" is set a second time, after line 1",
	 ""},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "repo = backups\n",
	 NULL,
	 "configuration file \"<file>\" line 1: \"repo\" must be a full path, not \"backups\"",
	 "Begin it with \"/\"."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "[repo far]\n",
	 NULL,
	 "configuration file \"<file>\" line 1: sections of repositories are not supported yet",
	 "Set \"repo\" at the beginning of the file or in a [cluster NAME] section."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "[server a]\n",
	 NULL,
	 "configuration file \"<file>\" line 1: unknown section \"server\"",
	 "A section looks like [cluster NAME]."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "[cluster a\n",
	 NULL,
	 "configuration file \"<file>\" line 1: a section must look like [cluster NAME]",
	 ""},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "[cluster ../a]\n",
	 NULL,
	 "configuration file \"<file>\" line 1: invalid name of a cluster: \"../a\"",
	 "Use letters, digits, \"_\" and \"-\", at most 63, a letter or digit first."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "[cluster a]\ncluster = b\n",
	 NULL,
	 "configuration file \"<file>\" line 2: the section names the cluster: \"cluster\" cannot be set in it",
	 ""},
	{PITR_RESTORE,
	 {"--cluster=a"},
	 NULL,
	 "[cluster a]\nrepo=/a\n[cluster b]\njobs = few\n",
	 NULL,
	 "configuration file \"<file>\" line 4: invalid value \"few\" for \"jobs\"",
	 "Use a whole number."},
	{PITR_RESTORE,
	 {0},
	 NULL,
	 "[cluster a]\nrepo=/a\n[cluster b]\nrepo=/b\n",
	 NULL,
	 "could not tell which cluster of \"<file>\" is meant",
	 "Give --cluster or --pgdata; the file has \"a\", \"b\"."},
};

static char config_path[64];

static void value_format(const struct options *options, const char *name, char *text, size_t size)
{
	const struct option_row *row = &option_table[option_find(name)];
	const void *member = (const char *) options + row->offset;

	if (row->type == OPTION_TEXT) {
		const char *value = *(const char *const *) member;
		snprintf(text, size, "%s", value ? value : "(none)");
	} else if (row->type == OPTION_SWITCH) {
		snprintf(text, size, "%s", *(const bool *) member ? "on" : "off");
	} else if (row->type == OPTION_TEXTS) {
		const struct texts *texts = member;
		size_t used = 0;
		for (int i = 0; i < texts->count; i++)
			used += (size_t) snprintf(text + used, size - used, "%s%s", i ? " " : "", texts->items[i]);
	} else {
		snprintf(text, size, "%lld", (long long) *(const int64_t *) member);
	}
}

/* "<file>" in place of the path, so that the sentences of the table are exact. */
static void path_hide(const char *text, char *hidden, size_t size)
{
	const char *at = strstr(text, config_path);

	if (at == NULL)
		snprintf(hidden, size, "%s", text);
	else
		snprintf(hidden, size, "%.*s<file>%s", (int) (at - text), text, at + strlen(config_path));
}

static void file_write(const char *text)
{
	FILE *file = fopen(config_path, "w");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
		printf("Bail out! could not write %s\n", config_path);
		exit(1);
	}
}

static bool parse(enum program program, const char *const *words, struct options *options, struct error *err)
{
	char *argv[WORDS_MAX + 2] = {(char *) "program"};
	enum options_outcome outcome;
	int argc = 1;

	for (int i = 0; i < WORDS_MAX && words[i] != NULL; i++)
		argv[argc++] = (char *) words[i];
	return options_parse(program, argc, argv, options, &outcome, err);
}

static void test_trial(const struct trial *trial)
{
	struct options options OPTIONS_CLEANUP;
	struct error err = {0};
	char variable[128] = "", name[512], got[1200];

	file_write(trial->file ? trial->file : "");
	if (trial->variable != NULL) {
		snprintf(variable, sizeof(variable), "%.*s", (int) strcspn(trial->variable, "="), trial->variable);
		setenv(variable, strchr(trial->variable, '=') + 1, 1);
	}
	bool passed = parse(trial->program, trial->words, &options, &err);
	if (variable[0] != '\0')
		unsetenv(variable);
	snprintf(name, sizeof(name), "%s %s: %s", trial->words[0] ? trial->words[0] : "",
		 trial->variable ? trial->variable : "", trial->answer);
	if (passed && trial->name != NULL)
		value_format(&options, trial->name, got, sizeof(got));
	else
		path_hide(err.text, got, sizeof(got));
	is_text(got, trial->answer, name);
	if (trial->name == NULL) {
		is_text(err.hint, trial->hint, "  with its hint");
		ok(err.kind == ERROR_USAGE, "  as a mistake of usage");
	}
}

static void test_missing_file(void)
{
	struct options options OPTIONS_CLEANUP, other OPTIONS_CLEANUP;
	struct error err = {0};

	ok(!parse(PITR_FETCH, (const char *[]){"--config=/nowhere/pitr.conf", "a", "b", NULL}, &options, &err),
	   "a configuration file that was named must be there");
	is_text(err.text, "configuration file \"/nowhere/pitr.conf\" does not exist", "and the message says so");
	ok(err.kind == ERROR_USAGE, "which is never \"not found\" to a recovering server");
	ok(!parse(PITR_FETCH, (const char *[]){"--config=/usr", "a", "b", NULL}, &other, &err) &&
		   err.kind == ERROR_USAGE,
	   "a directory is no configuration file");
	is_text(err.text, "could not use the configuration file \"/usr\": it is no file", "and the message says so");
}

static void test_large_file(void)
{
	struct options options OPTIONS_CLEANUP;
	struct error err = {0};
	char *text = calloc(1, 300 * 1024);

	if (text == NULL)
		return;
	memset(text, '\n', 300 * 1024 - 1);
	file_write(text);
	free(text);
	ok(!parse(PITR_FETCH, (const char *[]){"a", "b", NULL}, &options, &err), "a file of 300 kB is refused");
	ok(err.kind == ERROR_USAGE, "as a mistake of usage, not as a damaged object");
	ok(strncmp(err.text, "could not use the configuration file: ", 38) == 0, "and named: %s", err.text);
}

static void test_format_settings(void)
{
	static const char *const WORDS[] = {"--retry-for=2 min", "--key-file=k", "-D/d",
					    "--target-time=now", "--jobs=3",	 NULL};
	struct options options OPTIONS_CLEANUP;
	struct error err = {0};
	char here[1024], expected[2048];
	const char *text = "";
	BUF(command, 4 * KiB);

	file_write("[cluster main]\nrepo = '/it''s'\ns3-create-only = off\n");
	bool passed = parse(PITR_RESTORE, WORDS, &options, &err) &&
		      options_format_settings(&options, PITR_FETCH, &command, &err) && buf_text(&command, &text, &err);
	ok(passed, "settings are written for another program");
	if (getcwd(here, sizeof(here)) == NULL)
		here[0] = '\0';
	snprintf(expected, sizeof(expected),
		 " --config=%s --repo='/it'\\''s' --cluster=main --key-file=%s/k --jobs=3 --retry-for='2 min' "
		 "--s3-create-only=off",
		 config_path, here);
	is_text(text, expected, "those it takes, that are not default, with full paths, quoted for the shell");
}

static void test_quoting(void)
{
	static const char *const PAIRS[][2] = {
		{"a/b-c.d:e", "a/b-c.d:e"}, {"", "''"},	      {"a b", "'a b'"}, {"'", "''\\'''"},
		{"$(x)", "'$(x)'"},	    {"a;b", "'a;b'"}, {"~", "'~'"}};
	struct error err = {0};

	for (size_t i = 0; i < sizeof(PAIRS) / sizeof(PAIRS[0]); i++) {
		const char *text = "";
		BUF(command, KiB);

		if (!shell_quote(&command, PAIRS[i][0], &err) || !buf_text(&command, &text, &err))
			text = err.text;
		is_text(text, PAIRS[i][1], "a word for the shell");
	}
}

static void test_jobs(void)
{
	struct options options OPTIONS_CLEANUP;
	struct error err = {0};

	file_write("");
	ok(parse(PITR_RESTORE, (const char *[]){NULL}, &options, &err) && options.jobs >= 1 && options.jobs <= 8,
	   "jobs: as many as there are processors, at most 8");
	ok(options_log_level(&options) == LOG_LEVEL_INFO, "the level of messages as the log wants it");
}

static void test_table(void)
{
	int clashes = 0;

	for (int a = 0; a < OPTION_ID_COUNT; a++) {
		for (int b = 0; b < a; b++) {
			const struct option_row *x = &option_table[a], *y = &option_table[b];
			bool same_letter = x->letter != 0 && x->letter == y->letter && (x->programs & y->programs) != 0;

			clashes += same_letter || strcmp(x->name, y->name) == 0;
		}
	}
	ok(clashes == 0, "no program has two flags of one name or letter");
}

int main(void)
{
	snprintf(config_path, sizeof(config_path), "/tmp/pitr-options-%d.conf", (int) getpid());
	setenv("PITR_CONFIG", config_path, 1);
	unsetenv("PGDATA");
	for (size_t i = 0; i < sizeof(TRIALS) / sizeof(TRIALS[0]); i++)
		test_trial(&TRIALS[i]);
	test_missing_file();
	test_large_file();
	test_format_settings();
	test_quoting();
	test_jobs();
	test_table();
	unlink(config_path);
	return done_testing();
}
