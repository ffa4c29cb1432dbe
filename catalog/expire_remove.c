#include "expire_remove.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/workers.h"
#include "expire_there.h"
#include "repo/retired_wal.h"

/* Refused: it stays, and others go all the same. Everything else ends the run. */
static bool is_refusal(const struct error *err)
{
	return err->kind == ERROR_DENIED || err->kind == ERROR_EXISTS || err->kind == ERROR_CORRUPT ||
	       err->kind == ERROR_SYSTEM;
}

static void refusal_note(struct expire *expire, const char *key, const struct error *why)
{
	if (expire->refused_count < EXPIRE_SHOWN_MAX) {
		struct expire_refusal *refusal = &expire->refused[expire->refused_count];

		refusal->key = strdup(key);
		refusal->why = *why;
		if (refusal->key == NULL)
			return;
	}
	expire->refused_count++;
}

/* ----------------------------------------------------------------------------------------------------- backups */

/* `backup`: NULL of one that is not complete. */
static bool retire(struct expire *expire, const char *branch, const char *label, const struct backup *backup,
		   struct error *err)
{
	struct fact fact = {.kind = FACT_RETIRED};
	json_t *detail JSON_CLEANUP = json_object();

	if (facts_retire(&expire->facts, branch, label))
		return true;
	(void) snprintf(fact.branch, sizeof(fact.branch), "%s", branch);
	(void) snprintf(fact.label, sizeof(fact.label), "%s", label);
	if (backup != NULL) {
		fact.detail = detail;
		TRY(json_put(detail, "finished_us", json_integer(backup->finished_us), err));
		TRY(json_put(detail, "manifest_parts", json_integer(backup->manifest_parts), err));
	}
	if (fact_put(expire->repo, &fact, err))
		return true;
	if (err->kind == ERROR_DENIED)
		(void) fail_hint(err, "Removing needs credentials that may write below \"fact/retired/\" and delete.");
	return fail_in(err, "the backup \"%s\" could not be retired", label);
}

/* Either whoever takes it sees that it is retired before the backup is complete, or its entry is seen here. */
static bool retire_strays(struct expire *expire, struct error *err)
{
	for (int i = 0; i < expire->stray_count; i++) {
		const struct expire_stray *stray = &expire->strays[i];
		char key[LAYOUT_KEY_SIZE];
		bool is_absent;

		if (!expire_stray_goes(expire, stray))
			continue;
		TRY(retire(expire, stray->branch, stray->label, NULL, err));
		layout_backup_complete(&expire->repo->layout, stray->branch, stray->label, key);
		TRY(expire_demand_absent(expire, key, OBJECT_FACT, &is_absent, err));
	}
	return true;
}

/* Either whoever pins a backup sees that it is retired, or the pin is seen here. */
bool expire_retire(struct expire *expire, bool *has_spared, struct error *err)
{
	bool is_any = false;

	*has_spared = false;
	TRY(retire_strays(expire, err));
	for (int i = 0; i < expire->retention.backup_count; i++) {
		const struct backup *backup = &expire->catalog.backups[i];

		if (expire->retention.backups[i].reasons != 0)
			continue;
		TRY(retire(expire, backup->branch, backup->label, backup, err));
		is_any = true;
	}
	if (!is_any)
		return true;
	TRY(expire_there_read_facts(expire, err));
	for (int i = 0; i < expire->retention.backup_count; i++) {
		const struct retention_backup *item = &expire->retention.backups[i];

		*has_spared |= item->reasons == 0 && item->backup->pinned_until_us > expire->retention.present_us;
	}
	return true;
}

bool expire_remove_backups(struct expire *expire, bool *has_refused, struct error *err)
{
	*has_refused = false;
	for (int i = 0; i < expire->retention.backup_count; i++) {
		struct backup *backup = &expire->catalog.backups[i];
		char key[LAYOUT_KEY_SIZE];

		if (expire->retention.backups[i].reasons != 0)
			continue;
		layout_backup_complete(&expire->repo->layout, backup->branch, backup->label, key);
		if (storage_remove(expire->repo->storage, key, err)) {
			expire->backups[i].is_removed = true;
			expire->removed_count++;
			continue;
		}
		if (!is_refusal(err))
			return false;
		refusal_note(expire, key, err);
		backup->pinned_until_us = INT64_MAX;
		*has_refused = true;
	}
	return true;
}

/* ----------------------------------------------------------------------------------------------------- objects */

struct removal {
	struct expire *expire;
	pthread_mutex_t *lock;
	const struct expire_object *object;
};

/* The header says that it is what its name says. *is_gone: somebody else was there before us. */
static bool object_prove(const struct removal *removal, bool *is_gone, struct error *err)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};

	*is_gone = false;
	if (removal->object->is_proven ||
	    repo_peek(removal->expire->repo, removal->object->key, removal->object->kind, &header, NULL, err))
		return true;
	*is_gone = err->kind == ERROR_NOT_FOUND;
	return *is_gone;
}

static bool removal_run(void *job, bool cancelled, struct error *err)
{
	struct removal *removal = job;
	struct expire *expire = removal->expire;
	struct error why = {0};
	bool is_gone = false;

	if (cancelled) {
		free(removal);
		return true;
	}
	bool done = object_prove(removal, &is_gone, &why) &&
		    (is_gone || storage_remove(expire->repo->storage, removal->object->key, &why));
	(void) pthread_mutex_lock(removal->lock);
	if (done && !is_gone) {
		expire->removed_count++;
		expire->removed_bytes += removal->object->size;
	} else if (!done && is_refusal(&why)) {
		refusal_note(expire, removal->object->key, &why);
		done = true;
	}
	(void) pthread_mutex_unlock(removal->lock);
	free(removal);
	if (!done)
		*err = why;
	return done;
}

