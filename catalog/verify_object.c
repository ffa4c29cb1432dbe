/* Each object of the table, on several threads: those of class host and WAL files whole, of packs the header. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/workers.h"
#include "pg/wal_segment.h"
#include "repo/wal_store.h"
#include "verify.h"

#define HOST_OBJECT_MAX (32 * MiB) /* of manifests and relation maps 16, of an index 17, all others are small */

bool verify_take_failure(struct verify *verify, struct verify_object *object, struct error *err)
{
	switch (err->kind) {
	case ERROR_NONE:
	case ERROR_UNREACHABLE:
		return false;
	case ERROR_NOT_FOUND:
		object->state = VERIFY_MISSING;
		return problem_add(&verify->problems, object->key, object->kind, VERIFY_MISSING,
				   "it was listed, and is not there", err);
	case ERROR_CORRUPT:
	case ERROR_EXISTS:
		object->state = VERIFY_DAMAGED;
		break;
	case ERROR_DENIED:
	case ERROR_SYSTEM:
	case ERROR_USAGE: /* a newer pitr is needed */
		object->state = VERIFY_UNREAD;
		break;
	}
	struct error why = *err;
	return problem_add(&verify->problems, object->key, object->kind, object->state, why.text, err);
}

bool verify_meta_digest(const json_t *meta, uint8_t digest[VERIFY_DIGEST_SIZE], struct error *err)
{
	uint8_t whole[SHA256_SIZE];
	BUF(text, 2 * OBJECT_META_MAX);

	TRY(json_encode(meta, &text, err));
	TRY(sha256(buf_bytes(&text), whole, err));
	memcpy(digest, whole, VERIFY_DIGEST_SIZE);
	return true;
}

/* ------------------------------------------------------------------------------------------------- class host */

static bool history_check(const struct verify_object *object, const struct object_name *name, struct bytes text,
			  struct error *err)
{
	struct timeline_history *history = malloc(sizeof(*history));

	if (history == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = timeline_history_parse(name->wal.timeline, text, history, err);
	free(history);
	return done || fail_in(err, "the object \"%s\"", object->key);
}

static bool host_object_read(struct verify *verify, const struct verify_object *object, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	struct object_name name;
	BUF(plain, HOST_OBJECT_MAX);

	TRY(repo_get(verify->repo, object->key, object->kind, &plain, err));
	if (object->kind == OBJECT_WAL_INDEX) /* lines: verify_index.c */
		return true;
	if (object->kind != OBJECT_HISTORY)
		return json_decode(buf_bytes(&plain), object->key, &json, err);
	return object_name_parse(&verify->repo->layout, object->key, &name) &&
	       history_check(object, &name, buf_bytes(&plain), err);
}

bool verify_host_object(struct verify *verify, struct verify_object *object, struct error *err)
{
	object->is_read = true;
	verify_count(verify, true, object->size);
	if (!host_object_read(verify, object, err))
		return verify_take_failure(verify, object, err);
	object->state = VERIFY_GOOD;
	return true;
}

bool verify_header(struct verify *verify, struct verify_object *object, struct error *err)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};

	verify_count(verify, false, 0);
	if (!repo_peek(verify->repo, object->key, object->kind, &header, NULL, err))
		return verify_take_failure(verify, object, err);
	object->state = VERIFY_GOOD;
	object->plain_size = header.plain_size;
	return true;
}

/* ------------------------------------------------------------------------------------------------- WAL */

/* What a segment says about itself: what plans are made from. */
static bool summary_equal(const struct wal_summary *a, const struct wal_summary *b)
{
	if (a->magic != b->magic || a->segment_size != b->segment_size || a->start != b->start)
		return false;
	if (!a->understood || !b->understood) /* a newer pitr may understand more */
		return true;
	return a->end == b->end && a->ends_early == b->ends_early && a->first_record == b->first_record &&
	       a->last_record == b->last_record && a->commits == b->commits && a->aborts == b->aborts &&
	       a->time_min_us == b->time_min_us && a->time_max_us == b->time_max_us &&
	       a->last_commit == b->last_commit && a->tail_record == b->tail_record && a->head_end == b->head_end;
}

static bool content_check(struct verify *verify, const struct wal_name *name, const json_t *meta, struct bytes content,
			  struct error *err)
{
	struct wal_segment segment;
	struct wal_summary *made = malloc(sizeof(*made));
	struct wal_entry *entry = malloc(sizeof(*entry));
	bool done = made != NULL && entry != NULL;

	if (!done)
		(void) fail(err, ERROR_SYSTEM, "out of memory");
	done = done && wal_segment_check(content, name, &segment, err);
	if (done && segment.system_identifier != verify->repo->layout.system_identifier)
		done = fail(err, ERROR_CORRUPT, "it holds WAL of another cluster");
	done = done && wal_summary_make(content, &segment, made, err) && wal_entry_decode(meta, name, entry, err);
	if (done && !summary_equal(made, &entry->summary))
		done = fail(err, ERROR_CORRUPT, "its summary does not say what is in it");
	free(made);
	free(entry);
	return done;
}

