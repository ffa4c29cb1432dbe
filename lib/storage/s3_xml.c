#include "storage/s3_xml.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hex.h"

#define DEPTH_MAX     8
#define PATH_SIZE     256
#define TEXT_SIZE_MAX (16 * KiB)
#define PAGE_KEYS_MAX 10000

/* Called at the end of every element, with its path ("ListBucketResult/Contents/Key") and its text. */
typedef bool (*element_visit)(void *context, const char *path, const char *text, struct error *err);

struct reading {
	XML_Parser parser;
	char path[PATH_SIZE];
	int depth;
	struct buf text;
	element_visit visit;
	void *context;
	struct error *err;
	bool failed;
};

static void reading_stop(struct reading *reading)
{
	reading->failed = true;
	(void) XML_StopParser(reading->parser, XML_FALSE);
}

static void XMLCALL on_start(void *context, const char *name, const char **attributes)
{
	struct reading *reading = context;
	size_t used = strlen(reading->path);

	(void) attributes;
	if (reading->failed)
		return;
	if (++reading->depth > DEPTH_MAX || used + strlen(name) + 2 > sizeof(reading->path)) {
		(void) fail(reading->err, ERROR_CORRUPT, "the XML is nested too deeply");
		reading_stop(reading);
		return;
	}
	(void) snprintf(reading->path + used, sizeof(reading->path) - used, "%s%s", used == 0 ? "" : "/", name);
	buf_clear(&reading->text);
}

static void XMLCALL on_end(void *context, const char *name)
{
	struct reading *reading = context;
	const char *text;

	(void) name;
	if (reading->failed)
		return;
	if (!buf_text(&reading->text, &text, reading->err) ||
	    !reading->visit(reading->context, reading->path, text, reading->err)) {
		reading_stop(reading);
		return;
	}
	char *slash = strrchr(reading->path, '/');
	*(slash != NULL ? slash : reading->path) = '\0';
	reading->depth--;
	buf_clear(&reading->text);
}

static void XMLCALL on_text(void *context, const char *text, int size)
{
	struct reading *reading = context;

	if (!reading->failed && !buf_append(&reading->text, bytes_of(text, (size_t) size), reading->err))
		reading_stop(reading);
}

static void XMLCALL on_doctype(void *context, const char *name, const char *system_id, const char *public_id,
			       int has_subset)
{
	struct reading *reading = context;

	(void) name;
	(void) system_id;
	(void) public_id;
	(void) has_subset;
	(void) fail(reading->err, ERROR_CORRUPT, "the XML has a document type declaration");
	reading_stop(reading);
}

static bool xml_each(struct bytes document, element_visit visit, void *context, struct error *err)
{
	struct reading reading = {
		.parser = XML_ParserCreate(NULL),
		.text = {.size_max = TEXT_SIZE_MAX},
		.visit = visit,
		.context = context,
		.err = err,
	};

	if (reading.parser == NULL)
		return fail(err, ERROR_SYSTEM, "could not read XML: out of memory");
	XML_SetUserData(reading.parser, &reading);
	XML_SetElementHandler(reading.parser, on_start, on_end);
	XML_SetCharacterDataHandler(reading.parser, on_text);
	XML_SetStartDoctypeDeclHandler(reading.parser, on_doctype);
	bool done =
		XML_Parse(reading.parser, (const char *) document.data, (int) document.size, XML_TRUE) == XML_STATUS_OK;
	if (!done && !reading.failed)
		(void) fail(err, ERROR_CORRUPT, "the answer is not XML: %s in line %lu",
			    XML_ErrorString(XML_GetErrorCode(reading.parser)),
			    (unsigned long) XML_GetCurrentLineNumber(reading.parser));
	XML_ParserFree(reading.parser);
	buf_release(&reading.text);
	return done;
}

