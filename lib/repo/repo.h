/* A repository, opened: storage, secrets and proven identity together. The only place where pg, codec and storage meet.
 *
 * Opening reads the identity object, so that afterwards "not found" means what it says: never is a missing
 * mount, a wrong bucket or a wrong prefix taken for an empty archive. Only repo_create() makes a repository.
 * All functions but open, create and close may be called from several threads.
 */
#pragma once

#include <pthread.h>

#include "codec/builder.h"
#include "config/options.h"
#include "repo/layout.h"
#include "storage/storage.h"

struct repo {
	struct storage *storage;
	struct secrets *secrets;
	struct layout layout;
	uint8_t id[16];
	struct compression compression;
	char host[256];			/* who writes, for the meta of objects */
	char directory[1024];		/* … from which data directory; empty: not known */
	pthread_mutex_t unlocking;	/* guards secrets->epochs, and both below */
	bool is_epoch_compared;		/* the public key we seal to is that of the epoch's object */
	uint32_t epoch_seen;		/* a later epoch than secrets->epoch that has begun since; 0: none */
	int64_t jobs;			/* no more threads seal or open whole objects at a time; 0: no limit */
	int64_t computing;		/* those that do */
	pthread_mutex_t computing_lock; /* guards it */
	pthread_cond_t computing_changed;
};

/* Opens the repository of the settings for the cluster with this system identifier; 0: that of --system, else the
 * newest one under that cluster name. USAGE with the way out when it was never initialised, belongs to another cluster
 * or wants (no) key; never NOT_FOUND. */
bool repo_open(const struct options *options, uint64_t system_identifier, struct repo **repo,
	       struct error *err) MUST_CHECK;
/* pitr-catalog init: the root, RECOVERY, the first key epoch, the identity; proves write-once and the rights of
 * the credentials with a canary first. EXISTS when there is an identity already. */
bool repo_create(const struct options *options, uint64_t system_identifier, struct repo **repo,
		 struct error *err) MUST_CHECK;
/* Writes, writes again, reads, lists and removes an object of a few bytes. Without the right to remove it stays. */
bool repo_prove(struct repo *repo, struct error *err) MUST_CHECK;
void repo_close(struct repo *repo); /* NULL is fine */
#define REPO_CLEANUP __attribute__((cleanup(repo_cleanup)))
void repo_cleanup(struct repo **repo);

/* Seals and stores. EXISTS when the name is taken, whatever the content. CORRUPT when it is to be sealed to an epoch
 * whose object has another public key than the identity says. `stored_size` may be NULL. Who calls it, or repo_get(),
 * from more threads than there are jobs has some that wait for the network while others compute. */
bool repo_put(struct repo *repo, const char *key, enum object_kind kind, enum object_class class, struct bytes meta,
	      struct bytes plain, uint64_t *stored_size, struct error *err) MUST_CHECK;
/* The same for an object whose frames are made by the caller: begins it, in `object`, which the caller owns … */
bool repo_build(struct repo *repo, const char *key, enum object_kind kind, const struct object_form *form,
		struct object_builder *builder, struct buf *object, struct error *err) MUST_CHECK;
/* … and seals and stores it. */
bool repo_put_built(struct repo *repo, struct object_builder *builder, uint64_t *stored_size,
		    struct error *err) MUST_CHECK;
/* A repository secret for one recipient: seals it to that public key. EXISTS as repo_put(). */
bool repo_put_recipient(struct repo *repo, const char *key, const uint8_t recipient_public[SECRET_SIZE],
			struct bytes meta, const uint8_t secret[SECRET_SIZE], struct error *err) MUST_CHECK;
/* Has the repository secret of that epoch, whose public half has that id, in repo->secrets afterwards. DENIED: the key
 * file is a host key, or no recipient of it. */
bool repo_open_epoch(struct repo *repo, uint32_t epoch, const uint8_t public_id[HOST_KEY_ID_SIZE],
		     struct error *err) MUST_CHECK;
/* Appends the opened object. NOT_FOUND only when the store answered. */
bool repo_get(struct repo *repo, const char *key, enum object_kind kind, struct buf *plain,
	      struct error *err) MUST_CHECK;
/* The same, and its meta section (nothing when it has none). */
bool repo_get_with_meta(struct repo *repo, const char *key, enum object_kind kind, struct buf *plain, struct buf *meta,
			struct error *err) MUST_CHECK;
/* Reads header and meta only, in one request. The caller releases the header; `meta` may be NULL. CORRUPT also when it
 * is sealed to an epoch that has never begun, unless our key opens it all the same. */
bool repo_peek(struct repo *repo, const char *key, enum object_kind kind, struct object_header *header,
	       struct buf *meta, struct error *err) MUST_CHECK;
/* Appends the stored bytes of frames `first` to `last` of the object whose header repo_peek() has read, in one request:
 * object_frames_size() of them, one behind the other as object_frame_range() says. */
bool repo_fetch_frames(struct repo *repo, const struct object_header *header, uint32_t first, uint32_t last,
		       struct buf *stored, struct error *err) MUST_CHECK;
/* Makes what opens them; each thread its own. The caller releases it, and keeps the header until then. */
bool repo_open_frames(struct repo *repo, const struct object_header *header, struct frame_opener *opener,
		      struct error *err) MUST_CHECK;
/* Is it there and whole by its size? (What can be told without its secret and without reading it.) */
bool repo_have(struct repo *repo, const char *key, enum object_kind kind, bool *have, struct error *err) MUST_CHECK;
/* Is `plain` what is stored under that name? Compares content identities; header and meta are handed on. */
bool repo_same(struct repo *repo, const char *key, enum object_kind kind, struct bytes plain, bool *same,
	       struct buf *meta, struct error *err) MUST_CHECK;
