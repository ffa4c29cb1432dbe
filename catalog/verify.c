#include "verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/exit.h"
#include "repo/key_epoch.h"
#include "repo/retired_wal.h"
#include "repo/run.h"

#define SUBSET_PARTS_MAX 100000
#define DAY_US		 (INT64_C(24) * 3600 * 1000000)

void verify_memory_take(struct verify *verify, uint64_t size)
{
	(void) pthread_mutex_lock(&verify->lock);
	while (verify->memory_used > 0 && verify->memory_used + size > (uint64_t) verify->options->memory)
		(void) pthread_cond_wait(&verify->changed, &verify->lock);
	verify->memory_used += size;
	(void) pthread_mutex_unlock(&verify->lock);
}

void verify_memory_give(struct verify *verify, uint64_t size)
{
	(void) pthread_mutex_lock(&verify->lock);
	verify->memory_used -= size;
	(void) pthread_cond_broadcast(&verify->changed);
	(void) pthread_mutex_unlock(&verify->lock);
}

/* While some compute, others wait for the repository. */
int verify_threads(const struct verify *verify)
{
	return verify->options->jobs < 1 ? 2 : 2 * (int) verify->options->jobs;
}

void verify_count(struct verify *verify, bool is_read, uint64_t size)
{
	(void) pthread_mutex_lock(&verify->lock);
	verify->objects_checked++;
	verify->objects_read += is_read;
	verify->bytes_read += is_read ? size : 0;
	(void) pthread_mutex_unlock(&verify->lock);
}

bool verify_reads(const struct verify *verify, const struct verify_object *object)
{
	bool is_secret = object->kind == OBJECT_WAL || object->kind == OBJECT_PACK;

	return !is_secret || (verify->reads_contents && object->is_in_part);
}

/* ------------------------------------------------------------------------------------------------- what is asked */

static bool number_parse(const char *text, size_t length, uint32_t *number)
{
	char digits[12];

	if (length == 0 || length > 6 || strspn(text, "0123456789") < length)
		return false;
	(void) snprintf(digits, sizeof(digits), "%.*s", (int) length, text);
	*number = (uint32_t) strtoul(digits, NULL, 10);
	return *number >= 1 && *number <= SUBSET_PARTS_MAX;
}

/* "2/7"; "today/7": another one each day, and all of them in seven days. */
static bool subset_parse(const char *text, uint32_t *part, uint32_t *parts, struct error *err)
{
	const char *slash = strchr(text, '/');
	bool is_today = strncmp(text, "today/", 6) == 0;

	if (slash == NULL || !number_parse(slash + 1, strlen(slash + 1), parts) ||
	    (!is_today && (!number_parse(text, (size_t) (slash - text), part) || *part > *parts)))
		return fail(err, ERROR_USAGE, "--subset: \"%s\" is no part of a whole", text) ||
		       fail_hint(err,
				 "Such as --subset=2/7, the second of seven parts, or --subset=today/7, another one "
				 "each day.");
	if (is_today)
		*part = (uint32_t) (clock_now_us() / DAY_US % *parts) + 1;
	return true;
}

static bool arguments_parse(struct verify *verify, struct error *err)
{
	const struct options *options = verify->options;
	int asked = options->arguments.count + options->all + options->wal;

	if (asked > 1)
		return fail(err, ERROR_USAGE, "LABEL, --all and --wal exclude one another");
	verify->scope = options->wal ? VERIFY_WAL : options->arguments.count > 0 ? VERIFY_BACKUP : VERIFY_ALL;
	verify->part = verify->parts = 1;
	return options->subset == NULL || subset_parse(options->subset, &verify->part, &verify->parts, err);
}

