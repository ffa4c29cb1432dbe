#include "storage/s3_address.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Can the bucket be a label of a host name that a wildcard certificate covers? (User Guide, "Virtual hosting") */
static bool bucket_fits_host(const char *bucket)
{
	for (const char *at = bucket; *at != '\0'; at++) {
		if (!((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '-'))
			return false;
	}
	return strlen(bucket) <= 63;
}

/* Digits and dots, or an IPv6 address in brackets: no host name that a bucket could be put before. */
static bool host_is_number(const char *host)
{
	return host[0] == '[' || strspn(host, "0123456789.") == strcspn(host, ":");
}

static bool endpoint_split(const char *endpoint, struct s3_address *address, struct error *err)
{
	const char *rest = strstr(endpoint, "://");
	size_t scheme_size = rest != NULL ? (size_t) (rest - endpoint) : 0;

	(void) snprintf(address->scheme, sizeof(address->scheme), "%.*s", rest != NULL ? (int) scheme_size : 5,
			rest != NULL ? endpoint : "https");
	rest = rest != NULL ? rest + 3 : endpoint;
	size_t host_size = strcspn(rest, "/");
	size_t path_size = strlen(rest + host_size);
	while (path_size > 0 && rest[host_size + path_size - 1] == '/')
		path_size--;
	if ((strcmp(address->scheme, "https") != 0 && strcmp(address->scheme, "http") != 0) || scheme_size > 5)
		return fail(err, ERROR_USAGE, "the S3 endpoint \"%.300s\" is neither http:// nor https://", endpoint);
	/* Room for the bucket is left in both. A user or a question mark in it would be somebody's secret or mistake.
	 */
	if (host_size == 0 || host_size >= S3_HOST_SIZE - 300 || path_size >= S3_HOST_SIZE - 300 ||
	    rest[strcspn(rest, "@?#% \t\r\n\\")] != '\0')
		return fail(err, ERROR_USAGE, "the S3 endpoint is not of the form https://host[:port]");
	memcpy(address->host, rest, host_size);
	address->host[host_size] = '\0';
	memcpy(address->path, rest + host_size, path_size);
	address->path[path_size] = '\0';
	return true;
}

/* The Host header, which is signed, has no port when it is the scheme's own (RFC 9110, 4.2.3). */
static void host_drop_port(struct s3_address *address)
{
	const char *port = strcmp(address->scheme, "https") == 0 ? ":443" : ":80";
	size_t host_size = strlen(address->host);
	size_t port_size = strlen(port);

	if (host_size > port_size && strcmp(address->host + host_size - port_size, port) == 0)
		address->host[host_size - port_size] = '\0';
}

static bool address_place_bucket(struct s3_address *address, bool is_virtual, const char *bucket, struct error *err)
{
	char host[S3_HOST_SIZE];
	size_t used = strlen(address->path);

	if (!is_virtual) {
		(void) snprintf(address->path + used, sizeof(address->path) - used, "/%s", bucket);
		return true;
	}
	if (host_is_number(address->host))
		return fail(err, ERROR_USAGE, "the bucket cannot be part of the host name \"%.200s\"", address->host) ||
		       fail_hint(err, "Set s3-addressing = path.");
	memcpy(host, address->host, sizeof(host));
	int length = snprintf(address->host, sizeof(address->host), "%s.%s", bucket, host);
	return length > 0 && (size_t) length < sizeof(address->host)
		       ? true
		       : fail(err, ERROR_USAGE, "the S3 endpoint has too long a host name");
}

bool s3_address_parse(const char *endpoint, const char *region, const char *addressing, const char *bucket,
		      struct s3_address *address, struct error *err)
{
	bool is_aws = endpoint[0] == '\0';
	bool is_virtual = strcmp(addressing, "virtual") == 0;
	char of_region[200];

	if (addressing[0] != '\0' && !is_virtual && strcmp(addressing, "path") != 0)
		return fail(err, ERROR_USAGE, "s3-addressing is \"path\" or \"virtual\", not \"%.100s\"", addressing);
	if (region[0] == '\0' || strlen(region) > 60 ||
	    region[strspn(region, "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")])
		return fail(err, ERROR_USAGE, "\"%.100s\" cannot be the name of an S3 region", region);
	(void) snprintf(of_region, sizeof(of_region), "https://s3.%s.amazonaws.com%s", region,
			strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
	TRY(endpoint_split(is_aws ? of_region : endpoint, address, err));
	host_drop_port(address);
	if (addressing[0] == '\0')
		is_virtual = bucket_fits_host(bucket) && !host_is_number(address->host) &&
			     strstr(address->host, ".amazonaws.com") != NULL;
	return address_place_bucket(address, is_virtual, bucket, err);
}
