#include "storage/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "storage/backend.h"
#include "storage/s3_request.h"

#define BUCKET_SIZE_MAX	  255
#define FULL_KEY_SIZE_MAX 1024 /* of S3, in bytes */
#define PAGE_SIZE_MAX	  (8 * MiB)
#define SETTING_SIZE	  256

struct s3 {
	struct storage storage;
	struct s3_client *client;
	char url[FULL_KEY_SIZE_MAX + BUCKET_SIZE_MAX + 8];
	char bucket[BUCKET_SIZE_MAX + 1];
	char prefix[STORAGE_KEY_SIZE_MAX + 2]; /* "" or ending in '/' */
	char storage_class[SETTING_SIZE];
	char sse[SETTING_SIZE];
	char kms_key_id[SETTING_SIZE];
	bool create_only;
};

static struct s3 *s3_of(struct storage *storage)
{
	return (struct s3 *) storage;
}

static void s3_close(struct storage *storage)
{
	struct s3 *s3 = s3_of(storage);

	s3_client_close(s3->client);
	free(s3);
}

static void s3_end_by(struct storage *storage, int64_t deadline_ms)
{
	s3_client_end_by(s3_of(storage)->client, deadline_ms);
}

static void key_format(const struct s3 *s3, const char *key, char full[FULL_KEY_SIZE_MAX + 16])
{
	(void) snprintf(full, FULL_KEY_SIZE_MAX + 16, "%s%s", s3->prefix, key);
}

static bool answer_strange(const struct s3 *s3, const char *key, const char *what, struct error *err)
{
	return fail(err, ERROR_UNREACHABLE, "the answer for \"s3://%s/%s%s\" is not one of S3: %s", s3->bucket,
		    s3->prefix, key, what) ||
	       fail_hint(err, "Check s3-endpoint, and whether a proxy answers in its place.");
}

/* "bytes 2-4/10": false unless it is a range of a known whole; one without a part does not match. */
static bool content_range_parse(const char *text, uint64_t *first, uint64_t *last, uint64_t *whole)
{
	unsigned long long a = 0, b = 0, c = 0;
	int end = -1;

	if (sscanf(text, "bytes %llu-%llu/%llu%n", &a, &b, &c, &end) < 3 || end < 0 || text[end] != '\0' || a > b ||
	    b >= c)
		return false;
	*first = a;
	*last = b;
	*whole = c;
	return true;
}

static bool content_range_whole(const char *text, uint64_t *whole)
{
	unsigned long long size = 0;
	int end = -1;

	if (sscanf(text, "bytes */%llu%n", &size, &end) < 1 || end < 0 || text[end] != '\0')
		return false;
	*whole = size;
	return true;
}

/* The length of an object that a range request found too short for the range. The server has proven by 416 that it
 * knows objects, so a HEAD is good enough here. */
static bool s3_measure(struct s3 *s3, const char *key, uint64_t *size, struct error *err)
{
	char full[FULL_KEY_SIZE_MAX + 16];
	struct s3_answer answer;

	key_format(s3, key, full);
	struct s3_request request = {.method = "HEAD", .purpose = "look at", .key = full};
	TRY(s3_request_perform(s3->client, &request, &answer, err));
	if (answer.status != 200 || !answer.has_length)
		return answer_strange(s3, key, "no length", err);
	*size = answer.length;
	return true;
}

static bool range_check(const struct s3 *s3, const char *key, const struct s3_answer *answer, uint64_t offset,
			size_t size, size_t got, uint64_t *object_size, struct error *err)
{
	uint64_t first, last;

	/* The whole, from a server that gives it where the range covers it. */
	if (answer->status == 200 && offset == 0 && answer->has_length && answer->length == got && got <= size) {
		*object_size = got;
		return true;
	}
	if (answer->status != 206 ||
	    !content_range_parse(answer->fields[S3_FIELD_CONTENT_RANGE].value, &first, &last, object_size))
		return answer_strange(s3, key, "ranges are not honoured", err);
	uint64_t expected = *object_size - offset < size ? *object_size - offset : size;
	if (first != offset || offset >= *object_size || last - first + 1 != expected || got != expected)
		return answer_strange(s3, key, "another range than asked for", err);
	return true;
}

