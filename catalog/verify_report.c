/* What was found, for people and as JSON: what is damaged or missing, and what can no longer be restored because of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/answer.h"
#include "print.h"
#include "verify.h"

static const char *const state_names[] = {[VERIFY_UNSEEN] = "not looked at",
					  [VERIFY_GOOD] = "good",
					  [VERIFY_DAMAGED] = "damaged",
					  [VERIFY_MISSING] = "missing",
					  [VERIFY_UNREAD] = "not read"};

static const char *const kind_names[] = {[OBJECT_IDENTITY] = "identity", [OBJECT_EPOCH] = "key",
					 [OBJECT_RECIPIENT] = "key",	 [OBJECT_WAL] = "wal",
					 [OBJECT_HISTORY] = "history",	 [OBJECT_PACK] = "pack",
					 [OBJECT_MANIFEST] = "manifest", [OBJECT_FACT] = "fact",
					 [OBJECT_WAL_INDEX] = "index",	 [OBJECT_RELATION_MAP] = "relation map"};

/* Packs and WAL: what a subset divides. */
struct contents {
	size_t total, read;
};

static struct contents contents_count(const struct verify *verify)
{
	struct contents contents = {0};

	for (size_t i = 0; i < verify->table.count; i++) {
		const struct verify_object *object = &verify->table.objects[i];
		bool is_content = object->kind == OBJECT_WAL || object->kind == OBJECT_PACK;

		contents.total += is_content && object->is_wanted;
		contents.read += is_content && object->is_wanted && object->is_read;
	}
	return contents;
}

