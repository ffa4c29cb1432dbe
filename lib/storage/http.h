/* One HTTP request and its answer: the door to libcurl.
 *
 * Connections are kept and used again, each by one thread at a time. TLS is 1.2 or newer and always verified; no
 * redirect is followed; every wait has a limit. The body of a request is borrowed and sent again from its start when
 * libcurl finds a kept connection dead, which was_resent tells. Bodies keep to a limit of the rate, and what that makes
 * them wait counts in no time limit. Knows nothing of S3, of signatures or of trying again.
 */
#pragma once

#include "base/buf.h"
#include "storage/rate.h"

#define HTTP_VALUE_SIZE	       256
#define HTTP_DOCUMENT_SIZE_MAX (64 * KiB)
/* What a transfer that moves is given beyond its time limit: one millisecond for every so many bytes (64 kB/s). */
#define HTTP_BYTES_PER_MS 64

struct http;

struct http_header {
	const char *name; /* lower case */
	const char *value;
};

/* A header of the answer that the caller wants to know: "" when it is absent or longer than this. */
struct http_field {
	const char *name;
	char value[HTTP_VALUE_SIZE];
};

struct http_request {
	const char *method; /* PUT and POST send `body` */
	const char *url;
	const struct http_header *headers;
	size_t header_count;
	struct bytes body;
	bool is_direct; /* never through a proxy: for addresses of this host */
	int64_t connect_timeout_ms;
	int64_t idle_timeout_ms; /* nothing moves, or less than 100 bytes a second */
	int64_t timeout_ms;	 /* for the whole, besides HTTP_BYTES_PER_MS */
};

struct http_response {
	struct buf *content; /* where a body of 2xx is appended; NULL: into document */
	struct http_field *fields;
	size_t field_count;
	struct buf document; /* any other body, at most HTTP_DOCUMENT_SIZE_MAX of it; release it */
	int status;	     /* 0: no answer */
	bool has_length;     /* there was a Content-Length, and (but for HEAD) so many bytes came */
	uint64_t length;
	bool was_sent;	   /* the server may have seen the request, whatever became of the answer */
	bool was_resent;   /* it may have seen it twice */
	bool is_final;	   /* http_perform() failed for a reason that trying again does not mend */
	int64_t waited_ms; /* for the limit of the rate */
};

/* `ca_file` replaces the system's certificates unless it is NULL or "". Copied; `rate` is borrowed. */
bool http_open(const char *ca_file, struct rate *rate, struct http **http, struct error *err) MUST_CHECK;
void http_close(struct http *http); /* NULL is fine; no request may be under way */

/* True when there is a whole answer, whatever its status. UNREACHABLE when there is none; CORRUPT when `content` has no
 * room for it; USAGE for an address or a CA file that cannot be used. `content` is as before in all these cases. */
bool http_perform(struct http *http, const struct http_request *request, struct http_response *response,
		  struct error *err) MUST_CHECK;