static bool s3_get_range(struct storage *storage, const char *key, uint64_t offset, size_t size, struct buf *content,
			 uint64_t *object_size, struct error *err)
{
	struct s3 *s3 = s3_of(storage);
	char full[FULL_KEY_SIZE_MAX + 16];
	char range[64];
	size_t start = content->size;
	struct s3_answer answer;

	if (size == 0) { /* there is no way to ask for no bytes: ask for the first one, and drop it */
		BUF(one, 1);

		return s3_get_range(storage, key, 0, 1, &one, object_size, err);
	}
	uint64_t last = size > (uint64_t) INT64_MAX - offset % INT64_MAX ? INT64_MAX : offset + size - 1;
	key_format(s3, key, full);
	(void) snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long) offset,
			(unsigned long long) last);
	struct http_header header = {"range", range};
	struct s3_request request = {.method = "GET",
				     .purpose = "read",
				     .key = full,
				     .headers = &header,
				     .header_count = 1,
				     .content = content};
	if (!s3_request_perform(s3->client, &request, &answer, err)) {
		bool had_room = err->kind == ERROR_CORRUPT && content->size_max - start >= size;

		return had_room ? answer_strange(s3, key, "more than the range asked for", err) : false;
	}
	if (answer.status == 404)
		return false;
	if (answer.status == 416)
		return content_range_whole(answer.fields[S3_FIELD_CONTENT_RANGE].value, object_size) ||
		       s3_measure(s3, key, object_size, err);
	if (range_check(s3, key, &answer, offset, size, content->size - start, object_size, err))
		return true;
	content->size = start;
	return false;
}

/* A GET of the whole, into `content`; the answer for whom it concerns. */
static bool s3_read(struct s3 *s3, const char *key, struct buf *content, struct s3_answer *answer, struct error *err)
{
	char full[FULL_KEY_SIZE_MAX + 16];
	size_t start = content->size;

	key_format(s3, key, full);
	struct s3_request request = {.method = "GET", .purpose = "read", .key = full, .content = content};
	TRY(s3_request_perform(s3->client, &request, answer, err));
	if (answer->status == 404)
		return false;
	/* Without a length a body that was cut looks like a whole one. */
	if (answer->status == 200 && answer->has_length && answer->length == content->size - start)
		return true;
	content->size = start;
	return answer_strange(s3, key, answer->has_length ? "unexpected status" : "it has no Content-Length", err);
}

static bool s3_get(struct storage *storage, const char *key, struct buf *content, struct error *err)
{
	struct s3_answer answer;

	return s3_read(s3_of(storage), key, content, &answer, err);
}

/* The object was there before, or it is the work of an attempt whose answer was lost: its content tells. */
static bool s3_put_compare(struct s3 *s3, const char *key, struct bytes content, struct s3_answer *answer,
			   struct error *err)
{
	struct buf stored BUF_CLEANUP = {.size_max = content.size};

	if (!s3_read(s3, key, &stored, answer, err)) {
		if (err->kind == ERROR_CORRUPT) /* larger than ours */
			return fail(err, ERROR_EXISTS, "there is another object \"s3://%s/%s%s\" already", s3->bucket,
				    s3->prefix, key);
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_UNREACHABLE;
		return fail_in(err, "it is not known whether \"%s\" was stored", key);
	}
	if (bytes_equal(buf_bytes(&stored), content))
		return true;
	return fail(err, ERROR_EXISTS, "there is another object \"s3://%s/%s%s\" already", s3->bucket, s3->prefix, key);
}

