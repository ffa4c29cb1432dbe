#include "storage/storage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/backend.h"
#include "storage/posix.h"
#include "storage/remembered.h"
#include "storage/s3.h"

static bool key_character(char character)
{
	return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
	       (character >= '0' && character <= '9') || (character != '\0' && strchr("._-/", character) != NULL);
}

/* What is wrong with a key, or NULL. An empty last part is right for a prefix only. */
static const char *key_fault(const char *key, bool is_prefix)
{
	size_t length = strnlen(key, STORAGE_KEY_SIZE_MAX + 1);

	if (length > STORAGE_KEY_SIZE_MAX)
		return "it is longer than 512 bytes";
	if (strcmp(key, "tmp") == 0 || strncmp(key, "tmp/", 4) == 0)
		return "\"tmp\" is kept for unfinished files";
	for (size_t i = 0; i < length; i++) {
		bool starts_part = i == 0 || key[i - 1] == '/';

		if (!key_character(key[i]))
			return "only letters, digits, \".\", \"_\", \"-\" and \"/\" may be used";
		if (starts_part && key[i] == '/')
			return "a part of it is empty";
		if (starts_part && key[i] == '.')
			return "a part of it begins with \".\"";
	}
	if (!is_prefix && (length == 0 || key[length - 1] == '/'))
		return "a part of it is empty";
	return NULL;
}

bool storage_key_is_valid(const char *key)
{
	return key_fault(key, false) == NULL;
}

static bool key_check(const char *key, bool is_prefix, struct error *err)
{
	const char *fault = key_fault(key, is_prefix);

	if (fault != NULL)
		return fail(err, ERROR_USAGE, "\"%.*s\" cannot be the name of an object: %s", STORAGE_KEY_SIZE_MAX, key,
			    fault);
	return true;
}

bool storage_key_check(const char *key, struct error *err)
{
	return key_check(key, false, err);
}

bool storage_open(const struct storage_settings *settings, struct storage **storage, struct error *err)
{
	const char *url = settings->url;

	*storage = NULL;
	if (url == NULL || url[0] == '\0')
		return fail(err, ERROR_USAGE, "no repository is given") ||
		       fail_hint(err, "Set \"repo\" to a directory or to s3://bucket/prefix.");
	if (settings->limit_rate > 0)
		log_debug("at most %lld bytes a second to and from \"%s\"", (long long) settings->limit_rate, url);
	if (strncmp(url, "s3://", 5) == 0)
		return s3_open(settings, storage, err);
	if (strncmp(url, "file:///", 8) == 0)
		return posix_open(url + strlen("file://"), settings->limit_rate, storage, err);
	if (url[0] == '/')
		return posix_open(url, settings->limit_rate, storage, err);
	return fail(err, ERROR_USAGE, "the repository \"%.500s\" is neither an absolute directory nor an s3:// address",
		    url) ||
	       fail_hint(err, "Write it as /var/backups/pitr, file:///var/backups/pitr or s3://bucket/prefix.");
}

void storage_close(struct storage *storage)
{
	if (storage == NULL)
		return;
	storage_forget(storage);
	storage->backend->close(storage);
}

void storage_end_by(struct storage *storage, int64_t deadline_ms)
{
	storage->deadline_ms = deadline_ms;
	if (storage->backend->end_by != NULL)
		storage->backend->end_by(storage, deadline_ms);
}

/* May this call begin? */
static bool call_check(const struct storage *storage, const char *key, bool is_prefix, struct error *err)
{
	TRY(key_check(key, is_prefix, err));
	if (storage->deadline_ms == 0 || deadline_left_ms(storage->deadline_ms) > 0)
		return true;
	return fail(err, ERROR_UNREACHABLE, "\"%s\" was not asked in time", storage->url);
}

const char *storage_url(const struct storage *storage)
{
	return storage->url;
}

bool storage_create(struct storage *storage, struct error *err)
{
	return storage->backend->create(storage, err);
}

bool storage_put(struct storage *storage, const char *key, struct bytes content, struct error *err)
{
	TRY(call_check(storage, key, false, err));
	return storage->backend->put(storage, key, content, err);
}

bool storage_sync(struct storage *storage, const char *key, struct error *err)
{
	TRY(call_check(storage, key, false, err));
	return storage->backend->sync(storage, key, err);
}

bool storage_get(struct storage *storage, const char *key, struct buf *content, struct error *err)
{
	TRY(call_check(storage, key, false, err));
	return storage->backend->get(storage, key, content, err);
}

bool storage_get_range(struct storage *storage, const char *key, uint64_t offset, size_t size, struct buf *content,
		       uint64_t *object_size, struct error *err)
{
	TRY(call_check(storage, key, false, err));
	*object_size = 0;
	return storage->backend->get_range(storage, key, offset, size, content, object_size, err);
}

bool storage_list(struct storage *storage, const char *prefix, const char *after, storage_visit visit, void *context,
		  struct error *err)
{
	TRY(call_check(storage, prefix, true, err));
	TRY(key_check(after, true, err));
	err->kind = ERROR_NONE;
	/* A visit that has seen enough stops with ERROR_NONE: that is success. */
	if (storage->remembering == (uintptr_t) pthread_self())
		return remembered_list(storage->remembered, storage, prefix, after, visit, context, err) ||
		       err->kind == ERROR_NONE;
	return storage->backend->list(storage, prefix, after, visit, context, err) || err->kind == ERROR_NONE;
}

bool storage_remember(struct storage *storage, struct error *err)
{
	storage_forget(storage);
	TRY(remembered_new(&storage->remembered, err));
	storage->remembering = (uintptr_t) pthread_self();
	return true;
}

void storage_forget(struct storage *storage)
{
	storage->remembering = 0;
	remembered_free(storage->remembered);
	storage->remembered = NULL;
}

bool storage_remove(struct storage *storage, const char *key, struct error *err)
{
	TRY(call_check(storage, key, false, err));
	return storage->backend->remove(storage, key, err);
}
