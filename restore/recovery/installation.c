#include "recovery/installation.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"

#define ANSWER_SIZE_MAX (4 * KiB)
#define LOOKED_SIZE_MAX 700

struct finding {
	int major;
	char *directory; /* PATH_MAX bytes */
	bool is_found;
	struct buf *looked; /* "\"/usr/bin\" (PostgreSQL 15), …" */
};

/* "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", "… 19rc1": 15, 19. */
static int version_parse(const char *answer)
{
	static const char before[] = "(PostgreSQL) ";
	const char *at = strstr(answer, before);

	return at != NULL ? (int) strtol(at + sizeof(before) - 1, NULL, 10) : 0;
}

/* 0: no server's program that can be run. */
static int version_ask(const char *directory)
{
	static const char *const arguments[] = {"postgres", "--version", NULL};
	char path[PATH_MAX];
	struct process asked = {.program = path, .arguments = arguments};
	struct error ignored;
	const char *text;
	BUF(answer, ANSWER_SIZE_MAX);

	if (!path_join(path, directory, "postgres", &ignored) || access(path, X_OK) != 0)
		return 0;
	if (!process_read(&asked, &answer, &ignored) || !buf_text(&answer, &text, &ignored))
		return 0;
	return version_parse(text);
}

static bool candidate_look(struct finding *finding, const char *directory, struct error *err)
{
	struct error ignored;

	if (finding->is_found)
		return true;
	int version = version_ask(directory);
	finding->is_found = version == finding->major;
	if (finding->is_found)
		return snprintf(finding->directory, PATH_MAX, "%s", directory) < PATH_MAX
			       ? true
			       : fail(err, ERROR_SYSTEM, "the path \"%.200s…\" is too long", directory);
	/* A list for a message: what does not fit is left out. */
	const char *comma = finding->looked->size > 0 ? ", " : "";
	if (version == 0)
		(void) !buf_format(finding->looked, &ignored, "%s\"%s\" (none)", comma, directory);
	else
		(void) !buf_format(finding->looked, &ignored, "%s\"%s\" (PostgreSQL %d)", comma, directory, version);
	return true;
}

/* Debian's and Red Hat's packages, and what PostgreSQL's own Makefile takes without --prefix. */
static bool usual_look(struct finding *finding, struct error *err)
{
	char directory[64];

	(void) snprintf(directory, sizeof(directory), "/usr/lib/postgresql/%d/bin", finding->major);
	TRY(candidate_look(finding, directory, err));
	(void) snprintf(directory, sizeof(directory), "/usr/pgsql-%d/bin", finding->major);
	TRY(candidate_look(finding, directory, err));
	return candidate_look(finding, "/usr/local/pgsql/bin", err);
}

/* A directory of the PATH: its own postgres, or what its pg_config knows of. */
static bool path_directory_look(struct finding *finding, const char *directory, struct error *err)
{
	static const char *const arguments[] = {"pg_config", "--bindir", NULL};
	char path[PATH_MAX];
	struct process asked = {.program = path, .arguments = arguments};
	struct error ignored;
	const char *text;
	BUF(answer, ANSWER_SIZE_MAX);

	if (path_join(path, directory, "postgres", &ignored) && access(path, X_OK) == 0)
		TRY(candidate_look(finding, directory, err));
	if (!path_join(path, directory, "pg_config", &ignored) || access(path, X_OK) != 0 ||
	    !process_read(&asked, &answer, &ignored))
		return true;
	while (answer.size > 0 && isspace(answer.data[answer.size - 1]))
		answer.size--;
	TRY(buf_text(&answer, &text, err));
	return candidate_look(finding, text, err);
}

static bool path_look(struct finding *finding, struct error *err)
{
	const char *rest = getenv("PATH");
	char directory[PATH_MAX];

	while (rest != NULL && *rest != '\0') {
		size_t length = strcspn(rest, ":");

		if (length > 0 && length < sizeof(directory)) {
			memcpy(directory, rest, length);
			directory[length] = '\0';
			TRY(path_directory_look(finding, directory, err));
		}
		rest += length + (rest[length] == ':');
	}
	return true;
}

static bool fail_not_found(const struct finding *finding, const char *wanted, struct error *err)
{
	const char *looked;

	TRY(buf_text(finding->looked, &looked, err));
	(void) fail(err, ERROR_USAGE, "could not find the server of PostgreSQL %d; looked at %s", finding->major,
		    looked);
	return fail_hint(err,
			 wanted != NULL
				 ? "The backup is of PostgreSQL %d: --pg-bin takes the directory of its postgres."
				 : "Install PostgreSQL %d, or give the directory of its postgres with --pg-bin.",
			 finding->major);
}

bool installation_find(const char *wanted, int64_t server_version, char directory[PATH_MAX], struct error *err)
{
	BUF(looked, LOOKED_SIZE_MAX);
	struct finding finding = {.major = (int) (server_version / 10000), .directory = directory, .looked = &looked};

	if (wanted != NULL) {
		TRY(candidate_look(&finding, wanted, err));
	} else {
		TRY(usual_look(&finding, err));
		TRY(path_look(&finding, err));
	}
	return finding.is_found ? true : fail_not_found(&finding, wanted, err);
}
