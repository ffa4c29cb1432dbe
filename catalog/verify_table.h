/* What a listing of the repository shows: every object of a cluster's system, and its keys. Sorted by name, so that
 * each is found by it. */
#pragma once

#include "repo/object_name.h"
#include "repo/repo.h"

#define VERIFY_OBJECTS_MAX 20000000
#define VERIFY_DIGEST_SIZE 8

enum verify_state {
	VERIFY_UNSEEN,
	VERIFY_GOOD,	/* as far as it was looked at */
	VERIFY_DAMAGED, /* it is not what it should be */
	VERIFY_MISSING,
	VERIFY_UNREAD, /* it may be good, but this key, or this machine, could not read it */
};

/* Written by whoever looks at it, one thread at a time. */
struct verify_object {
	const char *key; /* the table's */
	uint64_t size;
	enum object_kind kind;
	enum verify_state state;
	bool is_wanted;	 /* by what was asked for */
	bool is_in_part; /* of the subset */
	bool is_read;	 /* its content */
	uint64_t plain_size;
	uint8_t meta_digest[VERIFY_DIGEST_SIZE]; /* of a segment: what is stored beside it */
};

struct verify_table {
	size_t count, capacity;
	struct verify_object *objects; /* owned */
	size_t text_count, text_capacity;
	char **texts; /* owned: blocks of names */
	size_t text_used;
};

/* `part` of `parts`: an object's part is a hash of its name, so that it is always the same and every object has one. */
bool verify_table_read(struct repo *repo, uint32_t part, uint32_t parts, struct verify_table *table,
		       struct error *err) MUST_CHECK;
void verify_table_release(struct verify_table *table);
/* NULL: the listing did not show it. */
struct verify_object *verify_table_find(const struct verify_table *table, const char *key);
bool verify_object_is_bad(const struct verify_object *object); /* NULL: no */
