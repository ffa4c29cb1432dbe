#include "verify_problem.h"

#include <stdlib.h>
#include <string.h>

void problems_init(struct problems *problems)
{
	*problems = (struct problems){.count = 0};
	(void) pthread_mutex_init(&problems->lock, NULL);
}

static void problem_free(struct problem *problem)
{
	if (problem == NULL)
		return;
	free(problem->key);
	free(problem->why);
	json_decref(problem->labels);
	free(problem);
}

void problems_release(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		problem_free(problems->items[i]);
	free((void *) problems->items);
	free((void *) problems->slots);
	(void) pthread_mutex_destroy(&problems->lock);
}

/* FNV-1a */
static size_t slot_first(const struct problems *problems, const char *key)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *key != '\0'; key++)
		hash = (hash ^ (uint8_t) *key) * UINT64_C(1099511628211);
	return (size_t) hash & (problems->slot_count - 1);
}

/* Where it stands, or where it would. */
static struct problem **slot_find(const struct problems *problems, const char *key)
{
	size_t slot = slot_first(problems, key);

	while (problems->slots[slot] != NULL && strcmp(problems->slots[slot]->key, key) != 0)
		slot = (slot + 1) & (problems->slot_count - 1);
	return &problems->slots[slot];
}

struct problem *problem_find(const struct problems *problems, const char *key)
{
	return problems->slot_count == 0 ? NULL : *slot_find(problems, key);
}

static bool fail_full(const struct problems *problems, struct error *err)
{
	return fail(err, ERROR_SYSTEM, "no room for more than the %zu problems that were found", problems->count);
}

static bool problems_extend(struct problems *problems, struct error *err)
{
	if (problems->count < problems->capacity)
		return true;
	size_t capacity = problems->capacity == 0 ? 64 : 2 * problems->capacity;
	struct problem **items =
		problems->count < PROBLEMS_MAX ? realloc((void *) problems->items, capacity * sizeof(*items)) : NULL;
	struct problem **slots = items == NULL ? NULL : calloc(2 * capacity, sizeof(*slots));

	problems->items = items != NULL ? items : problems->items;
	if (slots == NULL)
		return fail_full(problems, err);
	free((void *) problems->slots);
	problems->slots = slots;
	problems->slot_count = 2 * capacity;
	problems->capacity = capacity;
	for (size_t i = 0; i < problems->count; i++)
		*slot_find(problems, problems->items[i]->key) = problems->items[i];
	return true;
}

static bool problem_add_locked(struct problems *problems, const char *key, enum object_kind kind,
			       enum verify_state state, const char *why, struct error *err)
{
	TRY(problems_extend(problems, err));
	struct problem *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	*made = (struct problem){
		.key = strdup(key), .why = strdup(why), .labels = json_array(), .kind = kind, .state = state};
	if (made->key != NULL && made->why != NULL && made->labels != NULL) {
		problems->items[problems->count++] = made;
		*slot_find(problems, key) = made;
		return true;
	}
	problem_free(made);
	return fail(err, ERROR_SYSTEM, "out of memory");
}

bool problem_add(struct problems *problems, const char *key, enum object_kind kind, enum verify_state state,
		 const char *why, struct error *err)
{
	(void) pthread_mutex_lock(&problems->lock);
	bool done = problem_find(problems, key) != NULL || problem_add_locked(problems, key, kind, state, why, err);
	(void) pthread_mutex_unlock(&problems->lock);
	return done;
}

static bool has_label(const struct problem *problem, const char *label)
{
	for (size_t i = 0; i < json_array_size(problem->labels); i++)
		if (strcmp(json_string_value(json_array_get(problem->labels, i)), label) == 0)
			return true;
	return false;
}

bool problem_needed(struct problems *problems, const char *key, const char *label, struct error *err)
{
	(void) pthread_mutex_lock(&problems->lock);
	struct problem *problem = problem_find(problems, key);
	bool done = true;

	if (problem != NULL) {
		problem->is_needed = true;
		if (*label != '\0' && !has_label(problem, label))
			done = json_add(problem->labels, json_string(label), err);
	}
	(void) pthread_mutex_unlock(&problems->lock);
	return done;
}

static int problem_order(const void *left, const void *right)
{
	const struct problem *const *a = left, *const *b = right;

	return strcmp((*a)->key, (*b)->key);
}

void problems_sort(struct problems *problems)
{
	if (problems->count > 0)
		qsort((void *) problems->items, problems->count, sizeof(struct problem *), problem_order);
}
