#include "storage/s3_sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

#define SIGNED_HEADERS_MAX 32
#define REQUEST_SIZE_MAX   (64 * KiB)

void s3_secret_wipe(struct s3_secret *secret)
{
	explicit_bzero(secret, sizeof(*secret));
}

bool s3_encode(struct buf *encoded, const char *text, bool keeps_slash, struct error *err)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char) *text;
		bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
				(byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL;

		if (is_plain || (keeps_slash && byte == '/')) {
			TRY(buf_put_u8(encoded, byte, err));
			continue;
		}
		TRY(buf_put_u8(encoded, '%', err));
		TRY(buf_put_u8(encoded, (uint8_t) digits[byte >> 4], err));
		TRY(buf_put_u8(encoded, (uint8_t) digits[byte & 15], err));
	}
	return true;
}

static int parameter_order(const void *a, const void *b)
{
	return strcmp((*(const struct s3_parameter *const *) a)->name, (*(const struct s3_parameter *const *) b)->name);
}

bool s3_query_format(struct buf *query, const struct s3_parameter *parameters, size_t count, struct error *err)
{
	const struct s3_parameter *sorted[SIGNED_HEADERS_MAX];

	if (count > SIGNED_HEADERS_MAX)
		return fail(err, ERROR_SYSTEM, "could not sign a request of %zu parameters", count);
	for (size_t i = 0; i < count; i++)
		sorted[i] = &parameters[i];
	qsort((void *) sorted, count, sizeof(*sorted), parameter_order);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			TRY(buf_append_text(query, "&", err));
		TRY(s3_encode(query, sorted[i]->name, false, err));
		TRY(buf_append_text(query, "=", err));
		TRY(s3_encode(query, sorted[i]->value, false, err));
	}
	return true;
}

void s3_digest_base64(const uint8_t digest[SHA256_SIZE], char text[45])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	/* 32 bytes are ten groups of three, and two bytes with one '=' for the missing third. */
	for (size_t i = 0; i < 11; i++) {
		unsigned third = i < 10 ? digest[3 * i + 2] : 0;
		unsigned group = (unsigned) digest[3 * i] << 16 | (unsigned) digest[3 * i + 1] << 8 | third;

		for (size_t j = 0; j < 4; j++)
			text[4 * i + j] = alphabet[group >> (18 - 6 * j) & 63];
	}
	text[43] = '=';
	text[44] = '\0';
}

static int header_order(const void *a, const void *b)
{
	return strcmp((*(const struct http_header *const *) a)->name, (*(const struct http_header *const *) b)->name);
}

static bool headers_sort(const struct s3_to_sign *request, const struct http_header **sorted, struct error *err)
{
	if (request->header_count > SIGNED_HEADERS_MAX)
		return fail(err, ERROR_SYSTEM, "could not sign a request of %zu headers", request->header_count);
	for (size_t i = 0; i < request->header_count; i++)
		sorted[i] = &request->headers[i];
	qsort((void *) sorted, request->header_count, sizeof(*sorted), header_order);
	return true;
}

/* Appends the names, joined with ';'. */
static bool header_names_format(const struct http_header **sorted, size_t count, struct buf *text, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		TRY(buf_format(text, err, "%s%s", i == 0 ? "" : ";", sorted[i]->name));
	return true;
}

/* The hash of the canonical request. */
static bool request_hash(const struct s3_to_sign *request, const struct http_header **sorted,
			 char hash[2 * SHA256_SIZE + 1], struct error *err)
{
	BUF(canonical, REQUEST_SIZE_MAX);
	uint8_t digest[SHA256_SIZE];

	TRY(buf_format(&canonical, err, "%s\n%s\n%s\n", request->method, request->path, request->query));
	for (size_t i = 0; i < request->header_count; i++)
		TRY(buf_format(&canonical, err, "%s:%s\n", sorted[i]->name, sorted[i]->value));
	TRY(buf_append_text(&canonical, "\n", err));
	TRY(header_names_format(sorted, request->header_count, &canonical, err));
	TRY(buf_format(&canonical, err, "\n%s", request->payload_hash));
	TRY(sha256(buf_bytes(&canonical), digest, err));
	explicit_bzero(canonical.data, canonical.size); /* it may hold a session token */
	hex_format(bytes_of(digest, sizeof(digest)), hash);
	return true;
}

static bool signing_key(const struct s3_to_sign *request, const struct s3_secret *secret, uint8_t key[SHA256_SIZE],
			struct error *err)
{
	char start[sizeof(secret->secret_key) + 4];
	struct bytes day = bytes_of(request->date, 8);

	(void) snprintf(start, sizeof(start), "AWS4%s", secret->secret_key);
	bool done = hmac_sha256(bytes_of_text(start), day, key, err);
	explicit_bzero(start, sizeof(start));
	TRY(done);
	TRY(hmac_sha256(bytes_of(key, SHA256_SIZE), bytes_of_text(request->region), key, err));
	TRY(hmac_sha256(bytes_of(key, SHA256_SIZE), bytes_of_text("s3"), key, err));
	return hmac_sha256(bytes_of(key, SHA256_SIZE), bytes_of_text("aws4_request"), key, err);
}

bool s3_sign(const struct s3_to_sign *request, const struct s3_secret *secret, struct buf *authorization,
	     struct error *err)
{
	const struct http_header *sorted[SIGNED_HEADERS_MAX];
	char hash[2 * SHA256_SIZE + 1];
	uint8_t key[SHA256_SIZE];
	uint8_t signature[SHA256_SIZE];
	BUF(text, KiB);

	if (strlen(request->date) != strlen("20130524T000000Z"))
		return fail(err, ERROR_SYSTEM, "could not sign a request: bad date \"%s\"", request->date);
	TRY(headers_sort(request, sorted, err));
	TRY(request_hash(request, sorted, hash, err));
	TRY(buf_format(&text, err, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/s3/aws4_request\n%s", request->date, request->date,
		       request->region, hash));
	bool done = signing_key(request, secret, key, err) &&
		    hmac_sha256(bytes_of(key, sizeof(key)), buf_bytes(&text), signature, err);
	explicit_bzero(key, sizeof(key));
	TRY(done);
	hex_format(bytes_of(signature, sizeof(signature)), hash);
	TRY(buf_format(authorization, err, "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request, SignedHeaders=",
		       secret->access_key, request->date, request->region));
	TRY(header_names_format(sorted, request->header_count, authorization, err));
	return buf_format(authorization, err, ", Signature=%s", hash);
}
