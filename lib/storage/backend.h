/* What a kind of storage must be able to do: the table of functions behind storage.h, for the files of this folder.
 *
 * A backend embeds struct storage as its first member. Keys and prefixes have been checked when a function is called,
 * so a backend need not defend itself against "../"; everything else of the contract in storage.h is the backend's.
 */
#pragma once

#include <stdatomic.h>

#include "storage/storage.h"

#define STORAGE_KEY_SIZE_MAX 512

struct remembered;

struct storage_backend {
	void (*close)(struct storage *storage);
	void (*end_by)(struct storage *storage, int64_t deadline_ms); /* NULL: its calls wait for nobody */
	bool (*create)(struct storage *storage, struct error *err);
	bool (*put)(struct storage *storage, const char *key, struct bytes content, struct error *err);
	bool (*sync)(struct storage *storage, const char *key, struct error *err);
	bool (*get)(struct storage *storage, const char *key, struct buf *content, struct error *err);
	bool (*get_range)(struct storage *storage, const char *key, uint64_t offset, size_t size, struct buf *content,
			  uint64_t *object_size, struct error *err);
	bool (*list)(struct storage *storage, const char *prefix, const char *after, storage_visit visit, void *context,
		     struct error *err);
	bool (*remove)(struct storage *storage, const char *key, struct error *err);
};

struct storage {
	const struct storage_backend *backend;
	const char *url;     /* owned by the backend */
	int64_t deadline_ms; /* storage_end_by(); 0: none */
	/* storage_remember(): which thread does; only that one looks at what it remembers. Owned by storage.c. */
	atomic_uintptr_t remembering; /* 0: none */
	struct remembered *remembered;
};

/* USAGE, saying why, when the key breaks a rule of storage.h. */
bool storage_key_check(const char *key, struct error *err) MUST_CHECK;
/* The same question without a reason: listings skip what cannot be ours. */
bool storage_key_is_valid(const char *key);
