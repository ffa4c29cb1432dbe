#include "expire_there.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "expire_memory.h"
#include "repo/wal_store.h"

static bool fail_listing(const char *key, struct error *err)
{
	(void) fail(err, ERROR_UNREACHABLE, "a listing of the repository lacks \"%s\", which is there", key);
	return fail_hint(err, "Nothing was removed. A backup that was being finished explains it once; run it again.");
}

bool expire_demand_absent(struct expire *expire, const char *key, enum object_kind kind, bool *is_absent,
			  struct error *err)
{
	bool have = false;

	TRY(repo_have(expire->repo, key, kind, &have, err));
	*is_absent = !have;
	return !have || fail_listing(key, err);
}

/* ------------------------------------------------------------------------------------------------------- names */

static bool there_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct expire *expire = context;
	struct object_name name;

	if (object_name_parse(&expire->repo->layout, key, &name))
		return expire_objects_add(&expire->there, key, size, name.kind, err);
	return expire_unknown_note(expire, key, err);
}

static bool read_names(struct expire *expire, struct error *err)
{
	char prefix[LAYOUT_KEY_SIZE];

	layout_system_prefix(&expire->repo->layout, prefix);
	TRY(storage_list(expire->repo->storage, prefix, "", there_visit, expire, err));
	expire->unknown_names = expire->unknown_count;
	return true;
}

static int by_key(const void *key, const void *item)
{
	return strcmp(key, ((const struct expire_object *) item)->key);
}

bool expire_is_listed(const struct expire *expire, const char *key)
{
	return expire->there.count > 0 &&
	       bsearch(key, expire->there.items, expire->there.count, sizeof(expire->there.items[0]), by_key) != NULL;
}

/* ----------------------------------------------------------------------------------------------------- branches */

/* All of them, or none: what descends from what decides what is needed. */
static bool read_branches(struct expire *expire, struct error *err)
{
	TRY(branch_list_read(expire->repo, &expire->branches, err));
	expire->layouts = calloc((size_t) expire->branches.count, sizeof(*expire->layouts));
	if (expire->layouts == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < expire->branches.count; i++) {
		const char *name = expire->branches.names[i];

		if (!branch_chain_read(expire->repo, name, &expire->layouts[i], err))
			return fail_in(err, "the branch \"%s\" cannot be followed, so nothing is removed", name);
	}
	return true;
}

static bool read_lineage(struct expire *expire, struct error *err)
{
	struct lineage *lineage = &expire->lineage;

	if (expire->catalog.count == 0)
		return true;
	TRY(lineage_read(expire->repo, expire->catalog.backups[0].segment_size, lineage, err));
	if (lineage->has_unknown)
		return fail(err, ERROR_CORRUPT,
			    "it is not known what timeline %" PRIu32 " of the branch \"%s\" descends from, so nothing "
			    "is removed: %s",
			    lineage->unknown_timeline, lineage->unknown_branch, lineage->unknown_why.text);
	return true;
}

/* ------------------------------------------------------------------------------------------------------ backups */

bool expire_check_backup(struct expire *expire, const char *branch, const char *label, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	bool is_absent;

	if (expire_backup_find(expire, branch, label) != NULL)
		return true;
	layout_backup_complete(&expire->repo->layout, branch, label, key);
	if (expire_is_listed(expire, key))
		return fail(err, ERROR_CORRUPT, "the backup \"%s\" cannot be read, so nothing is removed", label) ||
		       fail_hint(err, "What it needs is not known. \"pitr-verify\" says what is damaged.");
	return expire_demand_absent(expire, key, OBJECT_FACT, &is_absent, err);
}

