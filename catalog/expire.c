#include "expire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "expire_going.h"
#include "expire_memory.h"
#include "expire_packs.h"
#include "expire_print.h"
#include "expire_remove.h"
#include "expire_there.h"
#include "repo/mirror_upkeep.h"

void expire_objects_release(struct expire_objects *objects)
{
	for (size_t i = 0; i < objects->count; i++)
		free(objects->items[i].key);
	free(objects->items);
	*objects = (struct expire_objects){0};
}

bool expire_objects_add(struct expire_objects *objects, const char *key, uint64_t size, enum object_kind kind,
			struct error *err)
{
	char *copy;

	TRY(ARRAY_RESERVE(&objects->items, objects->count, &objects->capacity, err));
	copy = strdup(key);
	if (copy == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	objects->items[objects->count++] = (struct expire_object){.key = copy, .size = size, .kind = kind};
	return true;
}

struct expire_stray *expire_stray_find(const struct expire *expire, const char *branch, const char *label)
{
	for (int i = 0; i < expire->stray_count; i++) {
		if (strcmp(expire->strays[i].label, label) == 0 && strcmp(expire->strays[i].branch, branch) == 0)
			return &expire->strays[i];
	}
	return NULL;
}

bool expire_stray_goes(const struct expire *expire, const struct expire_stray *stray)
{
	return stray->is_retired ||
	       (stray->unfinished >= 0 && expire->retention.unfinished[stray->unfinished].is_abandoned);
}

struct retention_backup *expire_backup_find(const struct expire *expire, const char *branch, const char *label)
{
	for (int i = 0; i < expire->retention.backup_count; i++) {
		const struct backup *backup = expire->retention.backups[i].backup;

		if (strcmp(backup->label, label) == 0 && strcmp(backup->branch, branch) == 0)
			return &expire->retention.backups[i];
	}
	return NULL;
}

const struct layout *expire_layout(const struct expire *expire, const char *branch)
{
	for (int i = 0; i < expire->branches.count; i++) {
		if (strcmp(expire->branches.names[i], branch) == 0)
			return &expire->layouts[i];
	}
	return NULL;
}

const struct wal_path *expire_path_find(const struct expire *expire, const char *branch, uint32_t timeline)
{
	for (int i = 0; i < expire->lineage.count; i++) {
		const struct wal_path *path = expire->lineage.paths[i];

		if (wal_path_timeline(path) == timeline && lineage_is_of(path, branch))
			return path;
	}
	return NULL;
}

bool expire_unknown_note(struct expire *expire, const char *key, struct error *err)
{
	if (expire->unknown_count < EXPIRE_SHOWN_MAX) {
		expire->unknown[expire->unknown_count] = strdup(key);
		if (expire->unknown[expire->unknown_count] == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
	}
	expire->unknown_count++;
	return true;
}

static void expire_release(struct expire *expire)
{
	expire_objects_release(&expire->there);
	expire_objects_release(&expire->going);
	for (size_t i = 0; i < EXPIRE_SHOWN_MAX; i++) {
		free(expire->unknown[i]);
		free(expire->refused[i].key);
	}
	retention_release(&expire->retention);
	free(expire->retention.backups);
	free(expire->retention.paths);
	free(expire->retention.unfinished);
	free(expire->strays);
	free(expire->backups);
	free(expire->references.items);
	free(expire->layouts);
	lineage_release(&expire->lineage);
	facts_release(&expire->facts);
	facts_release(&expire->runs);
	catalog_release(&expire->catalog);
	repo_close(expire->repo);
	free(expire);
}

static bool take_policy(const struct options *options, struct retention_policy *policy, struct error *err)
{
	*policy = (struct retention_policy){
		.within_us = options->keep_within * 1000, /* its range is far from the end */
		.last = options->keep_last,
		.daily = options->keep_daily,
		.weekly = options->keep_weekly,
		.monthly = options->keep_monthly,
		.yearly = options->keep_yearly,
	};
	if (retention_policy_is_set(policy))
		return true;
	return fail(err, ERROR_USAGE, "it is not said what to keep") ||
	       fail_hint(err, "Set \"keep-within = 30 days\" in /etc/pitr/pitr.conf, or use --keep-last and others.");
}

/* A clock that is behind makes more stay. */
static void check_clock(const struct expire *expire)
{
	for (int i = 0; i < expire->catalog.count; i++) {
		const struct backup *backup = &expire->catalog.backups[i];
		char finished[CLOCK_TEXT_SIZE];

		if (backup->finished_us <= expire->retention.now_us)
			continue;
		time_format_local(backup->finished_us, finished);
		log_warning("the backup \"%s\" finished at %s, which is yet to come: a clock is wrong", backup->label,
			    finished);
		return;
	}
}

/* One clock that is ahead, of who takes backups and of who expires: for this run more stays. */
static void check_present(const struct expire *expire)
{
	char newest[CLOCK_TEXT_SIZE], present[CLOCK_TEXT_SIZE];

	if (expire->retention.doubted_us == 0)
		return;
	time_format_local(expire->retention.doubted_us, newest);
	time_format_local(expire->retention.present_us, present);
	log_warning("the newest backup finished at %s, unusually long after the one before it: unless none was taken "
		    "meanwhile, a clock is ahead; for this run the present is %s",
		    newest, present);
}

/* As long as it turns out that a backup is not whole, which others then have to stay for. */
static bool expire_plan(struct expire *expire, struct error *err)
{
	bool has_read = true;

	while (has_read) {
		retention_release(&expire->retention);
		TRY(retention_plan(&expire->retention, err));
		TRY(expire_going_plan(expire, err));
		if (expire->going.count == 0 && !expire_backups_go(expire))
			return true;
		TRY(expire_packs_read(expire, &has_read, err));
	}
	return true;
}

static bool expire_apply(struct expire *expire, struct error *err)
{
	bool has_spared, has_refused;

	TRY(expire_retire(expire, &has_spared, err));
	if (has_spared)
		TRY(expire_plan(expire, err));
	expire->is_applied = true;
	TRY(expire_remove_backups(expire, &has_refused, err));
	if (has_refused)
		TRY(expire_plan(expire, err));
	return expire_remove_objects(expire, err);
}

static bool expire_work(struct expire *expire, struct error *err)
{
	TRY(expire_there_read(expire, err));
	check_clock(expire);
	TRY(expire_plan(expire, err));
	check_present(expire);
	if (expire->options->apply)
		TRY(expire_apply(expire, err));
	TRY(expire_print(expire, err));
	if (expire->refused_count == 0)
		return true;
	return fail(err, ERROR_DENIED, "%zu objects could not be removed: %.500s", expire->refused_count,
		    expire->refused[0].why.text);
}

/* For monitoring, and as what the next run remembers. */
static void run_note(const struct expire *expire, bool is_good, const struct error *why)
{
	struct fact fact = {.kind = FACT_RUN, .program = "pitr-expire", .is_good = is_good};
	json_t *detail JSON_CLEANUP = json_object();
	struct error err = {0};

	if (is_good && expire_memory_encode(expire, detail, &err))
		fact.detail = detail;
	if (!is_good)
		(void) snprintf(fact.text, sizeof(fact.text), "%s", why->text);
	if (!fact_put(expire->repo, &fact, &err))
		log_warning("that it ran could not be noted: %s", err.text);
}

bool expire_run(const struct options *options, struct error *err)
{
	struct expire *expire = calloc(1, sizeof(*expire));
	bool done;

	if (expire == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	expire->options = options;
	expire->retention.now_us = clock_now_us();
	done = take_policy(options, &expire->retention.policy, err) && repo_open(options, 0, &expire->repo, err);
	if (done) {
		done = expire_work(expire, err);
		if (options->apply) {
			run_note(expire, done, err);
			if (expire->is_applied) /* what a run stopped at must not become the memory of the next one */
				mirror_upkeep_own(expire->repo, options);
		}
	}
	expire_release(expire);
	return done;
}
