#include "repo/branch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/random.h"

#define FACT_SIZE_MAX (64 * KiB)

static const char *const reasons[] = {[BRANCH_RESTORED] = "restore", [BRANCH_FORKED] = "fork"};

#define REASON_COUNT (int) (sizeof(reasons) / sizeof(reasons[0]))

struct first_key {
	const struct layout *layout;
	bool found;
	char branch[BRANCH_NAME_MAX + 1];
};

/* Takes the first key that is of a branch, and ends the listing. */
static bool first_key_take(void *context, const char *key, uint64_t size, struct error *err)
{
	struct first_key *first = context;

	(void) size;
	if (!layout_parse_branch(first->layout, key, first->branch))
		return true;
	first->found = true;
	err->kind = ERROR_NONE;
	return false;
}

bool branch_list_read(struct repo *repo, struct branch_list *list, struct error *err)
{
	struct first_key first = {.layout = &repo->layout};
	char prefix[LAYOUT_KEY_SIZE], after[LAYOUT_KEY_SIZE] = "";

	list->count = 1;
	(void) snprintf(list->names[0], sizeof(list->names[0]), "%s", LAYOUT_BRANCH_DEFAULT);
	layout_system_prefix(&repo->layout, prefix);
	for (;;) {
		first.found = false;
		TRY(storage_list(repo->storage, prefix, after, first_key_take, &first, err));
		if (!first.found)
			return true;
		layout_behind_branch(&repo->layout, first.branch, after);
		if (strcmp(first.branch, LAYOUT_BRANCH_DEFAULT) == 0)
			continue;
		if (list->count == SYSTEM_BRANCHES_MAX)
			return fail(err, ERROR_CORRUPT, "the repository has more than %d branches",
				    SYSTEM_BRANCHES_MAX);
		memcpy(list->names[list->count++], first.branch, sizeof(first.branch));
	}
}

bool branch_name_new(enum branch_reason reason, char name[BRANCH_NAME_MAX + 1], struct error *err)
{
	uint8_t random[4];
	char text[9];

	TRY(random_bytes(random, sizeof(random), err));
	hex_format(bytes_of(random, sizeof(random)), text);
	(void) snprintf(name, BRANCH_NAME_MAX + 1, "%s-%s", reasons[reason], text);
	return true;
}

bool branch_origin_encode(const struct branch_origin *origin, json_t *json, struct error *err)
{
	TRY(json_put(json, "parent", json_string(origin->parent), err));
	TRY(json_put(json, "reason", json_string(reasons[origin->reason]), err));
	TRY(branch_encode(&origin->branch, json, err));
	TRY(json_put(json, "created_us", json_integer(origin->created_us), err));
	TRY(json_put(json, "host", json_string(origin->host), err));
	return json_put(json, "note", json_string(origin->note), err);
}

static bool reason_parse(const char *text, enum branch_reason *reason)
{
	for (int i = 0; i < REASON_COUNT; i++) {
		if (strcmp(text, reasons[i]) != 0)
			continue;
		*reason = (enum branch_reason) i;
		return true;
	}
	return false;
}

bool branch_origin_decode(const json_t *json, struct branch_origin *origin, struct error *err)
{
	const char *reason;

	TRY(branch_decode(json, &origin->branch, err));
	TRY(json_copy_text(json, "parent", origin->parent, sizeof(origin->parent), err));
	TRY(json_get_text(json, "reason", &reason, err));
	if (origin->branch.timeline == 0 || !layout_branch_is_valid(origin->parent) ||
	    !reason_parse(reason, &origin->reason))
		return fail(err, ERROR_CORRUPT, "it is no origin of a branch");
	TRY(json_get_integer(json, "created_us", 0, INT64_MAX, &origin->created_us, err));
	TRY(json_copy_text(json, "host", origin->host, sizeof(origin->host), err));
	return json_copy_text(json, "note", origin->note, sizeof(origin->note), err);
}

bool branch_encode(const struct branch *branch, json_t *json, struct error *err)
{
	char segment[17];

	TRY(json_put(json, "branch", json_string(branch->name), err));
	if (branch->timeline == 0)
		return true;
	TRY(json_put(json, "timeline", json_integer(branch->timeline), err));
	if (!branch->has_first)
		return true;
	(void) snprintf(segment, sizeof(segment), "%08" PRIX32 "%08" PRIX32, branch->first_log, branch->first_segment);
	return json_put(json, "first_segment", json_string(segment), err);
}

bool branch_decode(const json_t *json, struct branch *branch, struct error *err)
{
	const char *segment;

	*branch = (struct branch){.timeline = 0};
	TRY(json_copy_text(json, "branch", branch->name, sizeof(branch->name), err));
	if (!layout_branch_is_valid(branch->name))
		return fail(err, ERROR_CORRUPT, "\"%.100s\" is no name of a branch", branch->name);
	if (json_object_get(json, "timeline") == NULL)
		return true;
	TRY(json_get_u32(json, "timeline", &branch->timeline, err));
	branch->has_first = json_object_get(json, "first_segment") != NULL;
	if (!branch->has_first)
		return true;
	TRY(json_get_text(json, "first_segment", &segment, err));
	if (strlen(segment) != 16 || strspn(segment, "0123456789ABCDEF") != 16 ||
	    sscanf(segment, "%8" SCNx32 "%8" SCNx32, &branch->first_log, &branch->first_segment) != 2)
		return fail(err, ERROR_CORRUPT, "\"first_segment\" does not name a segment");
	return true;
}

