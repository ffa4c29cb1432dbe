#include "repo/fact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "repo/branch.h"

#define FACT_SIZE_MAX (4 * MiB)

static const char *const kinds[FACT_KIND_COUNT] = {
	[FACT_PIN] = "pin",	      [FACT_UNPIN] = "unpin", [FACT_NOTE] = "note",
	[FACT_VERIFIED] = "verified", [FACT_RUN] = "run",     [FACT_RETIRED] = "retired",
};

const char *fact_kind_name(enum fact_kind kind)
{
	return kinds[kind];
}

static bool has_verdict(enum fact_kind kind)
{
	return kind == FACT_RUN || kind == FACT_VERIFIED;
}

static bool fact_encode(const struct fact *fact, json_t *json, struct error *err)
{
	TRY(json_put(json, "kind", json_string(kinds[fact->kind]), err));
	TRY(json_put(json, "time_us", json_integer(fact->time_us), err));
	TRY(json_put(json, "host", json_string(fact->host), err));
	if (fact->label[0] != '\0')
		TRY(json_put(json, "label", json_string(fact->label), err));
	if (fact->kind == FACT_PIN)
		TRY(json_put(json, "until_us", json_integer(fact->until_us), err));
	if (fact->kind == FACT_RUN)
		TRY(json_put(json, "program", json_string(fact->program), err));
	if (has_verdict(fact->kind))
		TRY(json_put(json, "good", json_boolean(fact->is_good), err));
	if (fact->text[0] != '\0' || fact->kind == FACT_NOTE)
		TRY(json_put(json, "text", json_string(fact->text), err));
	return fact->detail == NULL || json_put(json, "detail", json_incref(fact->detail), err);
}

static bool copy_if_there(const json_t *json, const char *key, char *text, size_t size, struct error *err)
{
	return json_object_get(json, key) == NULL || json_copy_text(json, key, text, size, err);
}

static bool fact_decode(const json_t *json, struct fact *fact, struct error *err)
{
	const char *kind;

	TRY(json_get_text(json, "kind", &kind, err));
	if (strcmp(kind, kinds[fact->kind]) != 0)
		return fail(err, ERROR_CORRUPT, "it is of another kind than its name says");
	TRY(json_get_integer(json, "time_us", 0, INT64_MAX, &fact->time_us, err));
	TRY(json_copy_text(json, "host", fact->host, sizeof(fact->host), err));
	TRY(copy_if_there(json, "label", fact->label, sizeof(fact->label), err));
	if (fact->kind == FACT_PIN)
		TRY(json_get_integer(json, "until_us", 0, INT64_MAX, &fact->until_us, err));
	TRY(copy_if_there(json, "program", fact->program, sizeof(fact->program), err));
	fact->is_good = json_is_true(json_object_get(json, "good"));
	TRY(copy_if_there(json, "text", fact->text, sizeof(fact->text), err));
	fact->detail = json_incref(json_object_get(json, "detail"));
	return true;
}

bool fact_put(struct repo *repo, const struct fact *fact, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	struct fact whole = *fact;
	uint8_t random[4];
	char key[LAYOUT_KEY_SIZE];
	BUF(text, FACT_SIZE_MAX);

	if (whole.time_us == 0)
		whole.time_us = clock_now_us();
	memcpy(whole.host, repo->host, sizeof(whole.host));
	TRY(fact_encode(&whole, json, err));
	TRY(json_encode(json, &text, err));
	TRY(random_bytes(random, sizeof(random), err));
	layout_fact_id(whole.time_us, random, whole.id);
	layout_fact(&repo->layout, fact->branch[0] != '\0' ? fact->branch : layout_branch(&repo->layout),
		    kinds[fact->kind], whole.id, key);
	return repo_put(repo, key, OBJECT_FACT, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), NULL, err);
}

/* ------------------------------------------------------------------------------------------------- reading them */

struct reading {
	struct repo *repo;
	struct facts *facts;
	const char *branch;
	enum fact_kind kind;
	size_t capacity;
};

static bool fact_get(struct repo *repo, const char *key, struct fact *fact, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	BUF(text, FACT_SIZE_MAX);

	TRY(repo_get(repo, key, OBJECT_FACT, &text, err));
	TRY(json_decode(buf_bytes(&text), key, &json, err));
	return fact_decode(json, fact, err) || fail_in(err, "the object \"%s\"", key);
}

static bool facts_grow(struct reading *reading, struct error *err)
{
	struct facts *facts = reading->facts;

	if (facts->count == FACTS_MAX)
		return fail(err, ERROR_CORRUPT, "the repository has more than %d facts", FACTS_MAX);
	return ARRAY_RESERVE(&facts->items, facts->count, &reading->capacity, err);
}

/* The others still say what they say, and whoever lists must not be kept from it. */
static bool fact_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct reading *reading = context;
	struct fact fact = {.kind = reading->kind};

	(void) size;
	if (!layout_parse_fact(&reading->repo->layout, reading->branch, kinds[reading->kind], key, fact.id))
		return true;
	(void) snprintf(fact.branch, sizeof(fact.branch), "%s", reading->branch);
	TRY(facts_grow(reading, err));
	if (fact_get(reading->repo, key, &fact, err)) {
		reading->facts->items[reading->facts->count++] = fact;
		return true;
	}
	json_decref(fact.detail);
	/* It has gone since it was listed: whoever expires removes facts that nobody needs. */
	if (err->kind == ERROR_NOT_FOUND)
		return true;
	if (err->kind != ERROR_CORRUPT)
		return false;
	log_warning("a fact is left out: %s", err->text);
	reading->facts->damaged++;
	return true;
}

