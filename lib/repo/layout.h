/* Every object's key: the only code that builds or parses one. docs/format.md, "Tree of names".
 *
 * All functions that build write at most LAYOUT_KEY_SIZE bytes and cannot fail: their parts are bounded.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "pg/wal_name.h"

#define LAYOUT_KEY_SIZE	      513
#define CLUSTER_NAME_MAX      63
#define BRANCH_NAME_MAX	      63
#define BACKUP_LABEL_SIZE     48 /* "00000001-000000000A000028-1f2e3d4c" and a zero */
#define LAYOUT_BRANCH_DEFAULT "main"
#define LAYOUT_RECOVERY	      "RECOVERY"

#define BRANCHES_MAX 32 /* of one chain: a copy of a copy of a copy … */

/* A line of history, and which WAL of it is its own: that of `timeline` from the segment (first_log, first_segment) on,
 * when has_first, and that of all greater timelines. What lies before is its parent's. A root (timeline 0) has no
 * parent. */
struct branch {
	char name[BRANCH_NAME_MAX + 1];
	uint32_t timeline;
	bool has_first;
	uint32_t first_log, first_segment;
};

struct layout {
	char cluster[CLUSTER_NAME_MAX + 1];
	uint64_t system_identifier;
	/* The first is written to; behind each one stands its parent; the last is a root. */
	int branch_count;
	struct branch branches[BRANCHES_MAX];
};

/* On the root branch LAYOUT_BRANCH_DEFAULT. USAGE unless the name is of [A-Za-z0-9_-], begins with a letter or digit
 * and is not too long. */
bool layout_init(struct layout *layout, const char *cluster, struct error *err) MUST_CHECK;
/* Is it a name that a branch may have? */
bool layout_branch_is_valid(const char *name);
/* The branch that is written to. */
const char *layout_branch(const struct layout *layout);
/* The branch of the chain that `name` is read from. Segments, .partial, .backup and .history. */
const struct branch *layout_owner(const struct layout *layout, const struct wal_name *name);
/* Is it read from the branch that is written to? */
bool layout_owns(const struct layout *layout, const struct wal_name *name);
/* Is any WAL of the timeline read from branch number `index` of the chain? */
bool layout_owns_timeline(const struct layout *layout, int index, uint32_t timeline);

