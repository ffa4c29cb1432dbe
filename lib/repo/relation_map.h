/* The names of relations at the time of a base backup. WAL knows a relation by numbers only (tablespace, database,
 * filenode; in some records its OID), and when it has been dropped nobody can be asked any more what it was called.
 * Written and read in bounded parts, each an object of its own, so that a million relations need no more memory than a
 * few thousand. docs/format.md, "Relation map parts". Knows nothing of how the names were found out.
 *
 * What transactions before summary.oldest_xid did is in the map; of later ones what WAL from the backup's start on says
 * comes on top of it, and some of that may be in it already.
 */
#pragma once

#include "repo/catalog.h"

#define RELATION_MAP_PART_RELATIONS_MAX 8192
#define RELATION_MAP_PART_SIZE_MAX	(16 * MiB)
#define RELATION_NAME_SIZE		512 /* 63 bytes of a name are 189 at most as UTF-8, or 126 hexadecimal digits */
#define TABLESPACE_GLOBAL		1664 /* of relations that all databases share (pg_tablespace.dat) */

/* As UTF-8; as hexadecimal digits of the server's bytes when these cannot be that. */
struct relation_name {
	char text[RELATION_NAME_SIZE];
	bool is_hex;
};

struct relation_map_database {
	uint32_t oid;
	struct relation_name name;
	char encoding[32];
	bool is_closed;	    /* allowed no connections: its relations are not in the map */
	char missing[1024]; /* why relations of it are not in the map; "": all are, or it is closed */
};

struct relation {
	uint32_t database;   /* as WAL names it: 0 for what all databases share */
	uint32_t tablespace; /* never 0: that of the database when it has none of its own */
	uint32_t filenode;   /* 0: without storage (a partitioned table) */
	uint32_t oid;
	uint32_t table;	  /* of an index, a TOAST table, a partition, an owned sequence: what it belongs to; else 0 */
	char kind;	  /* pg_class.relkind */
	char persistence; /* pg_class.relpersistence; temporary relations are not in the map */
	struct relation_name schema, name;
};

/* The bytes are UTF-8 when they can be (`may_be_utf8`) or are ASCII. CORRUPT when they are too many. */
bool relation_name_init(struct relation_name *name, struct bytes bytes, bool may_be_utf8, struct error *err) MUST_CHECK;

struct relation_map_writer;
/* For a backup with that label on the branch that is written to. Parts go to the repository as they fill up. */
bool relation_map_writer_open(struct repo *repo, const char *label, struct relation_map_writer **writer,
			      struct error *err) MUST_CHECK;
/* The relations that are added next are of this database. Once more with `missing` set when not all could be. */
bool relation_map_writer_database(struct relation_map_writer *writer, const struct relation_map_database *database,
				  struct error *err) MUST_CHECK;
bool relation_map_writer_add(struct relation_map_writer *writer, const struct relation *relation,
			     struct error *err) MUST_CHECK;
/* Stores the last part and says how many there are. */
bool relation_map_writer_finish(struct relation_map_writer *writer, uint32_t *parts, struct error *err) MUST_CHECK;
void relation_map_writer_close(struct relation_map_writer *writer); /* in every case; NULL is fine */

/* `database` for each of them, and once more for one of which not all relations could be read. Either may be NULL. */
struct relation_map_visitor {
	bool (*database)(void *context, const struct relation_map_database *database, struct error *err);
	bool (*relation)(void *context, const struct relation_map_database *database, const struct relation *relation,
			 struct error *err);
	void *context;
};

/* Visits the map of a backup, part by part, in the order it was written in: databases by OID, relations of each by OID.
 * Nothing when the backup has none. CORRUPT when a part is missing or not what it should be. */
bool relation_map_each(struct repo *repo, const struct backup *backup, const struct relation_map_visitor *visitor,
		       struct error *err) MUST_CHECK;