static bool is_about_wal(const struct fact *fact)
{
	return fact->kind == FACT_RETIRED && json_object_get(fact->detail, "wal") != NULL;
}

/* The facts that a new one, which says what they say, stands for from then on. */
static bool facts_supersede(struct expire *expire, struct error *err)
{
	for (int i = 0; i < expire->facts.count; i++) {
		const struct fact *fact = &expire->facts.items[i];
		char key[LAYOUT_KEY_SIZE];

		if (!is_about_wal(fact))
			continue;
		layout_fact(&expire->repo->layout, fact->branch, fact_kind_name(fact->kind), fact->id, key);
		TRY(expire_objects_add(&expire->going, key, 0, OBJECT_FACT, err));
		expire->going.items[expire->going.count - 1].is_proven = true;
	}
	return true;
}

/* Calls it with every segment of the objects. */
static bool segments_each(struct expire *expire, const struct expire_objects *objects,
			  bool (*visit)(void *, const struct object_name *, uint64_t, struct error *), void *context,
			  struct error *err)
{
	uint32_t segment_size = expire->retention.needed.segment_size;

	for (size_t i = 0; i < objects->count; i++) {
		struct object_name name;

		if (objects->items[i].kind == OBJECT_WAL &&
		    object_name_parse(&expire->repo->layout, objects->items[i].key, &name) &&
		    name.wal.kind == WAL_SEGMENT)
			TRY(visit(context, &name, wal_segment_number(&name.wal, segment_size), err));
	}
	return true;
}

struct retiring {
	struct wal_needed going; /* in this run */
	struct wal_needed said;	 /* by all runs */
	bool has_taken_back;
};

static bool segment_going(void *context, const struct object_name *name, uint64_t number, struct error *err)
{
	struct retiring *retiring = context;

	return wal_needed_add(&retiring->going, name->branch, name->wal.timeline, number, number, err) &&
	       wal_needed_add(&retiring->said, name->branch, name->wal.timeline, number, number, err);
}

/* It is there and stays, whatever an earlier run was going to do: should it be missing one day, that is a hole. */
static bool segment_there(void *context, const struct object_name *name, uint64_t number, struct error *err)
{
	struct retiring *retiring = context;

	if (wal_needed_has(&retiring->going, name->branch, name->wal.timeline, number, number) ||
	    !wal_needed_has(&retiring->said, name->branch, name->wal.timeline, number, number))
		return true;
	retiring->has_taken_back = true;
	return wal_needed_remove(&retiring->said, name->branch, name->wal.timeline, number, number, err);
}

/* Says which WAL is going to be missing, before it is. */
static bool retire_wal(struct expire *expire, struct error *err)
{
	uint32_t segment_size = expire->retention.needed.segment_size;
	struct retiring retiring = {.going.segment_size = segment_size, .said.segment_size = segment_size};
	bool done = segment_size == 0 || (retired_wal_gather(&expire->facts, &retiring.said, err) &&
					  segments_each(expire, &expire->going, segment_going, &retiring, err) &&
					  segments_each(expire, &expire->there, segment_there, &retiring, err));

	if (done && (retiring.going.count > 0 || retiring.has_taken_back))
		done = (retiring.said.count == 0 || retired_wal_put(expire->repo, &retiring.said, err)) &&
		       facts_supersede(expire, err);
	wal_needed_release(&retiring.going);
	wal_needed_release(&retiring.said);
	return done;
}

#define STAGE_COUNT 5

/* In the order of removal: whoever is interrupted leaves nothing that refers to what is gone, and the fact that a
 * backup is retired longest. */
static int stage_of(const struct expire_object *object)
{
	switch (object->kind) {
	case OBJECT_MANIFEST:
	case OBJECT_RELATION_MAP:
		return 0;
	case OBJECT_PACK:
		return 1;
	case OBJECT_WAL:
		return 2;
	default:
		return strstr(object->key, "/fact/retired/") == NULL ? 3 : 4;
	}
}

static bool stage_submit(struct expire *expire, int stage, struct workers *workers, pthread_mutex_t *lock,
			 struct error *err)
{
	for (size_t i = 0; i < expire->going.count; i++) {
		struct removal *removal;

		if (stage_of(&expire->going.items[i]) != stage)
			continue;
		removal = malloc(sizeof(*removal));
		if (removal == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
		*removal = (struct removal){.expire = expire, .lock = lock, .object = &expire->going.items[i]};
		TRY(workers_submit(workers, removal_run, removal, err));
	}
	return true;
}

bool expire_remove_objects(struct expire *expire, struct error *err)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	bool done = true;

	TRY(retire_wal(expire, err));
	for (int stage = 0; stage < STAGE_COUNT && done; stage++) {
		struct workers *workers;
		struct error ignored = {0};

		TRY(workers_open((int) expire->options->jobs, 64, &workers, err));
		done = stage_submit(expire, stage, workers, &lock, err);
		done = workers_finish(workers, done ? err : &ignored) && done;
	}
	return done;
}
