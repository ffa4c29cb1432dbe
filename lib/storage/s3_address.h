/* Where a bucket answers: scheme, host and path in front of every key. Pure text; knows nothing of requests. */
#pragma once

#include "base/buf.h"

#define S3_HOST_SIZE 512

struct s3_address {
	char scheme[8];
	char host[S3_HOST_SIZE]; /* as in the Host header: with the port unless it is the scheme's own */
	char path[S3_HOST_SIZE]; /* "" or "/…" without a slash at the end: in front of "/key" */
};

/* `endpoint` is "https://host[:port][/path]", or without a scheme, which then is https; "" is AWS's own of `region`.
 * `addressing` is "path", "virtual" or "" for AWS's own choice: virtual at AWS where the name of the bucket allows it,
 * path at any other endpoint. USAGE when something cannot be used. */
bool s3_address_parse(const char *endpoint, const char *region, const char *addressing, const char *bucket,
		      struct s3_address *address, struct error *err) MUST_CHECK;