/* Stores a fact; the same again is fine. */
static bool fact_put(struct repo *repo, const char *key, const json_t *json, struct error *err)
{
	BUF(text, FACT_SIZE_MAX);
	bool same;

	TRY(json_encode(json, &text, err));
	if (repo_put(repo, key, OBJECT_FACT, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), NULL, err))
		return true;
	if (err->kind != ERROR_EXISTS)
		return false;
	TRY(repo_same(repo, key, OBJECT_FACT, buf_bytes(&text), &same, NULL, err));
	if (same) /* whoever wrote it may have died before it was durable */
		return storage_sync(repo->storage, key, err);
	return fail(err, ERROR_EXISTS, "\"%s\" is in the repository with other content", key);
}

bool branch_origin_put(struct repo *repo, const struct branch_origin *origin, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char key[LAYOUT_KEY_SIZE];

	TRY(branch_origin_encode(origin, json, err));
	layout_origin(&repo->layout, origin->branch.name, key);
	return fact_put(repo, key, json, err);
}

bool branch_origin_get(struct repo *repo, const char *name, struct branch_origin *origin, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	char key[LAYOUT_KEY_SIZE];
	BUF(text, FACT_SIZE_MAX);

	layout_origin(&repo->layout, name, key);
	TRY(repo_get(repo, key, OBJECT_FACT, &text, err));
	TRY(json_decode(buf_bytes(&text), key, &json, err));
	if (!branch_origin_decode(json, origin, err))
		return fail_in(err, "the object \"%s\"", key);
	if (strcmp(origin->branch.name, name) != 0)
		return fail(err, ERROR_CORRUPT, "the object \"%s\" is about another branch", key);
	return true;
}

bool branch_chain_read(struct repo *repo, const char *name, struct layout *layout, struct error *err)
{
	char next[BRANCH_NAME_MAX + 1];

	*layout = repo->layout;
	layout->branch_count = 0;
	(void) snprintf(next, sizeof(next), "%s", name);
	while (layout->branch_count < BRANCHES_MAX) {
		struct branch *branch = &layout->branches[layout->branch_count++];
		struct branch_origin origin;

		*branch = (struct branch){.timeline = 0};
		memcpy(branch->name, next, sizeof(next));
		if (strcmp(next, LAYOUT_BRANCH_DEFAULT) == 0)
			return true;
		if (!branch_origin_get(repo, next, &origin, err))
			return fail_in(err, "the branch \"%s\"", next);
		*branch = origin.branch;
		memcpy(next, origin.parent, sizeof(next));
	}
	return fail(err, ERROR_CORRUPT, "the branch \"%s\" descends from more than %d others", name, BRANCHES_MAX - 1);
}

bool branch_chain_extend(struct layout *layout, const struct branch_origin *origin, struct error *err)
{
	if (layout->branch_count == BRANCHES_MAX)
		return fail(err, ERROR_USAGE, "the branch \"%s\" descends from %d others already",
			    layout_branch(layout), BRANCHES_MAX - 1);
	memmove(&layout->branches[1], &layout->branches[0],
		(size_t) layout->branch_count * sizeof(layout->branches[0]));
	layout->branches[0] = origin->branch;
	layout->branch_count++;
	return true;
}

struct adopted {
	const struct layout *layout;
	const char *branch;
	uint32_t number; /* the greatest */
};

static bool adopted_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct adopted *adopted = context;
	uint32_t number;

	(void) size;
	(void) err;
	if (layout_parse_adopted(adopted->layout, adopted->branch, key, &number) && number > adopted->number)
		adopted->number = number;
	return true;
}

bool branch_adopted_number(struct repo *repo, const char *name, uint32_t *number, struct error *err)
{
	struct adopted adopted = {.layout = &repo->layout, .branch = name};
	char prefix[LAYOUT_KEY_SIZE];

	layout_adopted_prefix(&repo->layout, name, prefix);
	TRY(storage_list(repo->storage, prefix, "", adopted_visit, &adopted, err));
	*number = adopted.number;
	return true;
}

/* The branch with the greatest number; `tied` is another one that has it, or -1. */
static bool adopted_newest(struct repo *repo, const struct branch_list *list, uint32_t *newest, int *index, int *tied,
			   struct error *err)
{
	*newest = 0;
	*index = 0;
	*tied = -1;
	for (int i = 0; i < list->count; i++) {
		uint32_t number;

		TRY(branch_adopted_number(repo, list->names[i], &number, err));
		if (number > 0 && number == *newest)
			*tied = i;
		if (number <= *newest)
			continue;
		*newest = number;
		*index = i;
		*tied = -1;
	}
	return true;
}

bool branch_production(struct repo *repo, const struct branch_list *list, char name[BRANCH_NAME_MAX + 1],
		       struct error *err)
{
	uint32_t newest;
	int index, tied;

	TRY(adopted_newest(repo, list, &newest, &index, &tied, err));
	memcpy(name, list->names[index], BRANCH_NAME_MAX + 1);
	if (tied < 0)
		return true;
	(void) fail(err, ERROR_CORRUPT, "the branches \"%s\" and \"%s\" were adopted at the same time",
		    list->names[index], list->names[tied]);
	return fail_hint(err, "Run \"pitr-catalog adopt\" once more on the server that is production.");
}

bool branch_adopt(struct repo *repo, const char *name, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	struct branch_list list;
	char key[LAYOUT_KEY_SIZE];
	uint32_t newest;
	int index, tied;

	TRY(branch_list_read(repo, &list, err));
	TRY(adopted_newest(repo, &list, &newest, &index, &tied, err));
	TRY(json_put(json, "branch", json_string(name), err));
	TRY(json_put(json, "number", json_integer((json_int_t) newest + 1), err));
	TRY(json_put(json, "adopted_us", json_integer(clock_now_us()), err));
	TRY(json_put(json, "host", json_string(repo->host), err));
	layout_adopted(&repo->layout, name, newest + 1, key);
	return fact_put(repo, key, json, err);
}