/* Backups that have objects but no fact that says they are complete, nor one that is damaged. */
static bool incomplete_list(const struct verify *verify, json_t *labels, struct error *err)
{
	char last[BACKUP_LABEL_SIZE] = "";

	for (size_t i = 0; i < verify->table.count && verify->scope == VERIFY_ALL; i++) {
		const struct verify_object *object = &verify->table.objects[i];
		struct object_name name;
		char key[LAYOUT_KEY_SIZE];

		if ((object->kind != OBJECT_PACK && object->kind != OBJECT_MANIFEST) ||
		    !object_name_parse(&verify->repo->layout, object->key, &name) || strcmp(name.label, last) == 0)
			continue;
		memcpy(last, name.label, sizeof(last));
		layout_backup_complete(&verify->repo->layout, name.branch, name.label, key);
		if (verify_table_find(&verify->table, key) != NULL)
			continue;
		bool is_known = false;
		for (size_t k = 0; k < json_array_size(labels); k++)
			is_known = is_known || strcmp(json_string_value(json_array_get(labels, k)), name.label) == 0;
		if (!is_known)
			TRY(json_add(labels, json_string(name.label), err));
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------- JSON */

static bool problem_encode(const struct problem *problem, json_t *json, struct error *err)
{
	TRY(json_put(json, "object", json_string(problem->key), err));
	TRY(json_put(json, "kind", json_string(kind_names[problem->kind]), err));
	TRY(json_put(json, "problem", json_string(state_names[problem->state]), err));
	TRY(json_put(json, "message", json_string(problem->why), err));
	TRY(json_put(json, "backups", json_incref(problem->labels), err));
	return json_put(json, "is_needed", json_boolean(problem->is_needed), err);
}

static bool time_put(json_t *json, const char *name, bool has_time, int64_t time_us, struct error *err)
{
	char text[CLOCK_TEXT_SIZE], name_us[32];

	(void) snprintf(name_us, sizeof(name_us), "%s_us", name);
	time_format_local(time_us, text);
	TRY(json_put(json, name, has_time ? json_string(text) : json_null(), err));
	return json_put(json, name_us, has_time ? json_integer(time_us) : json_null(), err);
}

static bool lost_encode(const struct lost_stretch *lost, json_t *json, struct error *err)
{
	TRY(json_put(json, "branch", json_string(lost->branch), err));
	TRY(json_put(json, "timeline", json_integer(lost->timeline), err));
	TRY(time_put(json, "after", lost->has_after, lost->after_us, err));
	TRY(time_put(json, "until", lost->has_until, lost->until_us, err));
	TRY(json_put(json, "next_backup", lost->label[0] != '\0' ? json_string(lost->label) : json_null(), err));
	return json_put(json, "because", json_string(lost->because[0] != '\0' ? lost->because : lost->damaged), err);
}

static const char *verified_status(const struct verify *verify, size_t index)
{
	if (verify->backups[index].is_damaged)
		return "damaged";
	return verify_is_complete(verify) ? "good" : "good so far";
}

static bool backups_encode(const struct verify *verify, json_t *array, struct error *err)
{
	for (int i = 0; i < verify->catalog.count; i++) {
		const struct verified_backup *backup = &verify->backups[i];
		json_t *json;

		if (!backup->is_looked_at || backup->is_gone)
			continue;
		json = json_object();
		TRY(json_add(array, json, err));
		TRY(json_put(json, "label", json_string(verify->catalog.backups[i].label), err));
		TRY(json_put(json, "branch", json_string(verify->catalog.backups[i].branch), err));
		TRY(json_put(json, "status", json_string(verified_status(verify, (size_t) i)), err));
		if (backup->is_damaged)
			TRY(json_put(json, "why", json_string(backup->why), err));
	}
	return true;
}

static bool counts_encode(const struct verify *verify, json_t *json, struct error *err)
{
	struct contents contents = contents_count(verify);
	char subset[32];

	(void) snprintf(subset, sizeof(subset), "%" PRIu32 "/%" PRIu32, verify->part, verify->parts);
	TRY(json_put(json, "status", json_string(verify_is_good(verify) ? "good" : "damaged"), err));
	TRY(json_put(json, "contents_readable", json_boolean(verify->reads_contents), err));
	TRY(json_put(json, "subset", json_string(subset), err));
	TRY(json_put(json, "objects", json_integer((json_int_t) verify->objects_checked), err));
	TRY(json_put(json, "bytes_read", json_integer((json_int_t) verify->bytes_read), err));
	TRY(json_put(json, "contents", json_integer((json_int_t) contents.total), err));
	return json_put(json, "contents_read", json_integer((json_int_t) contents.read), err);
}

static bool report_json(const struct verify *verify, json_t *incomplete, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *problems = json_array(), *backups = json_array(), *lost = json_array();

	TRY(counts_encode(verify, json, err));
	TRY(json_put(json, "problems", problems, err));
	TRY(json_put(json, "backups", backups, err));
	TRY(json_put(json, "lost", lost, err));
	TRY(json_put(json, "incomplete", json_incref(incomplete), err));
	for (size_t i = 0; i < verify->problems.count; i++) {
		json_t *member = json_object();

		if (verify->problems.items[i]->is_gone) {
			json_decref(member);
			continue;
		}
		TRY(json_add(problems, member, err));
		TRY(problem_encode(verify->problems.items[i], member, err));
	}
	for (size_t i = 0; i < verify->lost_count; i++) {
		json_t *member = json_object();

		TRY(json_add(lost, member, err));
		TRY(lost_encode(&verify->lost[i], member, err));
	}
	return backups_encode(verify, backups, err) && answer_print(json, err);
}

/* ------------------------------------------------------------------------------------------------- text */

/* What the loss of an object means where nothing is lost with it. */
static const char *harmless(const struct problem *problem)
{
	switch (problem->kind) {
	case OBJECT_WAL_INDEX:
		return "it only saves time: \"pitr-catalog rebuild\" makes another one";
	case OBJECT_RELATION_MAP:
		return "names of relations are not known; restoring is not affected";
	case OBJECT_EPOCH:
		return "see docs/keys.md, \"A key object is lost\", and what pitr-check says of keys";
	case OBJECT_RECIPIENT:
		return "who has only that key cannot read what is sealed to it";
	default:
		return "nothing that can be restored needs it";
	}
}

static void problem_print(const struct problem *problem)
{
	const char *why = problem->why;
	char prefix[LAYOUT_KEY_SIZE + 16];

	/* Many a reason begins with the name. */
	(void) snprintf(prefix, sizeof(prefix), "object \"%s\": ", problem->key);
	const char *found = strstr(why, prefix);
	if (found != NULL && found - why <= (int) strlen("the "))
		why = found + strlen(prefix);
	(void) printf("%s: %s: %s\n", state_names[problem->state], problem->key, why);
	if (!problem->is_needed && problem->state != VERIFY_UNREAD)
		(void) printf("    %s\n", harmless(problem));
}

static void backup_print(const struct verify *verify, int index)
{
	char finished[CLOCK_TEXT_SIZE];

	time_format_local(verify->catalog.backups[index].finished_us / 1000000 * 1000000, finished);
	(void) printf("the backup %s of %s cannot be restored: %s\n", verify->catalog.backups[index].label, finished,
		      verify->backups[index].why);
}

static void lost_print(const struct lost_stretch *lost)
{
	char after[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE], timeline[BRANCH_NAME_MAX + 64];

	time_format_local(lost->after_us, after);
	time_format_local(lost->until_us, until);
	if (strcmp(lost->branch, LAYOUT_BRANCH_DEFAULT) == 0)
		(void) snprintf(timeline, sizeof(timeline), "timeline %" PRIu32, lost->timeline);
	else
		(void) snprintf(timeline, sizeof(timeline), "timeline %" PRIu32 " of the branch \"%s\"", lost->timeline,
				lost->branch);
	if (!lost->has_after)
		(void) printf("nothing on %s can be restored", timeline);
	else if (lost->has_until)
		(void) printf("nothing between %s and %s on %s can be restored; the backup %s starts anew", after,
			      until, timeline, lost->label);
	else
		(void) printf("nothing after %s on %s can be restored", after, timeline);
	(void) printf(" (%s%s)\n", lost->because[0] != '\0' ? "" : "damaged: the backup ",
		      lost->because[0] != '\0' ? lost->because : lost->damaged);
}

static void damaged_facts_print(const struct problem *problem)
{
	if (problem->kind == OBJECT_FACT && json_array_size(problem->labels) > 0)
		(void) printf("the backup %s cannot be restored: what says that it is complete is damaged\n",
			      json_string_value(json_array_get(problem->labels, 0)));
}

/* With a host key nothing may look as if all had been read. */
static void structure_print(const struct verify *verify, const struct contents *contents, const char *read)
{
	if (verify_is_good(verify))
		(void) printf("the structure of %" PRIu64 " objects is whole; the contents of %zu packs and WAL files "
			      "were NOT read: that needs the secret key, and \"%s\" is a host key\n",
			      verify->objects_checked, contents->total, verify->repo->secrets->key_file);
	else
		(void) printf("%" PRIu64 " objects, %s read: their structure; the contents of %zu packs and WAL files "
			      "were NOT read: that needs the secret key, and \"%s\" is a host key\n",
			      verify->objects_checked, read, contents->total, verify->repo->secrets->key_file);
}

static void totals_print(const struct verify *verify)
{
	struct contents contents = contents_count(verify);
	char read[PRINT_SIZE_SIZE], subset[64] = "";

	print_size(verify->bytes_read, read);
	if (!verify->reads_contents) {
		structure_print(verify, &contents, read);
		return;
	}
	if (verify->parts > 1)
		(void) snprintf(subset, sizeof(subset), ", part %" PRIu32 " of %" PRIu32, verify->part, verify->parts);
	(void) printf("%" PRIu64 " objects, %s read%s; contents of %zu of %zu packs and WAL files%s\n",
		      verify->objects_checked, read, subset, contents.read, contents.total,
		      verify_is_good(verify) ? ": all is well" : "");
}

static void report_text(const struct verify *verify, const json_t *incomplete)
{
	for (size_t i = 0; i < verify->problems.count; i++)
		if (!verify->problems.items[i]->is_gone)
			problem_print(verify->problems.items[i]);
	for (size_t i = 0; i < verify->problems.count; i++)
		damaged_facts_print(verify->problems.items[i]);
	for (int i = 0; i < verify->catalog.count; i++)
		if (verify->backups[i].is_damaged && !verify->backups[i].is_gone)
			backup_print(verify, i);
	for (size_t i = 0; i < verify->lost_count; i++)
		lost_print(&verify->lost[i]);
	for (size_t i = 0; i < json_array_size(incomplete); i++)
		(void) printf("the backup %s is not complete: it is being taken, was interrupted, or what says that it "
			      "is complete was removed\n",
			      json_string_value(json_array_get(incomplete, i)));
	if (verify->catalog.count == 0)
		(void) printf("there is no base backup: nothing can be restored\n");
	totals_print(verify);
}

bool verify_is_complete(const struct verify *verify)
{
	return verify->reads_contents && verify->parts == 1 && verify->scope != VERIFY_WAL;
}

bool verify_is_good(const struct verify *verify)
{
	for (size_t i = 0; i < verify->problems.count; i++)
		if (!verify->problems.items[i]->is_gone)
			return false;
	for (int i = 0; i < verify->catalog.count; i++)
		if (verify->backups[i].is_damaged && !verify->backups[i].is_gone)
			return false;
	return true;
}

bool verify_report(const struct verify *verify, struct error *err)
{
	json_t *incomplete JSON_CLEANUP = json_array();

	if (incomplete == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	TRY(incomplete_list(verify, incomplete, err));
	if (verify->options->json)
		return report_json(verify, incomplete, err);
	report_text(verify, incomplete);
	return true;
}