void layout_cluster_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_identity(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
/* The same, here so that it needs nothing else. */
static inline void layout_identity_of(const char *cluster, uint64_t system_identifier, char key[LAYOUT_KEY_SIZE])
{
	(void) snprintf(key, LAYOUT_KEY_SIZE, "%.*s/%" PRIu64 "/identity", CLUSTER_NAME_MAX, cluster,
			system_identifier);
}
void layout_keys_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_epoch(const struct layout *layout, uint32_t epoch, char key[LAYOUT_KEY_SIZE]);
/* A repository key of an epoch, wrapped for one recipient. `public_id` is that of the repository key: two that are made
 * for one epoch at the same time do not meet. */
void layout_recipient(const struct layout *layout, uint32_t epoch, const uint8_t public_id[8], const uint8_t id[8],
		      char key[LAYOUT_KEY_SIZE]);
void layout_recipient_prefix(const struct layout *layout, uint32_t epoch, const uint8_t public_id[8],
			     char key[LAYOUT_KEY_SIZE]);
/* A short-lived object with which `init` proves what the store can do. */
void layout_canary(const struct layout *layout, const uint8_t id[8], char key[LAYOUT_KEY_SIZE]);
/* Segments, .partial, .backup and .history: where one is read, and where a new one is made. */
void layout_wal(const struct layout *layout, const struct wal_name *name, char key[LAYOUT_KEY_SIZE]);
void layout_wal_new(const struct layout *layout, const struct wal_name *name, char key[LAYOUT_KEY_SIZE]);
void layout_wal_prefix(const struct layout *layout, const char *branch, uint32_t timeline, char key[LAYOUT_KEY_SIZE]);
void layout_wal_timelines_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
/* All that is of one branch. In it the small facts come first: adopted, backup, fact, history. */
void layout_branch_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
/* Sort behind every key of the system, of the branch, or of the timeline's segments, and before those of the next:
 * where a listing goes on that only wants to know which there are. ('0' follows '/'.) */
void layout_behind_system(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_behind_branch(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
void layout_behind_timeline(const struct layout *layout, const char *branch, uint32_t timeline,
			    char key[LAYOUT_KEY_SIZE]);
void layout_system_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_history_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
/* Facts about a branch: where it comes from, and each time that it was declared to be production. */
void layout_origin(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
void layout_adopted(const struct layout *layout, const char *branch, uint32_t number, char key[LAYOUT_KEY_SIZE]);
void layout_adopted_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
/* An index over a block of WAL segments: that of `first`'s timeline which begins with it. */
void layout_wal_index(const struct layout *layout, const char *branch, const struct wal_name *first,
		      const uint8_t random[4], char key[LAYOUT_KEY_SIZE]);
/* Sorts before all of that block and behind those before it. */
void layout_wal_index_from(const struct layout *layout, const char *branch, const struct wal_name *first,
			   char key[LAYOUT_KEY_SIZE]);
void layout_wal_index_prefix(const struct layout *layout, const char *branch, uint32_t timeline,
			     char key[LAYOUT_KEY_SIZE]);
/* How long a restore took. */
void layout_measurement(const struct layout *layout, const char *branch, int64_t time_us, const uint8_t random[4],
			char key[LAYOUT_KEY_SIZE]);
void layout_measurement_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);
/* Facts of the catalog, repo/fact.h: `kind` is a word. The last part of the key is their id: the moment and a draw. */
#define LAYOUT_FACT_ID_SIZE 26 /* 16 digits, "-", 8 digits and a zero */
void layout_fact_id(int64_t time_us, const uint8_t random[4], char id[LAYOUT_FACT_ID_SIZE]);
void layout_fact(const struct layout *layout, const char *branch, const char *kind, const char *id,
		 char key[LAYOUT_KEY_SIZE]);
/* Sorts before every fact of that kind from that moment on, and behind those before it. */
void layout_fact_from(const struct layout *layout, const char *branch, const char *kind, int64_t time_us,
		      char key[LAYOUT_KEY_SIZE]);
void layout_fact_prefix(const struct layout *layout, const char *branch, const char *kind, char key[LAYOUT_KEY_SIZE]);
void layout_pack(const struct layout *layout, const char *label, uint32_t number, char key[LAYOUT_KEY_SIZE]);
void layout_manifest(const struct layout *layout, const char *branch, const char *label, uint32_t part,
		     char key[LAYOUT_KEY_SIZE]);
void layout_relation_map(const struct layout *layout, const char *branch, const char *label, uint32_t part,
			 char key[LAYOUT_KEY_SIZE]);
void layout_backup_complete(const struct layout *layout, const char *branch, const char *label,
			    char key[LAYOUT_KEY_SIZE]);
void layout_backup_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE]);

/* A pack as manifests name it: the part of its key behind "<cluster>/<system identifier>/". Any branch. */
void layout_pack_reference(const struct layout *layout, const char *label, uint32_t number, char key[LAYOUT_KEY_SIZE]);
/* CORRUPT when `reference` is no such name. */
bool layout_pack_of_reference(const struct layout *layout, const char *reference, char key[LAYOUT_KEY_SIZE],
			      struct error *err) MUST_CHECK;

/* False when the key is none of that sort, or of another cluster, system or branch; of WAL: when that file is read from
 * another branch of the chain. */
bool layout_parse_system(const struct layout *layout, const char *key, uint64_t *system_identifier);
/* `prefix` as layout_recipient_prefix() has made it. */
bool layout_parse_recipient(const char *prefix, const char *key, uint8_t id[8]);
bool layout_parse_branch(const struct layout *layout, const char *key, char branch[BRANCH_NAME_MAX + 1]);
bool layout_parse_wal(const struct layout *layout, const char *key, struct wal_name *name);
bool layout_parse_wal_index(const struct layout *layout, const char *branch, const char *key, struct wal_name *first);
bool layout_parse_adopted(const struct layout *layout, const char *branch, const char *key, uint32_t *number);
bool layout_parse_measurement(const struct layout *layout, const char *branch, const char *key);
bool layout_parse_fact(const struct layout *layout, const char *branch, const char *kind, const char *key,
		       char id[LAYOUT_FACT_ID_SIZE]);
bool layout_parse_backup_complete(const struct layout *layout, const char *branch, const char *key,
				  char label[BACKUP_LABEL_SIZE]);

/* A new label; never made of the time, which may go backwards. */
bool layout_new_label(uint32_t timeline, uint64_t start_lsn, char label[BACKUP_LABEL_SIZE],
		      struct error *err) MUST_CHECK;