static bool stray_add(struct expire *expire, const char *branch, const char *label, struct error *err)
{
	if (expire_stray_find(expire, branch, label) != NULL)
		return true;
	TRY(expire_check_backup(expire, branch, label, err));
	TRY(ARRAY_RESERVE(&expire->strays, expire->stray_count, &expire->stray_capacity, err));
	struct expire_stray *stray = &expire->strays[expire->stray_count++];
	*stray = (struct expire_stray){.is_retired = facts_retire(&expire->facts, branch, label)};
	(void) snprintf(stray->branch, sizeof(stray->branch), "%s", branch);
	(void) snprintf(stray->label, sizeof(stray->label), "%s", label);
	return true;
}

/* Every backup that an object is named after. */
static bool check_labels(struct expire *expire, struct error *err)
{
	char branch[BRANCH_NAME_MAX + 1] = "", label[BACKUP_LABEL_SIZE] = "";

	for (size_t i = 0; i < expire->there.count; i++) {
		struct object_name name;

		if (!object_name_parse(&expire->repo->layout, expire->there.items[i].key, &name) ||
		    name.label[0] == '\0' || (strcmp(name.label, label) == 0 && strcmp(name.branch, branch) == 0))
			continue;
		memcpy(branch, name.branch, sizeof(branch));
		memcpy(label, name.label, sizeof(label));
		if (expire_backup_find(expire, branch, label) == NULL)
			TRY(stray_add(expire, branch, label, err));
	}
	return true;
}

/* The catalog was listed separately: neither of the two listings may have what the other has not. */
static bool check_catalog(const struct expire *expire, struct error *err)
{
	for (int i = 0; i < expire->catalog.count; i++) {
		const struct backup *backup = &expire->catalog.backups[i];
		char key[LAYOUT_KEY_SIZE];

		layout_backup_complete(&expire->repo->layout, backup->branch, backup->label, key);
		if (!expire_is_listed(expire, key))
			return fail_listing(key, err);
	}
	return true;
}

/* ---------------------------------------------------------------------------------------------- are they good? */

static const struct wal_path *path_of_backup(const struct expire *expire, const struct backup *backup)
{
	for (int i = 0; i < expire->lineage.count; i++) {
		if (wal_path_has_backup(expire->lineage.paths[i], backup))
			return expire->lineage.paths[i];
	}
	return NULL;
}

static bool backup_has_wal(struct expire *expire, const struct wal_path *path, const struct backup *backup, bool *has,
			   struct error *err)
{
	uint64_t last = wal_segment_of(backup->stop_lsn - 1, backup->segment_size);

	*has = true;
	for (uint64_t number = wal_segment_of(backup->start_lsn, backup->segment_size); number <= last; number++) {
		struct wal_name name;
		char key[LAYOUT_KEY_SIZE];
		bool is_absent;

		wal_path_name(path, number, backup->segment_size, &name);
		layout_wal(&path->layout, &name, key);
		if (expire_is_listed(expire, key))
			continue;
		TRY(expire_demand_absent(expire, key, OBJECT_WAL, &is_absent, err));
		*has = false;
	}
	return true;
}

static bool judge_backups(struct expire *expire, struct error *err)
{
	struct retention *retention = &expire->retention;

	for (int i = 0; i < retention->backup_count; i++) {
		struct retention_backup *item = &retention->backups[i];
		const struct wal_path *path = path_of_backup(expire, item->backup);
		bool has_wal;

		if (path == NULL)
			return fail(err, ERROR_CORRUPT,
				    "the backup \"%s\" is of no history that is known, so nothing is removed",
				    item->backup->label);
		TRY(backup_has_wal(expire, path, item->backup, &has_wal, err));
		item->is_good = has_wal && strcmp(backup_status(item->backup), "complete") == 0;
	}
	return true;
}

/* --------------------------------------------------------------------------------------------------------- paths */

bool expire_last_segment(const struct expire *expire, const struct wal_path *path, bool that_stays,
			 struct wal_name *last)
{
	const struct wal_needed *needed = &expire->retention.needed;
	const char *branch = layout_branch(&path->layout);
	char prefix[LAYOUT_KEY_SIZE];
	bool found = false;

