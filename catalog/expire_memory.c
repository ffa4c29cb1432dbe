#include "expire_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "expire_there.h"
#include "repo/branch_mark.h"
#include "repo/local_document.h"

/* One after the other; what one has asked for, the next does not ask for again. */
struct memory {
	struct expire *expire;
	const json_t *json;
	bool is_newest;
	struct expire_objects asked;
};

static bool asked_before(struct memory *memory, const char *key, enum object_kind kind, bool *is_before,
			 struct error *err)
{
	*is_before = true;
	for (size_t i = 0; i < memory->asked.count; i++) {
		if (strcmp(memory->asked.items[i].key, key) == 0)
			return true;
	}
	*is_before = false;
	return expire_objects_add(&memory->asked, key, 0, kind, err);
}

static bool ask_once(struct memory *memory, const char *key, enum object_kind kind, struct error *err)
{
	bool is_before, is_absent;

	TRY(asked_before(memory, key, kind, &is_before, err));
	return is_before || expire_demand_absent(memory->expire, key, kind, &is_absent, err);
}

/* ----------------------------------------------------------------------------------------------------- timelines */

/* One of its own segments, which was there and was to stay. */
static bool check_segment(struct memory *memory, const struct layout *layout, const char *text, struct error *err)
{
	struct wal_name name;
	struct error ignored = {0};
	char key[LAYOUT_KEY_SIZE];

	if (text == NULL || !wal_name_parse(text, &name, &ignored) || name.kind != WAL_SEGMENT)
		return true;
	layout_wal(layout, &name, key);
	return ask_once(memory, key, OBJECT_WAL, err);
}

static bool check_timeline(struct memory *memory, const json_t *member, struct error *err)
{
	const struct expire *expire = memory->expire;
	const char *branch = json_string_value(json_object_get(member, "branch"));
	json_int_t timeline = json_integer_value(json_object_get(member, "timeline"));
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE];

	if (branch == NULL || !layout_branch_is_valid(branch) || timeline <= 0 || timeline > UINT32_MAX ||
	    expire->catalog.count == 0 || expire_path_find(expire, branch, (uint32_t) timeline) != NULL)
		return true;
	const struct layout *layout = expire_layout(expire, branch);
	if (layout == NULL) {
		layout_origin(&expire->repo->layout, branch, key);
		return ask_once(memory, key, OBJECT_FACT, err);
	}
	TRY(check_segment(memory, layout, json_string_value(json_object_get(member, "segment")), err));
	if (timeline == 1) /* it has no history file */
		return true;
	wal_name_of_history((uint32_t) timeline, &name);
	layout_wal(layout, &name, key);
	return ask_once(memory, key, OBJECT_HISTORY, err);
}

/* ---------------------------------------------------------------------------------------------------------- pins */

static bool has_pin(const struct expire *expire, const char *branch, const char *id)
{
	for (int i = 0; i < expire->facts.count; i++) {
		const struct fact *fact = &expire->facts.items[i];

		if (fact->kind == FACT_PIN && strcmp(fact->id, id) == 0 && strcmp(fact->branch, branch) == 0)
			return true;
	}
	return false;
}

/* A pin that is not seen would be a backup that goes. */
static bool check_pin(struct memory *memory, const json_t *member, struct error *err)
{
	const char *branch = json_string_value(json_object_get(member, "branch"));
	const char *id = json_string_value(json_object_get(member, "id"));
	char key[LAYOUT_KEY_SIZE];

	if (branch == NULL || id == NULL || !layout_branch_is_valid(branch) || strlen(id) >= LAYOUT_FACT_ID_SIZE ||
	    has_pin(memory->expire, branch, id))
		return true;
	layout_fact(&memory->expire->repo->layout, branch, fact_kind_name(FACT_PIN), id, key);
	return ask_once(memory, key, OBJECT_FACT, err);
}

