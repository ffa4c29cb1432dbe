/* Branches: lines of history of one cluster, kept apart in the repository so that none can touch another's. A restored
 * copy, or one of two servers that write the same timeline, archives to a branch of its own; its origin says from where
 * on, and of which branch the rest is read. docs/format.md, "Branches".
 */
#pragma once

#include "base/json.h"
#include "repo/repo.h"

#define SYSTEM_BRANCHES_MAX 1000

/* The branches of the repository's system: the default one first, then by name. */
struct branch_list {
	int count;
	char names[SYSTEM_BRANCHES_MAX][BRANCH_NAME_MAX + 1];
};

/* What made a branch. */
enum branch_reason { BRANCH_RESTORED, BRANCH_FORKED };

struct branch_origin {
	struct branch branch; /* its name, and what of its WAL is its own */
	char parent[BRANCH_NAME_MAX + 1];
	enum branch_reason reason;
	int64_t created_us;
	char host[256];	 /* where it was made */
	char note[1024]; /* for people: "backup …, target …" */
};

/* {branch, timeline, first_segment}: the last two as far as the branch has them. */
bool branch_encode(const struct branch *branch, json_t *json, struct error *err) MUST_CHECK;
bool branch_decode(const json_t *json, struct branch *branch, struct error *err) MUST_CHECK;

bool branch_origin_encode(const struct branch_origin *origin, json_t *json, struct error *err) MUST_CHECK;
bool branch_origin_decode(const json_t *json, struct branch_origin *origin, struct error *err) MUST_CHECK;

/* A listing for each branch. */
bool branch_list_read(struct repo *repo, struct branch_list *list, struct error *err) MUST_CHECK;

/* A new name: "restore-" or "fork-" and eight random digits. */
bool branch_name_new(enum branch_reason reason, char name[BRANCH_NAME_MAX + 1], struct error *err) MUST_CHECK;
/* Writes the fact; the same again is fine, another one under the name is EXISTS. */
bool branch_origin_put(struct repo *repo, const struct branch_origin *origin, struct error *err) MUST_CHECK;
/* NOT_FOUND when there is no such branch; the default branch has no origin either. */
bool branch_origin_get(struct repo *repo, const char *name, struct branch_origin *origin, struct error *err) MUST_CHECK;
/* The chain from the branch to its root, read from the origins: *layout is repo->layout with it. */
bool branch_chain_read(struct repo *repo, const char *name, struct layout *layout, struct error *err) MUST_CHECK;
/* Puts the branch of `origin` in front of the chain. */
bool branch_chain_extend(struct layout *layout, const struct branch_origin *origin, struct error *err) MUST_CHECK;

/* How the branch was adopted last: each time has a greater number, whatever the branch. 0: never. */
bool branch_adopted_number(struct repo *repo, const char *name, uint32_t *number, struct error *err) MUST_CHECK;
/* Says that the branch is production from now on. */
bool branch_adopt(struct repo *repo, const char *name, struct error *err) MUST_CHECK;
/* The branch that was adopted last; the default one when none ever was. */
bool branch_production(struct repo *repo, const struct branch_list *list, char name[BRANCH_NAME_MAX + 1],
		       struct error *err) MUST_CHECK;
