/* From when to when can be restored, for people and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/answer.h"
#include "repo/window_json.h"
#include "verbs.h"

/* -------------------------------------------------------------------------------------------------------- gaps */

static void neighbour_print(const char *what, const struct gap_neighbour *neighbour)
{
	if (neighbour->host[0] != '\0')
		(void) printf("    the segment %s it, %s, was stored by \"%s\" at %s\n", what, neighbour->name.text,
			      neighbour->host, neighbour->stored);
}

static void gap_print(const struct gap *gap)
{
	char time[2][CLOCK_TEXT_SIZE], where[BRANCH_NAME_MAX + 32] = "";
	uint64_t count = gap->missing_last - gap->missing + 1;

	if (strcmp(gap->branch, LAYOUT_BRANCH_DEFAULT) != 0)
		(void) snprintf(where, sizeof(where), " of the branch \"%s\"", gap->branch);
	(void) printf("timeline %" PRIu32 "%s: gap, %" PRIu64 " segment%s missing: %s%s%s\n", gap->first.timeline,
		      where, count, count == 1 ? "" : "s", gap->first.text, count == 1 ? "" : " to ",
		      count == 1 ? "" : gap->last.text);
	time_format_local(gap->before_us, time[0]);
	time_format_local(gap->behind_us, time[1]);
	if (gap->before_us != 0 && gap->behind_us != 0)
		(void) printf("    lost is what was committed between %s and %s\n", time[0], time[1]);
	else if (gap->before_us != 0)
		(void) printf("    lost is what was committed after %s\n", time[0]);
	else if (gap->behind_us != 0)
		(void) printf("    lost is what was committed before %s\n", time[1]);
	neighbour_print("before", &gap->before);
	neighbour_print("behind", &gap->behind);
	(void) printf("    look for them in pg_wal there: a running server archives what has a .ready file, and\n"
		      "    \"pitr-archive --drain PGDATA\" stores what a stopped one has\n");
}

/* ----------------------------------------------------------------------------------------------------- windows */

static void window_print_end(const struct window *window)
{
	struct wal_name name;

	wal_path_name(window->path, window->reached, window->segment_size, &name);
	if (window->end == WINDOW_DAMAGED)
		(void) printf("    ends there because %s\n", window->damage);
	else if (window->end == WINDOW_UNKNOWN_VERSION)
		(void) printf("    the WAL from %s on is of a version that this program does not know (%04X)\n",
			      name.text, (unsigned) window->magic);
	else if (window->end == WINDOW_BREAKS_OFF)
		(void) printf("    ends there because the WAL in %s breaks off, although there is more behind it\n",
			      name.text);
}

static void window_print(const struct window *window)
{
	char earliest[CLOCK_TEXT_SIZE], latest[CLOCK_TEXT_SIZE], lsn[2][LSN_TEXT_SIZE], path[WAL_PATH_TEXT_SIZE];

	time_format_local(window->earliest_us, earliest);
	time_format_local(window->latest_us, latest);
	lsn_format(window->earliest_lsn, lsn[0]);
	lsn_format(window->latest_lsn, lsn[1]);
	wal_path_format(window->path, path);
	(void) printf("%s: from %s (%s) to %s (%s), %d base backup%s\n", path, earliest, lsn[0], latest, lsn[1],
		      window->backup_count, window->backup_count == 1 ? "" : "s");
	window_print_end(window);
}

static void unknown_print(const struct lineage *lineage)
{
	if (lineage->has_unknown)
		(void) printf("timeline %" PRIu32 " of the branch \"%s\": not known what it descends from: %s\n",
			      lineage->unknown_timeline, lineage->unknown_branch, lineage->unknown_why.text);
}

/* Where restores take the latest from; worth a line when there is a choice. */
static void production_print(const struct lineage *lineage)
{
	bool is_one = true;

	for (int i = 0; i < lineage->count; i++)
		is_one = is_one && lineage_is_of(lineage->paths[i], lineage->production);
	if (!is_one)
		(void) printf("production: the branch \"%s\"\n", lineage->production);
}

static void windows_print(const struct windows *windows)
{
	for (int place = 0; place < windows->lineage.count; place++) {
		for (int i = 0; i < windows->count; i++)
			if (windows->items[i].place == place)
				window_print(&windows->items[i]);
		for (int i = 0; i < windows->gaps.count; i++)
			if (windows->gaps.items[i].place == place)
				gap_print(&windows->gaps.items[i]);
	}
	unknown_print(&windows->lineage);
	production_print(&windows->lineage);
}

static bool windows_print_json(const struct windows *windows, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(windows_encode(windows, false, json, err));
	return answer_print(json, err);
}

bool verb_window(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct catalog catalog CATALOG_CLEANUP = {0};
	struct windows windows WINDOWS_CLEANUP = {
		.catalog = &catalog, .jobs = (int) options->jobs, .now_us = clock_now_us()};

	TRY(repo_open(options, 0, &repo, err));
	TRY(catalog_read(repo, &catalog, err));
	windows.repo = repo;
	TRY(windows_find(&windows, err));
	if (windows.count == 0)
		log_info("nothing can be restored from \"%s\": there is no base backup with all its WAL; run "
			 "pitr-basebackup",
			 storage_url(repo->storage));
	if (options->json)
		return windows_print_json(&windows, err);
	windows_print(&windows);
	return true;
}
