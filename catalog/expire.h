/* pitr-expire, in the order in which it works: what is there (expire_there), what the policy makes of it
 * (repo/retention.h), which objects go by that (expire_going), the plan for people and programs (expire_print), and
 * with --apply their removal (expire_remove). docs/retention.md says what it promises.
 */
#pragma once

#include "repo/fact.h"
#include "repo/lineage.h"
#include "repo/object_name.h"
#include "repo/retention.h"

#define EXPIRE_SHOWN_MAX 20 /* names of one sort that are printed */
#define EXPIRE_RETIRED_US                                                                                           \
	(INT64_C(31) * 86400 * 1000000)			/* that a backup was removed: pitr-check counts it, 30 days \
							 */
#define EXPIRE_RUNS_US (INT64_C(400) * 86400 * 1000000) /* how far back a run looks for those before it */

/* An object by its name. */
struct expire_object {
	char *key; /* owned */
	uint64_t size;
	enum object_kind kind;
	bool is_proven; /* the name follows from an authenticated fact; else the header has to say what it is */
};

struct expire_objects {
	size_t count, capacity;
	struct expire_object *items; /* owned */
};

/* A backup that is not in the catalog, although there are objects of it. */
struct expire_stray {
	char branch[BRANCH_NAME_MAX + 1];
	char label[BACKUP_LABEL_SIZE];
	bool is_retired; /* an earlier run began to remove it */
	int unfinished;	 /* its place in retention.unfinished; -1: it has none */
};

/* What is known of a backup of the catalog besides what retention.h asks for. */
struct expire_backup {
	bool is_read;	 /* its manifest, in this run */
	bool is_removed; /* from the catalog, in this run */
};

/* Keys of packs, each once. */
struct expire_references {
	size_t count, capacity;
	char (*items)[LAYOUT_KEY_SIZE];
};

/* What could not be removed, and why. */
struct expire_refusal {
	char *key; /* owned */
	struct error why;
};

struct expire {
	const struct options *options;
	struct repo *repo;
	struct branch_list branches;
	struct layout *layouts; /* owned: of each branch, with its chain */
	struct catalog catalog;
	struct facts facts; /* of backups */
	struct facts runs;  /* of programs, the newer ones */
	struct lineage lineage;
	struct expire_objects there; /* all of the system, by key */
	int stray_count;
	size_t stray_capacity;
	struct expire_stray *strays;	     /* owned */
	struct retention retention;	     /* its arrays are owned here */
	struct expire_backup *backups;	     /* owned: of each backup of the catalog */
	struct expire_references references; /* owned: packs of others that backups which stay refer to */
	struct expire_objects going;
	size_t unknown_count;		 /* names that are not ours, and WAL where no path leads: left alone */
	size_t unknown_names;		 /* … of which so many, the first, are the former */
	char *unknown[EXPIRE_SHOWN_MAX]; /* owned: the first */
	bool is_applied;
	size_t removed_count;
	uint64_t removed_bytes;
	size_t refused_count;
	struct expire_refusal refused[EXPIRE_SHOWN_MAX]; /* the first */
};

bool expire_run(const struct options *options, struct error *err) MUST_CHECK;

void expire_objects_release(struct expire_objects *objects);
/* Copies the key. */
bool expire_objects_add(struct expire_objects *objects, const char *key, uint64_t size, enum object_kind kind,
			struct error *err) MUST_CHECK;

/* The stray of that name; NULL: there is none. */
struct expire_stray *expire_stray_find(const struct expire *expire, const char *branch, const char *label);
/* Is it going to be removed, or what is left of it? */
bool expire_stray_goes(const struct expire *expire, const struct expire_stray *stray);
/* The backup in the catalog; NULL: there is none. */
struct retention_backup *expire_backup_find(const struct expire *expire, const char *branch, const char *label);
/* The chain of the branch; NULL: there is none. */
const struct layout *expire_layout(const struct expire *expire, const char *branch);
/* The path that ends with that timeline of that branch; NULL: there is none. */
const struct wal_path *expire_path_find(const struct expire *expire, const char *branch, uint32_t timeline);
/* A name that is left alone. */
bool expire_unknown_note(struct expire *expire, const char *key, struct error *err) MUST_CHECK;
