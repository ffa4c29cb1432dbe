/* Signature Version 4, as the Amazon S3 API Reference describes it ("Authenticating Requests: Using the Authorization
 * Header"): pure functions from a request to the value of its Authorization header, and the text encodings it needs.
 * (libcurl 7.88 has a signer of its own, which sends no payload hash and does not sort the query.)
 */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "storage/http.h"

/* Keys of one moment. Wiped by S3_SECRET_CLEANUP. */
struct s3_secret {
	char access_key[256];
	char secret_key[256];
	char token[8192]; /* "" for keys that last */
};
#define S3_SECRET_CLEANUP __attribute__((cleanup(s3_secret_wipe)))
void s3_secret_wipe(struct s3_secret *secret);

struct s3_parameter {
	const char *name;
	const char *value;
};

/* Everything that is signed. The same texts must be sent. */
struct s3_to_sign {
	const char *method;
	const char *path;		   /* encoded, beginning with '/' */
	const char *query;		   /* of s3_query_format() */
	const struct http_header *headers; /* all of them, in any order; with host, x-amz-date, x-amz-content-sha256 */
	size_t header_count;
	const char *payload_hash; /* 64 hexadecimal digits */
	const char *region;
	const char *date; /* "20130524T000000Z", as in x-amz-date */
};

/* Appends "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…". */
bool s3_sign(const struct s3_to_sign *request, const struct s3_secret *secret, struct buf *authorization,
	     struct error *err) MUST_CHECK;

/* Appends `text` with everything but A-Z a-z 0-9 - . _ ~ (and '/' where it is kept) as %XX. */
bool s3_encode(struct buf *encoded, const char *text, bool keeps_slash, struct error *err) MUST_CHECK;
/* Appends name=value&… sorted by name. */
bool s3_query_format(struct buf *query, const struct s3_parameter *parameters, size_t count,
		     struct error *err) MUST_CHECK;
/* The base64 of a SHA-256 digest, for x-amz-checksum-sha256. */
void s3_digest_base64(const uint8_t digest[SHA256_SIZE], char text[45]);