static bool meta_check(struct verify_object *object, const struct wal_name *name, struct bytes text, json_t **meta,
		       struct error *err)
{
	struct wal_entry *entry = malloc(sizeof(*entry));

	if (entry == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	bool done = json_decode(text, object->key, meta, err) &&
		    (name->kind == WAL_BACKUP || wal_entry_decode(*meta, name, entry, err)) &&
		    verify_meta_digest(*meta, object->meta_digest, err);
	free(entry);
	return done;
}

static bool wal_object_read(struct verify *verify, struct verify_object *object, const struct wal_name *name,
			    struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	BUF(meta, OBJECT_META_MAX);
	BUF(content, OBJECT_PLAIN_MAX);

	if (!object->is_read)
		return repo_peek(verify->repo, object->key, OBJECT_WAL, &header, &meta, err) &&
		       meta_check(object, name, buf_bytes(&meta), &json, err);
	TRY(repo_get_with_meta(verify->repo, object->key, OBJECT_WAL, &content, &meta, err));
	TRY(meta_check(object, name, buf_bytes(&meta), &json, err));
	return name->kind == WAL_BACKUP || content_check(verify, name, json, buf_bytes(&content), err);
}

bool verify_wal_object(struct verify *verify, struct verify_object *object, struct error *err)
{
	struct object_name name;

	if (!object_name_parse(&verify->repo->layout, object->key, &name))
		return fail(err, ERROR_SYSTEM, "\"%s\" is no name of WAL", object->key);
	object->is_read = verify_reads(verify, object);
	verify_count(verify, object->is_read, object->is_read ? object->size : 0);
	if (!wal_object_read(verify, object, &name.wal, err))
		return verify_take_failure(verify, object, err);
	object->state = VERIFY_GOOD;
	return true;
}

/* ------------------------------------------------------------------------------------------------- all of them */

struct job {
	struct verify *verify;
	struct verify_object *object;
	uint64_t memory;
};

static bool job_run(void *context, bool cancelled, struct error *err)
{
	struct job *job = context;
	bool done = true;

	if (!cancelled && job->object->kind == OBJECT_WAL)
		done = verify_wal_object(job->verify, job->object, err);
	else if (!cancelled && (job->object->kind == OBJECT_PACK || job->object->kind == OBJECT_RECIPIENT))
		done = verify_header(job->verify, job->object, err);
	else if (!cancelled)
		done = verify_host_object(job->verify, job->object, err);
	if (!cancelled && job->object->is_read)
		progress_add(&job->verify->progress, job->object->size);
	verify_memory_give(job->verify, job->memory);
	free(job);
	return done;
}

/* Stored bytes and plaintext, at most. */
static uint64_t memory_of(const struct verify *verify, const struct verify_object *object)
{
	if (object->kind == OBJECT_PACK || object->kind == OBJECT_RECIPIENT || !verify_reads(verify, object))
		return 4 * OBJECT_PEEK_SIZE;
	return object->kind == OBJECT_WAL ? object->size + verify->segment_size : 4 * object->size + OBJECT_PEEK_SIZE;
}

static bool jobs_submit(struct verify *verify, struct workers *workers, struct error *err)
{
	for (size_t i = 0; i < verify->table.count; i++) {
		struct verify_object *object = &verify->table.objects[i];

		if (!object->is_wanted)
			continue;
		struct job *job = malloc(sizeof(*job));
		if (job == NULL)
			return fail(err, ERROR_SYSTEM, "out of memory");
		*job = (struct job){.verify = verify, .object = object, .memory = memory_of(verify, object)};
		verify_memory_take(verify, job->memory);
		TRY(workers_submit(workers, job_run, job, err));
	}
	return true;
}

/* As the first segment that can be read says; all have the same. */
static bool segment_size_find(struct verify *verify, struct error *err)
{
	verify->segment_size = verify->catalog.count > 0 ? verify->catalog.backups[0].segment_size : 0;
	for (size_t i = 0; i < verify->table.count && verify->segment_size == 0; i++) {
		struct verify_object *object = &verify->table.objects[i];
		struct object_header header OBJECT_HEADER_CLEANUP = {0};
		struct object_name name;

		if (object->kind != OBJECT_WAL || !object_name_parse(&verify->repo->layout, object->key, &name) ||
		    name.wal.kind != WAL_SEGMENT)
			continue;
		if (repo_peek(verify->repo, object->key, OBJECT_WAL, &header, NULL, err))
			verify->segment_size =
				wal_segment_size_valid(header.plain_size) ? (uint32_t) header.plain_size : 0;
		else if (err->kind == ERROR_UNREACHABLE)
			return false;
	}
	return true;
}

bool verify_objects(struct verify *verify, struct error *err)
{
	int threads = verify_threads(verify);
	struct workers *workers = NULL;
	struct error ignored;

	TRY(segment_size_find(verify, err));
	TRY(workers_open(threads, threads, &workers, err));
	bool done = jobs_submit(verify, workers, err);
	return workers_finish(workers, done ? err : &ignored) && done;
}