static bool s3_remove(struct storage *storage, const char *key, struct error *err)
{
	struct s3 *s3 = s3_of(storage);
	char full[FULL_KEY_SIZE_MAX + 16];
	struct s3_answer answer;

	key_format(s3, key, full);
	struct s3_request request = {.method = "DELETE", .purpose = "remove", .key = full};
	TRY(s3_request_perform(s3->client, &request, &answer, err));
	return answer.status < 300 || answer.status == 404 ? true : answer_strange(s3, key, "unexpected status", err);
}

/* Encryption that was asked for and silently not applied is a failure. The object that nobody has been told of yet is
 * taken away again, as far as the keys allow. */
static bool s3_check_encryption(struct s3 *s3, const char *key, const struct s3_answer *answer, struct error *err)
{
	struct error ignored;

	if (s3->sse[0] == '\0' || strcmp(answer->fields[S3_FIELD_ENCRYPTION].value, s3->sse) == 0)
		return true;
	bool is_removed = s3_remove(&s3->storage, key, &ignored);
	return fail(err, ERROR_USAGE,
		    "the server did not encrypt \"s3://%s/%s%s\" with \"%s\", which s3-sse asks for%s", s3->bucket,
		    s3->prefix, key, s3->sse, is_removed ? "" : "; the object is still there");
}

static bool s3_put_answered(struct s3 *s3, const char *key, struct bytes content, struct s3_answer *answer,
			    struct error *err)
{
	if (answer->status == 412) {
		if (!answer->is_unsure)
			return fail(err, ERROR_EXISTS, "there is an object \"s3://%s/%s%s\" already", s3->bucket,
				    s3->prefix, key);
		TRY(s3_put_compare(s3, key, content, answer, err));
	} else if ((answer->status != 200 && answer->status != 201 && answer->status != 204) ||
		   answer->fields[S3_FIELD_ETAG].value[0] == '\0') {
		/* Every S3 server names the ETag of what it has stored; a portal that says "200" to anything does not.
		 */
		return answer_strange(s3, key, "no ETag", err);
	}
	return s3_check_encryption(s3, key, answer, err);
}

/* Without atomic create: look, then write. Two writers can both find nothing. */
static bool s3_put_look(struct s3 *s3, const char *key, struct error *err)
{
	BUF(one, 1);
	uint64_t size;

	if (s3_get_range(&s3->storage, key, 0, 1, &one, &size, err))
		return fail(err, ERROR_EXISTS, "there is an object \"s3://%s/%s%s\" already", s3->bucket, s3->prefix,
			    key);
	return err->kind == ERROR_NOT_FOUND;
}

static bool s3_put(struct storage *storage, const char *key, struct bytes content, struct error *err)
{
	struct s3 *s3 = s3_of(storage);
	struct http_header headers[8];
	size_t count = 0;
	uint8_t digest[SHA256_SIZE];
	char hash[2 * SHA256_SIZE + 1];
	char checksum[45];
	char full[FULL_KEY_SIZE_MAX + 16];
	struct s3_answer answer;

	if (!s3->create_only)
		TRY(s3_put_look(s3, key, err));
	TRY(sha256(content, digest, err));
	hex_format(bytes_of(digest, sizeof(digest)), hash);
	s3_digest_base64(digest, checksum);
	key_format(s3, key, full);
	if (s3->create_only)
		headers[count++] = (struct http_header){"if-none-match", "*"};
	/* Kept by the server with the object; buckets with object lock ask for one. */
	headers[count++] = (struct http_header){"x-amz-checksum-sha256", checksum};
	headers[count++] = (struct http_header){"x-amz-sdk-checksum-algorithm", "SHA256"};
	if (s3->storage_class[0] != '\0')
		headers[count++] = (struct http_header){"x-amz-storage-class", s3->storage_class};
	if (s3->sse[0] != '\0')
		headers[count++] = (struct http_header){"x-amz-server-side-encryption", s3->sse};
	if (s3->kms_key_id[0] != '\0')
		headers[count++] = (struct http_header){"x-amz-server-side-encryption-aws-kms-key-id", s3->kms_key_id};
	struct s3_request request = {.method = "PUT",
				     .purpose = "store",
				     .key = full,
				     .headers = headers,
				     .header_count = count,
				     .body = content,
				     .body_hash = hash};
	TRY(s3_request_perform(s3->client, &request, &answer, err));
	return s3_put_answered(s3, key, content, &answer, err);
}

