/* Settings: one table (options.def), three ways to set each (flag, environment, file), one struct.
 *
 * Which settings and which flags a program takes, and its usage text, also come from the table; from it are made the
 * parser, --help, the man pages and docs/settings.md.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

/* One bit for each program: the `programs` column of options.def. */
enum program {
	PITR_ARCHIVE = 1 << 0,
	PITR_FETCH = 1 << 1,
	PITR_BASEBACKUP = 1 << 2,
	PITR_RESTORE = 1 << 3,
	PITR_CATALOG = 1 << 4,
	PITR_VERIFY = 1 << 5,
	PITR_EXPIRE = 1 << 6,
	PITR_CHECK = 1 << 7,
	PITR_ALL = (1 << 8) - 1,
};

/* The values. A member per row of options.def, dashes as underscores:
 *   TEXT const char * (NULL: not set)   FLAG bool   COUNT int64_t   SIZE int64_t bytes   DURATION int64_t milliseconds
 *   TEXTS struct texts (a flag that may be given several times)                                                 */
struct texts {
	int count;
	const char *items[64];
};

struct options {
	enum program program;
	const char *config_file; /* the one that was read; NULL: none */
	const char *config_path; /* the one that was looked for, whether it is there or not; NULL: not yet */
	char **argv;		 /* all of it as given; borrowed */
	struct texts arguments;	 /* what is no flag, in order */
#define OPTION(member, flag, letter, type, is_setting, programs, argument, fallback, help) OPTION_MEMBER_##type(member)
#define OPTION_MEMBER_TEXT(member)							   const char *member;
#define OPTION_MEMBER_FLAG(member)							   bool member;
#define OPTION_MEMBER_COUNT(member)							   int64_t member;
#define OPTION_MEMBER_SIZE(member)							   int64_t member;
#define OPTION_MEMBER_DURATION(member)							   int64_t member;
#define OPTION_MEMBER_TEXTS(member)							   struct texts member;
#include "config/options.def"
#undef OPTION_MEMBER_TEXT
#undef OPTION_MEMBER_FLAG
#undef OPTION_MEMBER_COUNT
#undef OPTION_MEMBER_SIZE
#undef OPTION_MEMBER_DURATION
#undef OPTION_MEMBER_TEXTS
	/* Where each value came from, for messages and for writing a restore_command with every setting that is not
	 * default: OPTION_DEFAULT, _FILE, _ENVIRONMENT, _FLAG; indexed by enum option_id. */
	unsigned char *sources;
	void *storage; /* owns every string above */
};

enum option_id {
#define OPTION(member, flag, letter, type, is_setting, programs, argument, fallback, help) OPTION_ID_##member,
#include "config/options.def"
	OPTION_ID_COUNT
};

enum option_source { OPTION_DEFAULT, OPTION_FILE, OPTION_ENVIRONMENT, OPTION_FLAG };

enum options_outcome { OPTIONS_RUN, OPTIONS_ANSWERED /* --help or --version was printed */ };

/* Reads flags, environment, file. USAGE with a hint ("did you mean …") for anything unknown or unreadable.
 * Prints --help and --version itself (the one exception to "lib never prints": it is their text). */
bool options_parse(enum program program, int argc, char **argv, struct options *options, enum options_outcome *outcome,
		   struct error *err) MUST_CHECK;
void options_release(struct options *options);
#define OPTIONS_CLEANUP __attribute__((cleanup(options_release)))

enum log_level options_log_level(const struct options *options);

/* Appends " --name=value" (shell-quoted) for every setting of `program` that is not at its default, with --cluster and
 * the configuration file (its full path) where one was read: for the restore_command that pitr-restore writes. Paths
 * become absolute. Left out are pgdata, which says where this server is and not the restored one, and credentials,
 * which are no settings. The caller's buf. */
struct buf;
bool options_format_settings(const struct options *options, enum program program, struct buf *command,
			     struct error *err) MUST_CHECK;
/* Appends `text` as one word for a POSIX shell. */
bool shell_quote(struct buf *command, const char *text, struct error *err) MUST_CHECK;
