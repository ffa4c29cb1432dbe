#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "check.h"
#include "pg/control_file.h"
#include "pg/wal_name.h"
#include "repo/archive_failure.h"
#include "repo/wal_store.h"

/* What the server here has finished and its archiver has not sent: archive_status/NAME.ready (PostgreSQL's pgarch.c).
 */
struct waiting {
	const char *directory;
	int64_t count;
	int64_t oldest_us; /* since when; INT64_MAX: nothing waits */
	char oldest[WAL_NAME_MAX + 1];
};

static bool waiting_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	struct waiting *waiting = context;
	const char *dot = strstr(text, ".ready");
	char path[PATH_MAX], base[WAL_NAME_MAX + 1];
	struct wal_name name;
	struct error ignored = {0};
	struct stat status;

	if (is_directory || dot == NULL || strlen(dot) != strlen(".ready") || dot - text > WAL_NAME_MAX)
		return true;
	(void) snprintf(base, sizeof(base), "%.*s", (int) (dot - text), text);
	if (!wal_name_parse(base, &name, &ignored))
		return true;
	TRY(path_join(path, waiting->directory, text, err));
	if (stat(path, &status) != 0)
		return true; /* it was archived meanwhile */
	int64_t since_us = (int64_t) status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000;
	waiting->count++;
	if (since_us >= waiting->oldest_us)
		return true;
	waiting->oldest_us = since_us;
	memcpy(waiting->oldest, base, sizeof(base));
	return true;
}

/* Why, as the program that failed wrote it down; false: it did not, or the file has been archived since. */
static bool failure_find(const char *pgdata, struct archive_failure *failure)
{
	struct error ignored = {0};
	char directory[PATH_MAX], path[PATH_MAX], ready[ARCHIVE_FAILURE_NAME_SIZE + 8];
	bool is_waiting = false;

	if (!archive_failure_read(pgdata, failure, &ignored) || failure->file[0] == '\0')
		return false;
	(void) snprintf(ready, sizeof(ready), "%s.ready", failure->file);
	return path_join(directory, pgdata, "pg_wal/archive_status", &ignored) &&
	       path_join(path, directory, ready, &ignored) && fs_exists(path, &is_waiting, &ignored) && is_waiting;
}

static enum check_status lag_status(const struct options *options, int64_t lag_s)
{
	if (lag_s >= options->lag_critical / 1000)
		return CHECK_CRITICAL;
	return lag_s >= options->lag_warning / 1000 ? CHECK_WARNING : CHECK_OK;
}

static void failing_add(struct checking *checking, const struct waiting *waiting, int64_t lag_s)
{
	struct archive_failure failure;
	char since[CLOCK_TEXT_SIZE];
	bool is_long = lag_status(checking->options, lag_s) == CHECK_CRITICAL;

	duration_format(lag_s, since);
	if (!failure_find(checking->options->pgdata, &failure)) {
		enum check_status status = lag_status(checking->options, lag_s);
		struct finding *finding = finding_add(
			checking, status, "%" PRId64 " WAL file%s wait%s to be archived, the oldest, \"%s\", for %s",
			waiting->count, waiting->count == 1 ? "" : "s", waiting->count == 1 ? "s" : "", waiting->oldest,
			since);
		if (status != CHECK_OK)
			finding_hint(finding, "Look at the server's log, at archive_mode and at archive_command.");
		return;
	}
	struct finding *finding = finding_add(
		checking, is_long ? CHECK_CRITICAL : CHECK_WARNING,
		"archiving fails, and %" PRId64 " WAL file%s wait%s, the oldest for %s: %.600s", waiting->count,
		waiting->count == 1 ? "" : "s", waiting->count == 1 ? "s" : "", since, failure.text);
	finding_hint(finding, "%s", failure.hint);
}

/* ------------------------------------------------------------------------------------------- what is archived */

/* The last segment that the server takes for archived, of the newest timeline it has any word about: what it has of
 * others, it may have received from a server that archived them, or was to. */
static bool done_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	struct wal_name *last = context, name;
	const char *dot = strrchr(text, '.');
	char base[WAL_NAME_MAX + 1];
	struct error ignored = {0};

	(void) err;
	if (is_directory || dot == NULL || dot - text > WAL_NAME_MAX)
		return true;
	(void) snprintf(base, sizeof(base), "%.*s", (int) (dot - text), text);
	bool is_done = strcmp(dot, ".done") == 0;
	if ((!is_done && strcmp(dot, ".ready") != 0) || !wal_name_parse(base, &name, &ignored))
		return true;
	if (name.timeline > last->timeline)
		*last = (struct wal_name){.timeline = name.timeline};
	if (is_done && name.kind == WAL_SEGMENT && name.timeline == last->timeline && strcmp(name.text, last->text) > 0)
		*last = name;
	return true;
}

/* A command that says it has archived and has not is noticed by nobody else: "true", a wrapper that ignores an exit
 * status, another repository. A standby marks what it receives as done and archives nothing. */
bool check_archived(struct checking *checking, struct error *err)
{
	struct wal_name last = {.text = ""};
	struct control_file control;
	char directory[PATH_MAX];
	bool have;

	if (!checking->has_server)
		return true;
	TRY(control_file_read(checking->options->pgdata, &control, err));
	if (control.state == CONTROL_IN_ARCHIVE_RECOVERY || control.state == CONTROL_SHUTDOWNED_IN_RECOVERY)
		return true;
	TRY(path_join(directory, checking->options->pgdata, "pg_wal/archive_status", err));
	TRY(fs_each(directory, done_visit, &last, err));
	if (last.text[0] == '\0')
		return true;
	TRY(wal_store_have(checking->repo, &checking->repo->layout, &last, &have, err));
	if (have)
		return true;
	finding_hint(
		finding_add(checking, CHECK_CRITICAL,
			    "the server takes \"%s\" for archived, and it is not in the repository: its WAL goes "
			    "elsewhere, or nowhere",
			    last.text),
		"Look at archive_command and archive_library: they are to run pitr-archive, for this repository, and "
		"to hand on its exit status. Then take a base backup.");
	return true;
}

/* --------------------------------------------------------------------------------------------- what waits */

bool check_archive(struct checking *checking, struct error *err)
{
	struct waiting waiting = {.oldest_us = INT64_MAX};
	char directory[PATH_MAX];

	if (!checking->has_server)
		return true;
	TRY(path_join(directory, checking->options->pgdata, "pg_wal/archive_status", err));
	waiting.directory = directory;
	TRY(fs_each(directory, waiting_visit, &waiting, err));
	int64_t lag_s = waiting.count == 0 ? 0 : (checking->now_us - waiting.oldest_us) / 1000000;
	lag_s = lag_s < 0 ? 0 : lag_s;
	metric_set(checking, METRIC_LAG_SEGMENTS, waiting.count);
	metric_set(checking, METRIC_LAG, lag_s);
	metric_limits(checking, METRIC_LAG, checking->options->lag_warning / 1000,
		      checking->options->lag_critical / 1000);
	if (waiting.count == 0)
		finding_add(checking, CHECK_OK, "no WAL waits to be archived");
	else
		failing_add(checking, &waiting, lag_s);
	return true;
}
