/* Which backups there are: one fact object each, written last, so that a backup exists when its fact does.
 * docs/format.md, "Backup facts". */
#pragma once

#include "base/json.h"
#include "repo/repo.h"

#define CATALOG_BACKUPS_MAX 100000
#define TABLESPACES_MAX	    1024

struct tablespace {
	uint32_t oid;
	char path[1024]; /* where it was on the server */
};

/* The map from numbers of relations to their names that belongs to a backup; repo/relation_map.h. */
struct relation_map_summary {
	uint32_t parts; /* 0: there is none */
	uint64_t relations, databases;
	uint64_t databases_missing;	/* that allow connections and are not in it, or not with all relations */
	uint64_t lsn_before, lsn_after; /* where WAL was when it was begun and finished */
	uint64_t oldest_xid;		/* what transactions before this one did is in it; 64 bits, with their epoch */
};

struct backup {
	char branch[BRANCH_NAME_MAX + 1]; /* where its objects are; not in the fact, but in the fact's name */
	char label[BACKUP_LABEL_SIZE];	  /* ours: names the objects */
	char name[256];			  /* the user's, as pg_basebackup's --label */
	char note[1024];
	char host[256]; /* where pitr-basebackup ran */
	int64_t started_us, finished_us;
	uint64_t start_lsn, stop_lsn;
	uint32_t start_timeline, stop_timeline;
	uint32_t segment_size;
	int64_t server_version; /* PQserverVersion(): 150020 */
	bool from_standby;
	uint64_t database_bytes, stored_bytes, file_count;
	uint64_t checksum_failures; /* pages whose checksum was wrong; named when the backup was taken */
	uint32_t manifest_parts;
	struct relation_map_summary relation_map;
	int tablespace_count;
	struct tablespace *tablespaces; /* owned */
	/* What later facts say of it, and the note too: facts_apply() of repo/fact.h. */
	int64_t pinned_until_us; /* 0: it is not pinned; INT64_MAX: for ever */
	int64_t verified_us;	 /* 0: nobody has */
	bool is_damaged;	 /* … or who did last found damage … */
	int64_t damaged_us;	 /* … then; 0: not known */
};

struct catalog {
	int count;
	struct backup *backups; /* by start timeline, then start LSN */
};

void backup_release(struct backup *backup);
void catalog_release(struct catalog *catalog);
#define CATALOG_CLEANUP __attribute__((cleanup(catalog_release)))

/* The members of the fact, which are also what --json prints, into the object `json`. */
bool backup_encode(const struct backup *backup, json_t *json, struct error *err) MUST_CHECK;

/* The same and the branch, the status, and what later facts say: what listings show. */
bool backup_encode_listed(const struct backup *backup, json_t *json, struct error *err) MUST_CHECK;
/* "complete", "checksum failures" or "damaged". */
const char *backup_status(const struct backup *backup);

/* Writes the fact, in the branch that is written to: the backup exists from here on. */
bool catalog_add(struct repo *repo, const struct backup *backup, struct error *err) MUST_CHECK;
/* The backups of every branch. A damaged fact is warned about and left out. */
bool catalog_read(struct repo *repo, struct catalog *catalog, struct error *err) MUST_CHECK;
/* The same, but of the backups that are known their facts are not read again, since they do not change; `known` may
 * have what later facts say as well, and may not be in order. */
bool catalog_read_beyond(struct repo *repo, const struct catalog *known, struct catalog *catalog,
			 struct error *err) MUST_CHECK;
/* From an array of what backup_encode_listed() makes. */
bool catalog_decode_listed(const json_t *array, struct catalog *catalog, struct error *err) MUST_CHECK;
/* The backup with that label, or the one whose label begins (or whose random part is) so: USAGE when none or several.
 */
bool catalog_find(const struct catalog *catalog, const char *label, const struct backup **backup,
		  struct error *err) MUST_CHECK;
