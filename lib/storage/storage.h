/* A place that keeps named objects. The contract, which t/unit/storage_contract.c runs against every backend:
 *
 *   - An object is whole or not there: no reader ever sees part of one under its name.
 *   - put() creates and never replaces: EXISTS when the name is taken, and exactly one of several racing puts wins.
 *     When put() has returned true the object survives a power cut (directory), or the server has acknowledged it
 *     after comparing a checksum (S3).
 *   - NOT_FOUND means that the store answered and has no such object. No answer, or none in time: UNREACHABLE.
 *   - Every call ends within the retry time of the settings, to which the time is added that its bytes take at
 *     64 kB/s (list: each page of it), and what the limit on the rate makes it wait; nothing is waited for without a
 *     deadline.
 *   - A directory that is missing or empty is not mounted: UNREACHABLE, never NOT_FOUND. So is a symbolic link in it
 *     that leads nowhere or to an empty directory; other links are followed, by get() and list() alike.
 *   - Calls from several threads at once are fine.
 *   - Keys are relative, '/'-separated, of [A-Za-z0-9._-] and '/', at most 512 bytes, no part empty or beginning with
 *     "."; "tmp" and what is below it is kept for unfinished files (all checked: USAGE). Objects of other names are
 *     not ours and are not listed; what has the name of one and is neither file nor directory fails the list (SYSTEM).
 *   - list() answers in byte order of the keys.
 */
#pragma once

#include "base/buf.h"

struct storage;

/* What the settings say about a repository's place; strings borrowed for the time of the open call. */
struct storage_settings {
	const char *url;      /* "/dir", "file:///dir" or "s3://bucket/prefix" */
	int64_t retry_for_ms; /* how long a network operation is retried */
	int64_t limit_rate;   /* bytes a second to and from this storage, all threads together; 0: no limit */
	const char *s3_endpoint, *s3_region, *s3_addressing, *s3_ca_file, *s3_storage_class, *s3_sse, *s3_kms_key_id;
	bool s3_create_only; /* false: the server has no atomic create; HEAD, then PUT */
};

/* Contacts nothing yet. A directory need not exist; it is never created here. */
bool storage_open(const struct storage_settings *settings, struct storage **storage, struct error *err) MUST_CHECK;
void storage_close(struct storage *storage); /* NULL is fine */
/* From now on nothing is begun behind that deadline of base/clock.h, and no request over a network is tried or retried
 * for longer: UNREACHABLE. 0: as the settings say, which is how a storage begins. For what is worth only so much time;
 * not while another thread is in a call. */
void storage_end_by(struct storage *storage, int64_t deadline_ms);
/* For messages: "/var/backups/pitr" or "s3://bucket/prefix". */
const char *storage_url(const struct storage *storage);

/* Creates the root itself: pitr-catalog init only. A directory is made (0700) with its tmp/; a bucket must exist. */
bool storage_create(struct storage *storage, struct error *err) MUST_CHECK;

bool storage_put(struct storage *storage, const char *key, struct bytes content, struct error *err) MUST_CHECK;
/* Makes an object that is already there durable (it may be a put whose last fsync never ran). NOT_FOUND. */
bool storage_sync(struct storage *storage, const char *key, struct error *err) MUST_CHECK;
/* Appends the object, which must fit into the bound of `content`. */
bool storage_get(struct storage *storage, const char *key, struct buf *content, struct error *err) MUST_CHECK;
/* Appends at most `size` bytes from `offset` (fewer at the end); *object_size is what the object measures in all. */
bool storage_get_range(struct storage *storage, const char *key, uint64_t offset, size_t size, struct buf *content,
		       uint64_t *object_size, struct error *err) MUST_CHECK;
/* Calls visit for every key that begins with `prefix` and sorts behind `after` ("" for all), in byte order, until
 * visit returns false with err->kind ERROR_NONE (enough) or another kind (failure). */
typedef bool (*storage_visit)(void *context, const char *key, uint64_t size, struct error *err);
bool storage_list(struct storage *storage, const char *prefix, const char *after, storage_visit visit, void *context,
		  struct error *err) MUST_CHECK;
/* Until storage_forget(), and in the calling thread alone, what was listed is remembered and not asked for again: for a
 * survey that is made of many small listings, and takes what changes meanwhile for what it was. One thread at a time
 * does. */
bool storage_remember(struct storage *storage, struct error *err) MUST_CHECK;
void storage_forget(struct storage *storage);
/* NOT_FOUND is success for the caller to ignore: reported as true. */
bool storage_remove(struct storage *storage, const char *key, struct error *err) MUST_CHECK;

/* For tests: objects in memory, and a backend around another one that fails as told. */
bool storage_open_memory(struct storage **storage, struct error *err) MUST_CHECK;