/* What a server says is shown to people: no control characters, no escapes, cut at the size of its place. */
static void text_keep(char *place, size_t size, const char *text)
{
	size_t i = 0;

	for (; text[i] != '\0' && i + 1 < size; i++)
		place[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	place[i] = '\0';
}

static const char *path_end(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* <Error><Code>…  of S3, <ErrorResponse><Error><Code>… of STS. */
static bool failure_visit(void *context, const char *path, const char *text, struct error *err)
{
	struct s3_failure *failure = context;
	const char *name = path_end(path);

	if (strncmp(path, "Error", 5) != 0)
		return fail(err, ERROR_CORRUPT, "the XML is no error");
	if (strcmp(name, "Code") == 0)
		text_keep(failure->code, sizeof(failure->code), text);
	else if (strcmp(name, "Message") == 0)
		text_keep(failure->message, sizeof(failure->message), text);
	else if (strcmp(name, "RequestId") == 0)
		text_keep(failure->request_id, sizeof(failure->request_id), text);
	else if (strcmp(name, "Region") == 0)
		text_keep(failure->region, sizeof(failure->region), text);
	return true;
}

bool s3_xml_failure(struct bytes document, struct s3_failure *failure)
{
	struct error ignored;

	*failure = (struct s3_failure){.code = ""};
	if (document.size > 0 && xml_each(document, failure_visit, failure, &ignored) && failure->code[0] != '\0')
		return true;
	*failure = (struct s3_failure){.code = ""};
	return false;
}

struct page_reading {
	struct s3_page *page;
	size_t capacity;
	bool is_page;
	bool is_url_encoded;
	bool has_key;
	bool has_size;
	uint64_t size;
};

static bool page_add(struct page_reading *reading, struct error *err)
{
	struct s3_page *page = reading->page;

	if (!reading->has_key || !reading->has_size)
		return fail(err, ERROR_CORRUPT, "an entry of the listing has no key or no size");
	if (page->count == PAGE_KEYS_MAX)
		return fail(err, ERROR_CORRUPT, "a page of the listing has more than %d keys", PAGE_KEYS_MAX);
	if (!ARRAY_RESERVE(&page->sizes, page->count, &reading->capacity, err))
		return fail_in(err, "could not keep a listing");
	page->sizes[page->count++] = reading->size;
	reading->has_key = reading->has_size = false;
	return true;
}

static bool size_parse(const char *text, uint64_t *size, struct error *err)
{
	char *end;

	*size = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0')
		return fail(err, ERROR_CORRUPT, "the listing gives a size that is no number");
	return true;
}

static bool page_visit(void *context, const char *path, const char *text, struct error *err)
{
	struct page_reading *reading = context;

	if (strncmp(path, "ListBucketResult", strlen("ListBucketResult")) != 0)
		return fail(err, ERROR_CORRUPT, "the XML is no listing");
	path += strlen("ListBucketResult");
	if (path[0] == '\0') {
		reading->is_page = true;
		return true;
	}
	if (strcmp(path, "/IsTruncated") == 0) {
		reading->page->is_truncated = strcmp(text, "true") == 0;
	} else if (strcmp(path, "/EncodingType") == 0) {
		reading->is_url_encoded = strcmp(text, "url") == 0;
	} else if (strcmp(path, "/Contents/Key") == 0) {
		if (reading->has_key)
			return fail(err, ERROR_CORRUPT, "an entry of the listing has two keys");
		reading->has_key = true;
		return buf_append(&reading->page->keys, bytes_of(text, strlen(text) + 1), err);
	} else if (strcmp(path, "/Contents/Size") == 0) {
		reading->has_size = true;
		return size_parse(text, &reading->size, err);
	} else if (strcmp(path, "/Contents") == 0) {
		return page_add(reading, err);
	}
	return true;
}

/* Undoes %XX, and '+' for a blank, in place, key for key; what is no %XX stays as it is. */
static void page_decode(struct s3_page *page)
{
	uint8_t *source = page->keys.data;
	uint8_t *target = page->keys.data;
	uint8_t *end = source + page->keys.size;

	while (source < end) {
		char digits[3] = {0};
		uint8_t byte;

		if (end - source > 2)
			memcpy(digits, source + 1, 2);
		if (*source == '%' && hex_parse(digits, &byte, 1) && byte != 0) {
			*target++ = byte;
			source += 3;
		} else {
			*target++ = *source == '+' ? ' ' : *source;
			source++;
		}
	}
	page->keys.size = (size_t) (target - page->keys.data);
}

bool s3_xml_page(struct bytes document, struct s3_page *page, struct error *err)
{
	struct page_reading reading = {.page = page};

	page->keys.size_max = document.size + 1;
	if (!xml_each(document, page_visit, &reading, err)) {
		if (err->kind != ERROR_SYSTEM)
			err->kind = ERROR_CORRUPT;
		return false;
	}
	if (!reading.is_page)
		return fail(err, ERROR_CORRUPT, "the XML is no listing");
	if (reading.is_url_encoded && page->count > 0)
		page_decode(page);
	return true;
}

void s3_page_release(struct s3_page *page)
{
	buf_release(&page->keys);
	free(page->sizes);
	*page = (struct s3_page){.count = 0};
}

struct credentials_reading {
	struct s3_secret *secret;
	char *expiration;
};

static bool text_take(char *place, size_t size, const char *text, struct error *err)
{
	if (strlen(text) >= size)
		return fail(err, ERROR_CORRUPT, "a part of the credentials is too long");
	memcpy(place, text, strlen(text) + 1);
	return true;
}

static bool credentials_visit(void *context, const char *path, const char *text, struct error *err)
{
	struct credentials_reading *reading = context;
	const char *name = path_end(path);

	if (strstr(path, "/Credentials/") == NULL)
		return true;
	if (strcmp(name, "AccessKeyId") == 0)
		return text_take(reading->secret->access_key, sizeof(reading->secret->access_key), text, err);
	if (strcmp(name, "SecretAccessKey") == 0)
		return text_take(reading->secret->secret_key, sizeof(reading->secret->secret_key), text, err);
	if (strcmp(name, "SessionToken") == 0)
		return text_take(reading->secret->token, sizeof(reading->secret->token), text, err);
	if (strcmp(name, "Expiration") == 0)
		return text_take(reading->expiration, 64, text, err);
	return true;
}

bool s3_xml_credentials(struct bytes document, struct s3_secret *secret, char expiration[64], struct error *err)
{
	struct credentials_reading reading = {secret, expiration};

	*secret = (struct s3_secret){.token = ""};
	expiration[0] = '\0';
	TRY(xml_each(document, credentials_visit, &reading, err));
	if (secret->access_key[0] == '\0' || secret->secret_key[0] == '\0' || secret->token[0] == '\0')
		return fail(err, ERROR_CORRUPT, "the answer has no credentials");
	return true;
}