bool expire_memory_check_pins(struct expire *expire, struct error *err)
{
	for (size_t i = 0; i < expire->there.count; i++) {
		const char *key = expire->there.items[i].key;
		char branch[BRANCH_NAME_MAX + 1], id[LAYOUT_FACT_ID_SIZE];
		bool is_absent;

		if (layout_parse_branch(&expire->repo->layout, key, branch) &&
		    layout_parse_fact(&expire->repo->layout, branch, fact_kind_name(FACT_PIN), key, id) &&
		    !has_pin(expire, branch, id))
			TRY(expire_demand_absent(expire, key, OBJECT_FACT, &is_absent, err));
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------------- backups */

static bool check_backup(struct memory *memory, const json_t *member, struct error *err)
{
	struct expire *expire = memory->expire;
	const char *branch = json_string_value(json_object_get(member, "branch"));
	const char *label = json_string_value(json_object_get(member, "label"));
	char key[LAYOUT_KEY_SIZE];
	bool is_before;

	if (branch == NULL || label == NULL || !layout_branch_is_valid(branch) || strlen(label) >= BACKUP_LABEL_SIZE ||
	    expire_backup_find(expire, branch, label) != NULL)
		return true;
	layout_backup_complete(&expire->repo->layout, branch, label, key);
	TRY(asked_before(memory, key, OBJECT_FACT, &is_before, err));
	TRY(is_before || expire_check_backup(expire, branch, label, err));
	if (memory->is_newest && !facts_retire(&expire->facts, branch, label))
		log_warning("the backup \"%s\" is gone, and nobody has retired it", label);
	return true;
}

/* ---------------------------------------------------------------------------------------------------------- all */

static bool check_members(struct memory *memory, const char *array,
			  bool (*check)(struct memory *, const json_t *, struct error *), struct error *err)
{
	const json_t *member;
	size_t i;

	json_array_foreach(json_object_get(memory->json, array), i, member)
	{
		TRY(check(memory, member, err));
	}
	return true;
}

/* What expire_memory_encode() has made of an earlier state; of the mirror, which has only backups. */
static bool memory_check(struct memory *memory, const json_t *json, bool is_newest, struct error *err)
{
	memory->json = json;
	memory->is_newest = is_newest;
	return check_members(memory, "backups", check_backup, err) && check_members(memory, "pins", check_pin, err) &&
	       check_members(memory, "timelines", check_timeline, err);
}

static bool check_runs(struct memory *memory, struct error *err)
{
	const struct facts *runs = &memory->expire->runs;
	bool is_newest = true;

	for (int i = runs->count - 1; i >= 0; i--) {
		if (strcmp(runs->items[i].program, "pitr-expire") != 0 || runs->items[i].detail == NULL)
			continue;
		TRY(memory_check(memory, runs->items[i].detail, is_newest, err));
		is_newest = false;
	}
	return true;
}

static bool check_mirror(struct memory *memory, struct error *err)
{
	const struct expire *expire = memory->expire;
	const char *pgdata = expire->options->pgdata;
	json_t *mirror JSON_CLEANUP = NULL;
	char id[REPOSITORY_ID_TEXT_SIZE];
	struct error ignored = {0};

	if (pgdata == NULL || !local_document_read(&LOCAL_CATALOG, pgdata, &mirror, &ignored))
		return true;
	branch_mark_repository(expire->repo, id);
	const char *of = json_string_value(json_object_get(mirror, "repository_id"));
	const char *cluster = json_string_value(json_object_get(mirror, "cluster"));
	bool is_ours = of != NULL && cluster != NULL && strcmp(of, id) == 0 &&
		       strcmp(cluster, expire->repo->layout.cluster) == 0;
	return !is_ours || memory_check(memory, mirror, true, err);
}

bool expire_memory_check(struct expire *expire, struct error *err)
{
	struct memory memory = {.expire = expire};
	bool done = expire_memory_check_pins(expire, err) && check_runs(&memory, err) && check_mirror(&memory, err);

	expire_objects_release(&memory.asked);
	return done;
}

/* ----------------------------------------------------------------------------------------------- what is remembered */

static bool encode_backups(const struct expire *expire, json_t *backups, struct error *err)
{
	for (int i = 0; i < expire->retention.backup_count; i++) {
		const struct retention_backup *item = &expire->retention.backups[i];
		json_t *member;

		if (item->reasons == 0)
			continue;
		member = json_object();
		TRY(json_add(backups, member, err));
		TRY(json_put(member, "branch", json_string(item->backup->branch), err));
		TRY(json_put(member, "label", json_string(item->backup->label), err));
	}
	return true;
}

static bool encode_pins(const struct expire *expire, json_t *pins, struct error *err)
{
	for (int i = 0; i < expire->facts.count; i++) {
		const struct fact *fact = &expire->facts.items[i];
		json_t *member;

		if (fact->kind != FACT_PIN)
			continue;
		member = json_object();
		TRY(json_add(pins, member, err));
		TRY(json_put(member, "branch", json_string(fact->branch), err));
		TRY(json_put(member, "id", json_string(fact->id), err));
	}
	return true;
}

static bool encode_timelines(const struct expire *expire, json_t *timelines, struct error *err)
{
	for (int i = 0; i < expire->lineage.count; i++) {
		const struct wal_path *path = expire->lineage.paths[i];
		json_t *member = json_object();
		struct wal_name kept;

		TRY(json_add(timelines, member, err));
		TRY(json_put(member, "branch", json_string(layout_branch(&path->layout)), err));
		TRY(json_put(member, "timeline", json_integer(wal_path_timeline(path)), err));
		if (expire_last_segment(expire, path, true, &kept))
			TRY(json_put(member, "segment", json_string(kept.text), err));
	}
	return true;
}

bool expire_memory_encode(const struct expire *expire, json_t *json, struct error *err)
{
	json_t *backups = json_array(), *timelines = json_array(), *pins = json_array();

	TRY(json_put(json, "backups", backups, err));
	TRY(json_put(json, "pins", pins, err));
	TRY(json_put(json, "timelines", timelines, err));
	return encode_backups(expire, backups, err) && encode_pins(expire, pins, err) &&
	       encode_timelines(expire, timelines, err);
}
