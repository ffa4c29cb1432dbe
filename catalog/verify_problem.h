/* What is wrong with the repository: one for each object that is damaged, missing or could not be read, with the
 * backups that need it. Added from several threads. */
#pragma once

#include <pthread.h>

#include "base/json.h"
#include "verify_table.h"

#define PROBLEMS_MAX 1000000

struct problem {
	char *key;		 /* owned, as all below */
	enum verify_state state; /* VERIFY_DAMAGED, …_MISSING or …_UNREAD */
	enum object_kind kind;
	char *why;
	json_t *labels; /* array: backups that cannot be restored because of it */
	bool is_needed; /* something cannot be restored because of it */
	bool is_gone;	/* it was deleted meanwhile, with all that needed it */
};

struct problems {
	pthread_mutex_t lock;
	size_t count, capacity;
	struct problem **items; /* owned, in the order in which they were found */
	size_t slot_count;
	struct problem **slots; /* owned: the same by name; a power of two, half of them empty */
};

void problems_init(struct problems *problems);
void problems_release(struct problems *problems);
/* Of several about one object the first is kept. */
bool problem_add(struct problems *problems, const char *key, enum object_kind kind, enum verify_state state,
		 const char *why, struct error *err) MUST_CHECK;
/* NULL: there is none about it. */
struct problem *problem_find(const struct problems *problems, const char *key);
/* A backup, or some time ("" for `label`), cannot be restored because of it. Nothing when it is no problem. */
bool problem_needed(struct problems *problems, const char *key, const char *label, struct error *err) MUST_CHECK;
/* Sorts the items by name. */
void problems_sort(struct problems *problems);