static int fact_order(const void *left, const void *right)
{
	const struct fact *a = left;
	const struct fact *b = right;

	if (a->time_us != b->time_us)
		return a->time_us < b->time_us ? -1 : 1;
	return strcmp(a->id, b->id);
}

static bool facts_read_branch(struct reading *reading, unsigned wanted, int64_t since_us, struct error *err)
{
	const struct layout *layout = &reading->repo->layout;
	char prefix[LAYOUT_KEY_SIZE], after[LAYOUT_KEY_SIZE];

	for (int kind = 0; kind < FACT_KIND_COUNT; kind++) {
		if ((wanted & 1u << kind) == 0)
			continue;
		reading->kind = (enum fact_kind) kind;
		layout_fact_prefix(layout, reading->branch, kinds[kind], prefix);
		layout_fact_from(layout, reading->branch, kinds[kind], since_us, after);
		TRY(storage_list(reading->repo->storage, prefix, since_us > 0 ? after : "", fact_visit, reading, err));
	}
	return true;
}

bool facts_read_since(struct repo *repo, unsigned wanted, int64_t since_us, struct facts *facts, struct error *err)
{
	struct reading reading = {.repo = repo, .facts = facts};
	struct branch_list list;
	bool done = true;

	*facts = (struct facts){0};
	TRY(branch_list_read(repo, &list, err));
	for (int i = 0; i < list.count && done; i++) {
		reading.branch = list.names[i];
		done = facts_read_branch(&reading, wanted, since_us, err);
	}
	if (!done)
		facts_release(facts);
	else if (facts->count > 1)
		qsort(facts->items, (size_t) facts->count, sizeof(facts->items[0]), fact_order);
	return done;
}

bool facts_read(struct repo *repo, unsigned wanted, struct facts *facts, struct error *err)
{
	return facts_read_since(repo, wanted, 0, facts, err);
}

void facts_release(struct facts *facts)
{
	for (int i = 0; i < facts->count; i++)
		json_decref(facts->items[i].detail);
	free(facts->items);
	*facts = (struct facts){0};
}

/* ------------------------------------------------------------------------------------------- what they say */

static bool array_has(const json_t *array, const char *id)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (text != NULL && strcmp(text, id) == 0)
			return true;
	}
	return false;
}

bool facts_unpins(const struct facts *facts, const struct fact *pin)
{
	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		if (fact->kind == FACT_UNPIN && strcmp(fact->label, pin->label) == 0 &&
		    array_has(json_object_get(fact->detail, "pins"), pin->id))
			return true;
	}
	return false;
}

bool facts_retire(const struct facts *facts, const char *branch, const char *label)
{
	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		if (fact->kind == FACT_RETIRED && strcmp(fact->label, label) == 0 && strcmp(fact->branch, branch) == 0)
			return true;
	}
	return false;
}

bool fact_is_retired(struct repo *repo, const char *branch, const char *label, bool *is_retired, struct error *err)
{
	struct facts facts FACTS_CLEANUP = {0};

	TRY(facts_read(repo, 1u << FACT_RETIRED, &facts, err));
	*is_retired = facts_retire(&facts, branch, label);
	return true;
}

bool facts_clear(const struct facts *facts, const struct fact *verdict)
{
	for (int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		if (fact->kind == FACT_VERIFIED && fact->is_good && strcmp(fact->label, verdict->label) == 0 &&
		    array_has(json_object_get(fact->detail, "clears"), verdict->id))
			return true;
	}
	return false;
}

/* They come in the order of time: what was said last counts, of pins the longest; damage until it is taken back. */
static void fact_apply(const struct facts *facts, const struct fact *fact, struct backup *backup)
{
	switch (fact->kind) {
	case FACT_PIN:
		if (fact->until_us > backup->pinned_until_us && !facts_unpins(facts, fact))
			backup->pinned_until_us = fact->until_us;
		break;
	case FACT_NOTE:
		memcpy(backup->note, fact->text, sizeof(backup->note));
		break;
	case FACT_VERIFIED:
		if (fact->is_good) {
			backup->verified_us = fact->time_us;
		} else if (!facts_clear(facts, fact)) {
			backup->is_damaged = true;
			backup->damaged_us = fact->time_us;
		}
		break;
	case FACT_UNPIN:
	case FACT_RUN:
	case FACT_RETIRED:
		break;
	}
}

void facts_apply(const struct facts *facts, struct catalog *catalog)
{
	for (int i = 0; i < facts->count; i++) {
		for (int k = 0; k < catalog->count && facts->items[i].label[0] != '\0'; k++) {
			if (strcmp(catalog->backups[k].label, facts->items[i].label) == 0)
				fact_apply(facts, &facts->items[i], &catalog->backups[k]);
		}
	}
}

bool facts_read_catalog(struct repo *repo, struct catalog *catalog, struct error *err)
{
	struct facts facts FACTS_CLEANUP = {0};

	TRY(catalog_read(repo, catalog, err));
	if (!facts_read(repo, FACTS_OF_BACKUPS, &facts, err)) {
		catalog_release(catalog);
		return false;
	}
	facts_apply(&facts, catalog);
	return true;
}

int64_t fact_pin_until(int64_t now_us, int64_t duration_ms)
{
	int64_t duration_us, until_us;

	if (__builtin_mul_overflow(duration_ms, 1000, &duration_us) ||
	    __builtin_add_overflow(now_us, duration_us, &until_us))
		return FACT_UNTIL_FOREVER;
	return until_us;
}
