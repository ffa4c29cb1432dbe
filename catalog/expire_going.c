#include "expire_going.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expire_packs.h"
#include "repo/run.h"
#include "repo/wal_index_text.h"

bool expire_backups_go(const struct expire *expire)
{
	for (int i = 0; i < expire->retention.backup_count; i++) {
		if (expire->retention.backups[i].reasons == 0)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------------------------------------- objects */

static bool going_add(struct expire *expire, const struct expire_object *object, bool is_proven, struct error *err)
{
	TRY(expire_objects_add(&expire->going, object->key, object->size, object->kind, err));
	expire->going.items[expire->going.count - 1].is_proven = is_proven;
	return true;
}

/* Of backups: the name is theirs, and a fact of the catalog says what becomes of them. */
static bool going_of_backup(struct expire *expire, const struct expire_object *object, const struct object_name *name,
			    struct error *err)
{
	const struct retention_backup *item = expire_backup_find(expire, name->branch, name->label);
	const struct expire_stray *stray = expire_stray_find(expire, name->branch, name->label);

	if (item != NULL ? item->reasons != 0 : stray == NULL)
		return true;
	if (item != NULL && expire->is_applied && !expire->backups[item - expire->retention.backups].is_removed)
		return true;
	if (name->kind == OBJECT_PACK && expire_packs_refer(expire, object->key))
		return true;
	if (item != NULL || stray->is_retired)
		return going_add(expire, object, true, err);
	if (stray->unfinished >= 0 && expire->retention.unfinished[stray->unfinished].is_abandoned)
		return going_add(expire, object, false, err);
	return true;
}

static bool going_of_wal(struct expire *expire, const struct expire_object *object, const struct object_name *name,
			 struct error *err)
{
	const struct wal_needed *needed = &expire->retention.needed;
	const struct layout *layout = expire_layout(expire, name->branch);
	struct wal_name parsed;

	if (expire->catalog.count == 0)
		return true;
	if (layout == NULL || expire_path_find(expire, name->branch, name->wal.timeline) == NULL ||
	    (name->kind == OBJECT_WAL && !layout_parse_wal(layout, object->key, &parsed)))
		return expire_unknown_note(expire, object->key, err);
	uint64_t first = wal_segment_number(&name->wal, needed->segment_size);
	uint64_t last = name->kind == OBJECT_WAL ? first : first + WAL_INDEX_BLOCK - 1;
	if (wal_needed_has(needed, name->branch, name->wal.timeline, first, last))
		return true;
	return going_add(expire, object, false, err);
}

/* Is nothing left of the backup but what is said about it, and has it been retired for a while? Then a listing that did
 * not show the rest has been followed by others. */
static bool is_over(const struct expire *expire, const struct fact *fact)
{
	bool is_retired = false;

	if (fact->label[0] == '\0' || expire_backup_find(expire, fact->branch, fact->label) != NULL ||
	    expire_stray_find(expire, fact->branch, fact->label) != NULL)
		return false;
	if (fact->kind == FACT_RETIRED && fact->time_us > expire->retention.present_us - EXPIRE_RETIRED_US)
		return false;
	for (int i = 0; i < expire->facts.count && !is_retired; i++) {
		const struct fact *other = &expire->facts.items[i];

		is_retired = other->kind == FACT_RETIRED && strcmp(other->label, fact->label) == 0 &&
			     other->time_us <= expire->retention.present_us - RETENTION_GRACE_US;
	}
	return is_retired;
}

/* What this program remembers of its last run stays, however long ago that was; NULL: nothing. */
static const struct fact *last_memory(const struct expire *expire)
{
	const struct fact *last = NULL;

	for (int i = 0; i < expire->runs.count; i++) {
		const struct fact *fact = &expire->runs.items[i];

		if (strcmp(fact->program, "pitr-expire") == 0 && fact->detail != NULL &&
		    fact->time_us <= expire->retention.now_us)
			last = fact;
	}
	return last;
}

/* Old facts about runs, by the moment in their names. */
static bool going_of_run(struct expire *expire, const struct expire_object *object, const struct object_name *name,
			 struct error *err)
{
	const struct layout *layout = &expire->repo->layout;
	const struct fact *memory = last_memory(expire);
	char id[LAYOUT_FACT_ID_SIZE], from[LAYOUT_KEY_SIZE];

	if (expire->retention.present_us <= RUNS_KEPT_US ||
	    !layout_parse_fact(layout, name->branch, fact_kind_name(FACT_RUN), object->key, id))
		return true;
	layout_fact_from(layout, name->branch, fact_kind_name(FACT_RUN), expire->retention.present_us - RUNS_KEPT_US,
			 from);
	if (strcmp(object->key, from) >= 0 || (memory != NULL && strcmp(id, memory->id) == 0))
		return true;
	return going_add(expire, object, false, err);
}

/* It stays after all, and is whole: it was to be removed, and then was pinned, or the policy became another one. */
static bool is_taken_back(const struct expire *expire, const struct fact *fact)
{
	const struct retention_backup *item = expire_backup_find(expire, fact->branch, fact->label);

	return fact->kind == FACT_RETIRED && item != NULL && item->reasons != 0 && item->is_good &&
	       expire->backups[item - expire->retention.backups].is_read;
}

/* Does it still take something back? */
static bool is_clearing(const struct expire *expire, const struct fact *fact)
{
	struct fact copy = *fact;
	struct facts alone = {.count = 1, .items = &copy};

	for (int i = 0; i < expire->facts.count; i++) {
		if (expire->facts.items[i].kind == FACT_VERIFIED && facts_clear(&alone, &expire->facts.items[i]))
			return true;
	}
	return false;
}

/* Has the same been found of the backup again, later? Of each backup the newest good word stays, and the newest bad one
 * that nobody has taken back; and whatever takes back one that is still there. They come in the order of time. */
static bool is_superseded(const struct expire *expire, int index)
{
	const struct fact *fact = &expire->facts.items[index];

	if (fact->kind != FACT_VERIFIED)
		return false;
	if (!fact->is_good && facts_clear(&expire->facts, fact))
		return true;
	for (int i = index + 1; i < expire->facts.count; i++) {
		const struct fact *later = &expire->facts.items[i];

		if (later->kind == FACT_VERIFIED && later->is_good == fact->is_good &&
		    strcmp(later->label, fact->label) == 0 && strcmp(later->branch, fact->branch) == 0 &&
		    !facts_clear(&expire->facts, later))
			return fact->is_good ? !is_clearing(expire, fact) : true;
	}
	return false;
}

/* What was said about backups that are gone, or has been said again. */
static bool going_add_facts(struct expire *expire, struct error *err)
{
	for (int i = 0; i < expire->facts.count; i++) {
		const struct fact *fact = &expire->facts.items[i];
		char key[LAYOUT_KEY_SIZE];

		if (!is_over(expire, fact) && !is_taken_back(expire, fact) && !is_superseded(expire, i))
			continue;
		layout_fact(&expire->repo->layout, fact->branch, fact_kind_name(fact->kind), fact->id, key);
		struct expire_object object = {.key = key, .kind = OBJECT_FACT};
		TRY(going_add(expire, &object, true, err));
	}
	return true;
}

static bool going_add_all(struct expire *expire, struct error *err)
{
	for (size_t i = 0; i < expire->there.count; i++) {
		const struct expire_object *object = &expire->there.items[i];
		struct object_name name;

		if (!object_name_parse(&expire->repo->layout, object->key, &name))
			continue;
		if (name.kind == OBJECT_PACK || name.kind == OBJECT_MANIFEST || name.kind == OBJECT_RELATION_MAP)
			TRY(going_of_backup(expire, object, &name, err));
		else if (name.kind == OBJECT_WAL || name.kind == OBJECT_WAL_INDEX)
			TRY(going_of_wal(expire, object, &name, err));
		else if (name.kind == OBJECT_FACT)
			TRY(going_of_run(expire, object, &name, err));
	}
	return going_add_facts(expire, err);
}

bool expire_going_plan(struct expire *expire, struct error *err)
{
	expire_objects_release(&expire->going);
	for (size_t i = expire->unknown_names; i < EXPIRE_SHOWN_MAX; i++) {
		free(expire->unknown[i]);
		expire->unknown[i] = NULL;
	}
	expire->unknown_count = expire->unknown_names;
	return going_add_all(expire, err);
}