/* The server's word is all there is: an object that it shows has been acknowledged to somebody, or will be. */
static bool s3_sync(struct storage *storage, const char *key, struct error *err)
{
	BUF(one, 1);
	uint64_t size;

	return s3_get_range(storage, key, 0, 1, &one, &size, err);
}

/* Fetches the page of at most `most` keys behind `after` (a whole key, or ""). */
static bool s3_list_page(struct s3 *s3, const char *prefix, const char *after, const char *most, struct s3_page *page,
			 struct error *err)
{
	BUF(document, PAGE_SIZE_MAX);
	struct s3_answer answer;
	const struct s3_parameter parameters[] = {
		{"list-type", "2"}, {"encoding-type", "url"}, {"prefix", prefix},
		{"max-keys", most}, {"start-after", after},
	};
	struct s3_request request = {.method = "GET",
				     .purpose = "list",
				     .parameters = parameters,
				     .parameter_count = after[0] != '\0' ? 5 : 4,
				     .content = &document};

	TRY(s3_request_perform(s3->client, &request, &answer, err));
	if (answer.status != 200)
		return answer_strange(s3, "", "unexpected status", err);
	if (s3_xml_page(buf_bytes(&document), page, err))
		return true;
	if (err->kind == ERROR_CORRUPT)
		err->kind = ERROR_UNREACHABLE; /* the answer is no listing; that says nothing about what is stored */
	return fail_in(err, "could not list \"s3://%s/%s\"", s3->bucket, prefix);
}

struct s3_walk {
	struct s3 *s3;
	char prefix[FULL_KEY_SIZE_MAX + 16];
	char last[FULL_KEY_SIZE_MAX + 16]; /* the last whole key that was seen */
	storage_visit visit;
	void *context;
};

static bool s3_walk_page(struct s3_walk *walk, const struct s3_page *page, struct error *err)
{
	const char *key = (const char *) page->keys.data;
	size_t root_size = strlen(walk->s3->prefix);

	for (size_t i = 0; i < page->count; i++, key += strlen(key) + 1) {
		/* A server that repeats, jumps back or strays would make us loop, or act on what is not ours. */
		if (strcmp(key, walk->last) <= 0 || strncmp(key, walk->prefix, strlen(walk->prefix)) != 0 ||
		    strlen(key) > FULL_KEY_SIZE_MAX)
			return fail(
				err, ERROR_UNREACHABLE,
				"could not list \"s3://%s/%s\": the server's listing is out of order, or of another "
				"place",
				walk->s3->bucket, walk->prefix);
		memcpy(walk->last, key, strlen(key) + 1);
		if (storage_key_is_valid(key + root_size))
			TRY(walk->visit(walk->context, key + root_size, page->sizes[i], err));
	}
	if (page->is_truncated && page->count == 0)
		return fail(err, ERROR_UNREACHABLE,
			    "could not list \"s3://%s/%s\": the server promises more and gives none", walk->s3->bucket,
			    walk->prefix);
	return true;
}

/* Each page begins behind the last key, rather than by the server's token: so it always gets on. */
static bool s3_list(struct storage *storage, const char *prefix, const char *after, storage_visit visit, void *context,
		    struct error *err)
{
	struct s3_walk walk = {.s3 = s3_of(storage), .visit = visit, .context = context};
	bool is_truncated;

	key_format(walk.s3, prefix, walk.prefix);
	if (after[0] != '\0')
		key_format(walk.s3, after, walk.last);
	do {
		struct s3_page page = {.count = 0};
		bool done = s3_list_page(walk.s3, walk.prefix, walk.last, "1000", &page, err);

		if (done)
			err->kind =
				ERROR_NONE; /* what an earlier attempt left; a visit may stop without saying a kind */
		done = done && s3_walk_page(&walk, &page, err);
		is_truncated = page.is_truncated;
		s3_page_release(&page);
		TRY(done);
	} while (is_truncated);
	return true;
}

