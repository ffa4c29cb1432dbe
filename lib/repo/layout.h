/* Every object's key: the only code that builds or parses one. docs/format.md, "Tree of names".
 *
 * All functions that build write at most LAYOUT_KEY_SIZE bytes and cannot fail: their parts are bounded.
 */
#pragma once

#include "base/buf.h"
#include "pg/wal_name.h"

#define LAYOUT_KEY_SIZE	      513
#define CLUSTER_NAME_MAX      63
#define BRANCH_NAME_MAX	      63
#define BACKUP_LABEL_SIZE     48 /* "00000001-000000000A000028-1f2e3d4c" and a zero */
#define LAYOUT_BRANCH_DEFAULT "main"
#define LAYOUT_RECOVERY	      "RECOVERY"

struct layout {
	char cluster[CLUSTER_NAME_MAX + 1];
	uint64_t system_identifier;
	char branch[BRANCH_NAME_MAX + 1];
};

/* USAGE unless the name is of [A-Za-z0-9_-], begins with a letter or digit and is not too long. */
bool layout_init(struct layout *layout, const char *cluster, struct error *err) MUST_CHECK;

void layout_cluster_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_identity(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_epoch(const struct layout *layout, uint32_t epoch, char key[LAYOUT_KEY_SIZE]);
void layout_recipient(const struct layout *layout, uint32_t epoch, const uint8_t id[8], char key[LAYOUT_KEY_SIZE]);
/* A short-lived object with which `init` proves what the store can do. */
void layout_canary(const struct layout *layout, const uint8_t id[8], char key[LAYOUT_KEY_SIZE]);
/* Segments, .partial, .backup and .history. */
void layout_wal(const struct layout *layout, const struct wal_name *name, char key[LAYOUT_KEY_SIZE]);
void layout_wal_prefix(const struct layout *layout, uint32_t timeline, char key[LAYOUT_KEY_SIZE]);
void layout_wal_timelines_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
/* Sort behind every key of the system, or of the timeline's segments, and before those of the next: where a listing
 * goes on that only wants to know which there are. ('0' follows '/'.) */
void layout_behind_system(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_behind_timeline(const struct layout *layout, uint32_t timeline, char key[LAYOUT_KEY_SIZE]);
void layout_history_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);
void layout_pack(const struct layout *layout, const char *label, uint32_t number, char key[LAYOUT_KEY_SIZE]);
void layout_manifest(const struct layout *layout, const char *label, uint32_t part, char key[LAYOUT_KEY_SIZE]);
void layout_backup_complete(const struct layout *layout, const char *label, char key[LAYOUT_KEY_SIZE]);
void layout_backup_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE]);

/* A pack as manifests name it: the part of its key behind "<cluster>/<system identifier>/". Any branch. */
void layout_pack_reference(const struct layout *layout, const char *label, uint32_t number, char key[LAYOUT_KEY_SIZE]);
/* CORRUPT when `reference` is no such name. */
bool layout_pack_of_reference(const struct layout *layout, const char *reference, char key[LAYOUT_KEY_SIZE],
			      struct error *err) MUST_CHECK;

/* False when the key is none of that sort, or of another cluster, system or branch. */
bool layout_parse_system(const struct layout *layout, const char *key, uint64_t *system_identifier);
bool layout_parse_wal(const struct layout *layout, const char *key, struct wal_name *name);
bool layout_parse_backup_complete(const struct layout *layout, const char *key, char label[BACKUP_LABEL_SIZE]);

/* A new label; never made of the time, which may go backwards. */
bool layout_new_label(uint32_t timeline, uint64_t start_lsn, char label[BACKUP_LABEL_SIZE],
		      struct error *err) MUST_CHECK;
