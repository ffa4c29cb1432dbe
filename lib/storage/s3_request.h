/* One operation on a bucket: address, keys and signature, tried again while that can help, and the answer read into
 * what it means. Knows HTTP statuses and S3 error codes; does not know what is stored.
 */
#pragma once

#include "base/buf.h"
#include "storage/s3_sign.h"
#include "storage/s3_xml.h"
#include "storage/storage.h"

struct s3_client;

enum s3_field {
	S3_FIELD_DATE,
	S3_FIELD_RETRY_AFTER,
	S3_FIELD_REQUEST_ID,
	S3_FIELD_BUCKET_REGION,
	S3_FIELD_ETAG,
	S3_FIELD_CONTENT_RANGE,
	S3_FIELD_ENCRYPTION,
	S3_FIELD_COUNT,
};

struct s3_request {
	const char *method;
	const char *purpose; /* for messages: "store", "read", "list" */
	const char *key;     /* the whole key in the bucket; NULL: the bucket itself */
	const struct s3_parameter *parameters;
	size_t parameter_count;
	const struct http_header *headers; /* beyond those every request has */
	size_t header_count;
	struct bytes body;
	const char *body_hash; /* SHA-256 of the body in hexadecimal; NULL: there is none */
	struct buf *content;   /* for the body of a success */
};

/* What the server has decided: it did it (2xx), or one of 404 (no such key), 412 and 416 (range behind the end). */
struct s3_answer {
	int status;
	bool has_length;
	uint64_t length;
	bool is_unsure; /* an earlier attempt may have been carried out, though its answer was lost */
	struct http_field fields[S3_FIELD_COUNT];
};

/* Finds bucket, region, endpoint and addressing in the settings and the environment. Contacts nobody. */
bool s3_client_open(const struct storage_settings *settings, const char *bucket, struct s3_client **client,
		    struct error *err) MUST_CHECK;
void s3_client_close(struct s3_client *client); /* NULL is fine */
/* No request begins behind that deadline; one under way ends within a second of it, unless its bytes come at 64 kB/s or
 * more. 0: retry_for_ms of the settings alone. */
void s3_client_end_by(struct s3_client *client, int64_t deadline_ms);

/* True with a decision in *answer. Otherwise UNREACHABLE (no answer, none that S3 would give, or "later" until the time
 * was up), DENIED, USAGE (a person has to change something), CORRUPT (larger than the bound of `content`). */
bool s3_request_perform(struct s3_client *client, const struct s3_request *request, struct s3_answer *answer,
			struct error *err) MUST_CHECK;