	layout_wal_prefix(&path->layout, branch, wal_path_timeline(path), prefix);
	for (size_t i = 0; i < expire->there.count; i++) {
		struct wal_name name;

		if (strncmp(expire->there.items[i].key, prefix, strlen(prefix)) != 0 ||
		    !layout_parse_wal(&path->layout, expire->there.items[i].key, &name) || name.kind != WAL_SEGMENT)
			continue;
		uint64_t number = that_stays ? wal_segment_number(&name, needed->segment_size) : 0;
		if (that_stays && !wal_needed_has(needed, branch, name.timeline, number, number))
			continue;
		*last = name;
		found = true;
	}
	return found;
}

static bool stored_us(const char *text, int64_t *time_us)
{
	struct error ignored = {0};

	return time_parse(text, 0, time_us, &ignored);
}

/* Of a timeline without WAL: when its history was stored. */
static bool path_begun(struct expire *expire, const struct wal_path *path, int64_t *begun_us, struct error *err)
{
	json_t *meta JSON_CLEANUP = NULL;
	struct wal_name name;
	const char *stored;
	bool has_wal;

	if (path->history.count < 2)
		return true;
	wal_path_name(
		path,
		wal_segment_of(path->history.path[path->history.count - 2].end, expire->retention.needed.segment_size),
		expire->retention.needed.segment_size, &name);
	TRY(wal_store_have(expire->repo, &path->layout, &name, &has_wal, err));
	if (has_wal) /* and no listing has shown it */
		return true;
	wal_name_of_history(wal_path_timeline(path), &name);
	if (!wal_store_meta(expire->repo, &path->layout, &name, &meta, err))
		return err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND;
	stored = json_string_value(json_object_get(meta, "stored"));
	if (stored != NULL)
		(void) stored_us(stored, begun_us);
	return true;
}

/* Where nobody goes on for certain: what is last there was written then, and stored then. */
static bool path_ended(struct expire *expire, const struct wal_path *path, int64_t *ended_us, struct error *err)
{
	uint32_t segment_size = expire->retention.needed.segment_size;
	struct wal_name last, next;
	struct wal_entry entry;
	bool goes_on;

	*ended_us = INT64_MAX;
	if (!expire_last_segment(expire, path, false, &last))
		return path_begun(expire, path, ended_us, err);
	wal_name_of_segment(last.timeline, wal_segment_number(&last, segment_size) + 1, segment_size, &next);
	TRY(wal_store_have(expire->repo, &path->layout, &next, &goes_on, err));
	if (goes_on) /* it has come meanwhile, or was not listed */
		return true;
	if (!wal_store_entry(expire->repo, &path->layout, &last, &entry, err))
		return err->kind == ERROR_CORRUPT;
	if (stored_us(entry.stored, ended_us) && entry.summary.time_max_us > *ended_us)
		*ended_us = entry.summary.time_max_us;
	return true;
}

/* The newest timeline of the branch that is production. */
static bool path_is_production(const struct expire *expire, const struct wal_path *path)
{
	if (!lineage_is_of(path, expire->lineage.production))
		return false;
	for (int i = 0; i < expire->lineage.count; i++) {
		const struct wal_path *other = expire->lineage.paths[i];

		if (lineage_is_of(other, expire->lineage.production) &&
		    wal_path_timeline(other) > wal_path_timeline(path))
			return false;
	}
	return true;
}

static bool judge_paths(struct expire *expire, struct error *err)
{
	for (int i = 0; i < expire->lineage.count; i++) {
		struct retention_path *path = &expire->retention.paths[i];

		path->path = expire->lineage.paths[i];
		path->is_end = expire->lineage.is_end[i] && expire->lineage.is_proposed[i];
		path->ended_us = INT64_MAX;
		if (!path_is_production(expire, path->path))
			TRY(path_ended(expire, path->path, &path->ended_us, err));
	}
	return true;
}

/* --------------------------------------------------------------------------------------------------- unfinished */

