#include "mirroring.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "pg/data_directory.h"
#include "ready.h"
#include "repo/local_document.h"
#include "repo/mirror_upkeep.h"
#include "repo/spool.h"

#define BACKLOG_AGE_MAX_S 600
#define AGAIN_MIN_S	  60
/* In the spool: when it was begun, until it has succeeded. */
#define RECORD "mirror-begun"

/* Each call is a process of its own: that one has failed, or did not end, has to be written down. */
static struct spool_line attempt_line(void)
{
	return (struct spool_line){.name = "mirror", .stamp = "-"};
}

static bool spool_open(const struct mirroring *mirroring, const char *pgdata, struct spool *spool)
{
	struct error ignored = {0};

	return spool_locate(mirroring->options, pgdata, spool, &ignored) && spool_make(spool, &ignored);
}

static bool was_tried(const struct spool *spool)
{
	struct spool_line line = attempt_line();
	int64_t now_s = clock_now_us() / 1000000;

	if (!spool_recall(spool, RECORD, &line))
		return false;
	int64_t begun_s = strtoll(line.value, NULL, 10);
	return begun_s <= now_s && now_s - begun_s < AGAIN_MIN_S;
}

static bool try_remember(const struct spool *spool)
{
	struct spool_line line = attempt_line();
	struct error ignored = {0};

	(void) snprintf(line.value, sizeof(line.value), "%" PRId64, clock_now_us() / 1000000);
	return spool_forget(spool, RECORD, &ignored) && spool_remember(spool, RECORD, &line, &ignored);
}

/* Of a file that is not there, or of the future, too. */
static bool is_older(const char *pgdata, int64_t age_s)
{
	char path[PATH_MAX];
	struct error ignored = {0};
	struct stat file;

	if (!path_join(path, pgdata, LOCAL_CATALOG.name, &ignored) || stat(path, &file) != 0)
		return true;
	int64_t now_s = clock_now_us() / 1000000;
	return file.st_mtime > now_s || now_s - file.st_mtime > age_s;
}

bool mirroring_is_due(const struct mirroring *mirroring)
{
	char pgdata[PATH_MAX];
	struct error ignored = {0};
	struct spool spool;

	if (!data_directory_is_told(mirroring->path) || !data_directory_of(mirroring->path, pgdata, &ignored))
		return false;
	if (mirroring->waiting > READY_MAX && !is_older(pgdata, BACKLOG_AGE_MAX_S))
		return false;
	if (!mirror_is_due(pgdata))
		return false;
	/* Where it cannot be told when it was tried, nothing is to wait for it. */
	return spool_open(mirroring, pgdata, &spool) ? !was_tried(&spool) : mirroring->waiting <= 1;
}

void mirroring_run(const struct mirroring *mirroring, struct repo *repo)
{
	char pgdata[PATH_MAX];
	struct error failure = {0};
	struct spool spool;

	if (!data_directory_of(mirroring->path, pgdata, &failure))
		return;
	bool is_remembered = spool_open(mirroring, pgdata, &spool) && try_remember(&spool);
	if (!mirror_upkeep_run(repo, mirroring->options, pgdata, MIRROR_RECENT, &failure)) {
		log_info("not refreshed: %s", failure.text);
		return;
	}
	if (is_remembered && !spool_forget(&spool, RECORD, &failure))
		log_debug("%s", failure.text);
}
