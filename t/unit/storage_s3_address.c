/* Where a bucket answers, for every form of endpoint and addressing. */
#include "storage/s3_address.h"

#include "tap.h"

static struct error error;

static void is_at(const char *endpoint, const char *region, const char *addressing, const char *bucket,
		  const char *expected)
{
	struct s3_address address;
	char got[1200] = "";
	char name[200];

	if (s3_address_parse(endpoint, region, addressing, bucket, &address, &error))
		(void) snprintf(got, sizeof(got), "%s://%s%s", address.scheme, address.host, address.path);
	else
		(void) snprintf(got, sizeof(got), "%s", error.text);
	(void) snprintf(name, sizeof(name), "\"%s\" %s %s %s", endpoint, region, addressing, bucket);
	is_text(got, expected, name);
}

static void is_refused(const char *endpoint, const char *region, const char *addressing, const char *bucket)
{
	struct s3_address address;

	ok(!s3_address_parse(endpoint, region, addressing, bucket, &address, &error) && error.kind == ERROR_USAGE,
	   "refused: \"%.60s\" %.60s %s %s", endpoint, region, addressing, bucket);
}

int main(void)
{
	static char longest[600];

	memset(longest, 'a', sizeof(longest) - 1);
	is_at("", "eu-west-3", "", "bucket", "https://bucket.s3.eu-west-3.amazonaws.com");
	is_at("", "cn-north-1", "", "bucket", "https://bucket.s3.cn-north-1.amazonaws.com.cn");
	is_at("", "us-east-1", "", "with.dots", "https://s3.us-east-1.amazonaws.com/with.dots");
	is_at("", "us-east-1", "", "Old_Name", "https://s3.us-east-1.amazonaws.com/Old_Name");
	is_at("", "us-east-1", "path", "bucket", "https://s3.us-east-1.amazonaws.com/bucket");
	is_at("https://s3.dualstack.eu-west-3.amazonaws.com", "r", "", "bucket",
	      "https://bucket.s3.dualstack.eu-west-3.amazonaws.com");
	is_at("https://minio.example:9000", "r", "", "bucket", "https://minio.example:9000/bucket");
	is_at("minio.example", "r", "", "bucket", "https://minio.example/bucket");
	is_at("minio.example:9000/", "r", "", "bucket", "https://minio.example:9000/bucket");
	is_at("http://minio.example:80", "r", "", "bucket", "http://minio.example/bucket");
	is_at("https://minio.example:443/s3/", "r", "", "bucket", "https://minio.example/s3/bucket");
	is_at("http://minio.example:443", "r", "", "bucket", "http://minio.example:443/bucket");
	is_at("http://minio.example:9000", "r", "virtual", "bucket", "http://bucket.minio.example:9000");
	is_at("http://[::1]:9000", "r", "", "bucket", "http://[::1]:9000/bucket");
	is_at("http://10.0.0.1", "r", "path", "bucket", "http://10.0.0.1/bucket");
	is_refused("http://[::1]:9000", "r", "virtual", "bucket");
	is_refused("http://10.0.0.1:9000", "r", "virtual", "bucket");
	is_refused("http://h", "r", "sideways", "bucket");
	is_refused("ftp://h", "r", "", "bucket");
	is_refused("https://", "r", "", "bucket");
	is_refused("https://user:hush@h", "r", "", "bucket");
	ok(strstr(error.text, "hush") == NULL, "a password in an endpoint is not repeated");
	is_refused("https://h?x", "r", "", "bucket");
	is_refused("https://h x", "r", "", "bucket");
	is_refused("https://h", "", "", "bucket");
	is_refused("https://h", "evil.example/", "", "bucket");
	is_refused("", longest, "", "bucket");
	is_refused(longest, "r", "", "bucket");
	return done_testing();
}