static bool catalog_open(struct verify *verify, struct error *err)
{
	const struct backup *backup;

	TRY(catalog_read(verify->repo, &verify->catalog, err));
	verify->backups = calloc((size_t) verify->catalog.count + 1, sizeof(*verify->backups));
	if (verify->backups == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	if (verify->scope == VERIFY_BACKUP) {
		TRY(catalog_find(&verify->catalog, verify->options->arguments.items[0], &backup, err));
		verify->backup = (size_t) (backup - verify->catalog.backups);
	}
	for (int i = 0; i < verify->catalog.count; i++)
		verify->backups[i].is_looked_at = verify->scope != VERIFY_BACKUP || verify->backup == (size_t) i;
	return true;
}

static bool wal_is_of(const struct wal_name *name, const struct backup *backup)
{
	if (name->timeline < backup->start_timeline || name->timeline > backup->stop_timeline)
		return false;
	uint64_t number = wal_segment_number(name, backup->segment_size);
	return number >= wal_segment_of(backup->start_lsn, backup->segment_size) &&
	       number <= wal_segment_of(backup->stop_lsn - 1, backup->segment_size);
}

/* Of one backup: what has its label, its WAL, and what every restore needs. */
static bool is_of_backup(const struct backup *backup, const struct object_name *name)
{
	if (name->kind == OBJECT_WAL)
		return wal_is_of(&name->wal, backup);
	return name->label[0] == '\0' || strcmp(name->label, backup->label) == 0;
}

static bool is_wanted(const struct verify *verify, const struct object_name *name)
{
	switch (name->kind) {
	case OBJECT_WAL_INDEX: /* verify_indexes() */
		return false;
	case OBJECT_MANIFEST: /* verify_backups(); what is of no backup nobody reads */
		return false;
	case OBJECT_PACK:
	case OBJECT_RELATION_MAP:
		if (verify->scope == VERIFY_WAL)
			return false;
		break;
	default:
		break;
	}
	return verify->scope != VERIFY_BACKUP || is_of_backup(&verify->catalog.backups[verify->backup], name);
}

/* Marks what is wanted. *size is what of it will be read. */
static void objects_choose(struct verify *verify, uint64_t *size)
{
	*size = 0;
	for (size_t i = 0; i < verify->table.count; i++) {
		struct verify_object *object = &verify->table.objects[i];
		struct object_name name;

		object->is_wanted =
			object_name_parse(&verify->repo->layout, object->key, &name) && is_wanted(verify, &name);
		if (object->is_wanted && verify_reads(verify, object))
			*size += object->size;
	}
}

/* ------------------------------------------------------------------------------------------------- the run */

/* A backup that was deleted while we looked: that begins with its fact. */
static bool backup_gone(struct verify *verify, size_t index, struct error *err)
{
	const struct backup *backup = &verify->catalog.backups[index];
	char key[LAYOUT_KEY_SIZE];
	bool have;

	layout_backup_complete(&verify->repo->layout, backup->branch, backup->label, key);
	if (!repo_have(verify->repo, key, OBJECT_FACT, &have, err)) {
		TRY(err->kind != ERROR_UNREACHABLE);
		have = true;
	}
	verify->backups[index].is_gone = !have;
	return true;
}

static bool label_is_gone(const struct verify *verify, const char *label)
{
	for (int i = 0; i < verify->catalog.count; i++)
		if (strcmp(verify->catalog.backups[i].label, label) == 0)
			return verify->backups[i].is_gone;
	return false;
}

bool verify_retired_read(struct verify *verify, struct error *err)
{
	wal_needed_release(&verify->retired);
	return retired_wal_read(verify->repo, verify->catalog.backups[0].segment_size, &verify->retired, err);
}

static bool wal_is_retired(const struct verify *verify, const char *key)
{
	const struct wal_needed *retired = &verify->retired;
	struct object_name name;

	if (retired->count == 0 || !object_name_parse(&verify->repo->layout, key, &name) || name.kind != OBJECT_WAL ||
	    name.wal.kind != WAL_SEGMENT)
		return false;
	uint64_t number = wal_segment_number(&name.wal, retired->segment_size);
	return wal_needed_has(retired, name.branch, name.wal.timeline, number, number);
}

/* Was it deleted with all that needed it? Of what nothing depends on it is enough that it has gone since it was listed.
 */
static bool problem_gone(const struct verify *verify, const struct problem *problem)
{
	bool is_cache = problem->kind == OBJECT_FACT || problem->kind == OBJECT_WAL_INDEX;

	if (problem->state != VERIFY_MISSING)
		return false;
	for (size_t i = 0; i < json_array_size(problem->labels); i++)
		if (!label_is_gone(verify, json_string_value(json_array_get(problem->labels, i))))
			return false;
	return json_array_size(problem->labels) > 0 || wal_is_retired(verify, problem->key) ||
	       (is_cache && verify_table_find(&verify->table, problem->key) != NULL && !problem->is_needed);
}

/* What was lost with a deleted backup is not lost. */
static void lost_gone(struct verify *verify)
{
	size_t kept = 0;

	for (size_t i = 0; i < verify->lost_count; i++) {
		const struct lost_stretch *lost = &verify->lost[i];
		const struct problem *problem = problem_find(&verify->problems, lost->because);

		if ((problem == NULL || !problem->is_gone) && !label_is_gone(verify, lost->damaged))
			verify->lost[kept++] = *lost;
	}
	verify->lost_count = kept;
}

static bool misses_wal(const struct verify *verify)
{
	for (size_t i = 0; i < verify->problems.count; i++)
		if (verify->problems.items[i]->state == VERIFY_MISSING && verify->problems.items[i]->kind == OBJECT_WAL)
			return true;
	return false;
}

static bool gone_judge(struct verify *verify, struct error *err)
{
	if (verify->catalog.count > 0 && misses_wal(verify))
		TRY(verify_retired_read(verify, err));
	for (int i = 0; i < verify->catalog.count; i++)
		if (verify->backups[i].is_damaged)
			TRY(backup_gone(verify, (size_t) i, err));
	for (size_t i = 0; i < verify->problems.count; i++)
		verify->problems.items[i]->is_gone = problem_gone(verify, verify->problems.items[i]);
	lost_gone(verify);
	return true;
}

/* What opens the contents; that a single object of it is whole has been looked at with all others. */
static bool keys_verify(struct verify *verify, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	if (!verify->repo->secrets->encrypted || key_epochs_check(verify->repo, key, err))
		return true;
	if (err->kind != ERROR_CORRUPT)
		return false;
	struct error why = *err;
	return problem_add(&verify->problems, key, OBJECT_EPOCH, VERIFY_DAMAGED, why.text, err);
}

static bool steps_run(struct verify *verify, struct error *err)
{
	return keys_verify(verify, err) && verify_objects(verify, err) && verify_backups(verify, err) &&
	       verify_indexes(verify, err) && verify_wal(verify, err) && gone_judge(verify, err);
}

static bool repository_verify(struct verify *verify, struct error *err)
{
	uint64_t size;

	TRY(arguments_parse(verify, err));
	TRY(repo_open(verify->options, 0, &verify->repo, err));
	verify->reads_contents = !verify->repo->secrets->encrypted || verify->repo->secrets->has_recipient_secret;
	TRY(catalog_open(verify, err));
	TRY(facts_read(verify->repo, 1u << FACT_VERIFIED, &verify->verdicts, err));
	TRY(verify_table_read(verify->repo, verify->part, verify->parts, &verify->table, err));
	objects_choose(verify, &size);
	progress_init(&verify->progress, "verifying", size, verify->options->progress);
	bool done = steps_run(verify, err);
	progress_finish(&verify->progress);
	TRY(done);
	problems_sort(&verify->problems);
	return verify_report(verify, err) && verify_record(verify, err);
}

static void verify_release(struct verify *verify)
{
	problems_release(&verify->problems);
	verify_table_release(&verify->table);
	catalog_release(&verify->catalog);
	facts_release(&verify->verdicts);
	free(verify->backups);
	free(verify->lost);
	wal_needed_release(&verify->retired);
	repo_close(verify->repo);
	(void) pthread_cond_destroy(&verify->changed);
	(void) pthread_mutex_destroy(&verify->lock);
	free(verify);
}

int verify_run(const struct options *options)
{
	struct verify *verify = calloc(1, sizeof(*verify));
	struct error err = {0};

	if (verify == NULL) {
		(void) fail(&err, ERROR_SYSTEM, "out of memory");
		return exit_with(&err, FOR_PROGRAM);
	}
	verify->options = options;
	(void) pthread_mutex_init(&verify->lock, NULL);
	(void) pthread_cond_init(&verify->changed, NULL);
	problems_init(&verify->problems);
	bool done = repository_verify(verify, &err);
	int status = verify_is_good(verify) ? EXIT_SUCCESS : EXIT_FAILURE;
	verify_release(verify);
	if (done)
		return status;
	run_record(options, &err);
	return exit_with(&err, FOR_PROGRAM);
}