/* Where it began stands in its label; of another name nothing is known, and it stays. */
static void judge_stray(struct expire *expire, struct expire_stray *stray)
{
	struct retention *retention = &expire->retention;
	struct retention_unfinished *unfinished = &retention->unfinished[retention->unfinished_count];
	int end = 0;

	*unfinished = (struct retention_unfinished){.timeline = 0};
	stray->unfinished = -1;
	if (!stray->is_retired &&
	    sscanf(stray->label, "%8" SCNx32 "-%16" SCNx64 "-%*8[0-9a-f]%n", &unfinished->timeline,
		   &unfinished->start_lsn, &end) == 2 &&
	    end > 0 && stray->label[end] == '\0') {
		memcpy(unfinished->branch, stray->branch, sizeof(unfinished->branch));
		stray->unfinished = retention->unfinished_count++;
	}
}

/* -------------------------------------------------------------------------------------------------------- all */

static bool retention_allocate(struct expire *expire, struct error *err)
{
	struct retention *retention = &expire->retention;

	retention->backups = calloc((size_t) expire->catalog.count + 1, sizeof(*retention->backups));
	retention->paths = calloc((size_t) expire->lineage.count + 1, sizeof(*retention->paths));
	expire->backups = calloc((size_t) expire->catalog.count + 1, sizeof(*expire->backups));
	if (retention->backups == NULL || retention->paths == NULL || expire->backups == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	retention->backup_count = expire->catalog.count;
	retention->path_count = expire->lineage.count;
	for (int i = 0; i < retention->backup_count; i++)
		retention->backups[i].backup = &expire->catalog.backups[i];
	if (retention->backup_count > 0)
		retention->needed.segment_size = expire->catalog.backups[0].segment_size;
	return true;
}

static bool facts_demand_whole(const struct facts *facts, struct error *err)
{
	if (facts->damaged == 0)
		return true;
	return fail(err, ERROR_CORRUPT, "%d facts cannot be read, so nothing is removed", facts->damaged) ||
	       fail_hint(err, "One of them may be a pin, or name what has to be there. Remove the objects named above "
			      "if they are damaged.");
}

static bool read_facts(struct expire *expire, struct error *err)
{
	int64_t since_us = expire->retention.now_us - EXPIRE_RUNS_US;

	TRY(facts_read(expire->repo, FACTS_OF_BACKUPS | 1u << FACT_RETIRED, &expire->facts, err));
	TRY(facts_read_since(expire->repo, 1u << FACT_RUN, since_us, &expire->runs, err));
	TRY(facts_demand_whole(&expire->facts, err));
	TRY(facts_demand_whole(&expire->runs, err));
	facts_apply(&expire->facts, &expire->catalog);
	return true;
}

bool expire_there_read_facts(struct expire *expire, struct error *err)
{
	facts_release(&expire->facts);
	TRY(facts_read(expire->repo, FACTS_OF_BACKUPS | 1u << FACT_RETIRED, &expire->facts, err));
	TRY(facts_demand_whole(&expire->facts, err));
	TRY(expire_memory_check_pins(expire, err));
	facts_apply(&expire->facts, &expire->catalog);
	return true;
}

bool expire_there_read(struct expire *expire, struct error *err)
{
	TRY(read_branches(expire, err));
	TRY(catalog_read(expire->repo, &expire->catalog, err));
	TRY(read_facts(expire, err));
	TRY(read_lineage(expire, err));
	TRY(read_names(expire, err));
	TRY(retention_allocate(expire, err));
	TRY(check_catalog(expire, err));
	TRY(check_labels(expire, err));
	TRY(expire_memory_check(expire, err));
	TRY(judge_backups(expire, err));
	TRY(judge_paths(expire, err));
	expire->retention.unfinished = calloc((size_t) expire->stray_count + 1, sizeof(*expire->retention.unfinished));
	if (expire->retention.unfinished == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (int i = 0; i < expire->stray_count; i++)
		judge_stray(expire, &expire->strays[i]);
	return true;
}