static bool s3_create(struct storage *storage, struct error *err)
{
	struct s3 *s3 = s3_of(storage);
	struct s3_page page = {.count = 0};
	bool done = s3_list_page(s3, s3->prefix, "", "1", &page, err);

	s3_page_release(&page);
	return done;
}

static const struct storage_backend s3_backend = {
	.close = s3_close,
	.end_by = s3_end_by,
	.create = s3_create,
	.put = s3_put,
	.sync = s3_sync,
	.get = s3_get,
	.get_range = s3_get_range,
	.list = s3_list,
	.remove = s3_remove,
};

/* Splits "s3://bucket/prefix". */
static bool s3_url_parse(struct s3 *s3, const char *url, struct error *err)
{
	const char *bucket = url + strlen("s3://");
	size_t bucket_size = strcspn(bucket, "/");
	const char *prefix = bucket + bucket_size;
	size_t prefix_size;

	prefix += strspn(prefix, "/");
	prefix_size = strlen(prefix);
	while (prefix_size > 0 && prefix[prefix_size - 1] == '/')
		prefix_size--;
	if (bucket_size < 3 || bucket_size > BUCKET_SIZE_MAX || prefix_size > STORAGE_KEY_SIZE_MAX - 1 ||
	    strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != bucket_size ||
	    bucket[0] == '.' || bucket[0] == '-')
		return fail(err, ERROR_USAGE, "\"%.300s\" is not of the form s3://bucket/prefix", url);
	memcpy(s3->bucket, bucket, bucket_size);
	if (prefix_size > 0) {
		memcpy(s3->prefix, prefix, prefix_size);
		if (!storage_key_check(s3->prefix, err))
			return fail_in(err, "\"%.300s\" is not of the form s3://bucket/prefix", url);
		s3->prefix[prefix_size] = '/';
	}
	(void) snprintf(s3->url, sizeof(s3->url), "s3://%s%s%.*s", s3->bucket, prefix_size > 0 ? "/" : "",
			(int) prefix_size, prefix);
	return true;
}

/* A setting that becomes a header. */
static bool setting_take(char value[SETTING_SIZE], const char *setting, const char *name, struct error *err)
{
	const char *text = setting != NULL ? setting : "";

	for (const char *at = text; *at != '\0'; at++) {
		if (*at <= ' ' || *at > '~' || at - text >= SETTING_SIZE - 1)
			return fail(err, ERROR_USAGE, "the value of %s is too long, or has a blank in it", name);
	}
	memcpy(value, text, strlen(text) + 1);
	return true;
}

static bool s3_configure(struct s3 *s3, const struct storage_settings *settings, struct error *err)
{
	TRY(s3_url_parse(s3, settings->url, err));
	TRY(setting_take(s3->storage_class, settings->s3_storage_class, "s3-storage-class", err));
	TRY(setting_take(s3->sse, settings->s3_sse, "s3-sse", err));
	TRY(setting_take(s3->kms_key_id, settings->s3_kms_key_id, "s3-kms-key-id", err));
	if (s3->kms_key_id[0] != '\0' && strncmp(s3->sse, "aws:kms", 7) != 0)
		return fail(err, ERROR_USAGE, "s3-kms-key-id needs s3-sse = aws:kms");
	s3->create_only = settings->s3_create_only;
	return s3_client_open(settings, s3->bucket, &s3->client, err);
}

bool s3_open(const struct storage_settings *settings, struct storage **storage, struct error *err)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	if (s3 == NULL)
		return fail(err, ERROR_SYSTEM, "could not open \"%.300s\": out of memory", settings->url);
	if (!s3_configure(s3, settings, err)) {
		free(s3);
		return false;
	}
	s3->storage = (struct storage){.backend = &s3_backend, .url = s3->url};
	*storage = &s3->storage;
	return true;
}
