/* Signature V4 against the examples that the Amazon S3 API Reference publishes ("Signature Calculations for the
 * Authorization Header: Transferring Payload in a Single Chunk", examples GET Object, PUT Object, GET Bucket Lifecycle,
 * Get Bucket (List Objects)).
 */
#include "base/hex.h"
#include "storage/s3_sign.h"

#include "tap.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct s3_secret secret = {
	.access_key = "AKIAIOSFODNN7EXAMPLE",
	.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

static void signs_as(const char *name, struct s3_to_sign request, const char *signed_headers, const char *signature)
{
	BUF(authorization, 1000);
	struct error err;
	const char *text = "";
	char expected[1000];

	request.region = "us-east-1";
	request.date = "20130524T000000Z";
	(void) snprintf(expected, sizeof(expected),
			"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
			"SignedHeaders=%s, Signature=%s",
			signed_headers, signature);
	ok(s3_sign(&request, &secret, &authorization, &err) && buf_text(&authorization, &text, &err), "%s: signs",
	   name);
	is_text(text, expected, name);
}

static void test_get_object(void)
{
	const struct http_header headers[] = {
		{"x-amz-date", "20130524T000000Z"},
		{"x-amz-content-sha256", EMPTY_HASH},
		{"range", "bytes=0-9"},
		{"host", "examplebucket.s3.amazonaws.com"},
	};
	struct s3_to_sign request = {"GET", "/test.txt", "", headers, 4, EMPTY_HASH, NULL, NULL};

	signs_as("GET Object with Range", request, "host;range;x-amz-content-sha256;x-amz-date",
		 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void test_put_object(void)
{
	static const char hash[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	const struct http_header headers[] = {
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"host", "examplebucket.s3.amazonaws.com"},
		{"date", "Fri, 24 May 2013 00:00:00 GMT"},
		{"x-amz-date", "20130524T000000Z"},
		{"x-amz-content-sha256", hash},
	};
	BUF(path, 100);
	const char *text = "";
	struct error err;
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1] = "";

	ok(s3_encode(&path, "/test$file.text", true, &err) && buf_text(&path, &text, &err), "the path is encoded");
	is_text(text, "/test%24file.text", "'$' becomes %24");
	ok(sha256(bytes_of_text("Welcome to Amazon S3."), digest, &err), "the body is hashed");
	hex_format(bytes_of(digest, sizeof(digest)), hex);
	is_text(hex, hash, "the hash of the body");
	struct s3_to_sign request = {"PUT", text, "", headers, 5, hash, NULL, NULL};
	signs_as("PUT Object", request, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void test_bucket(const char *name, const struct s3_parameter *parameters, size_t count, const char *signature)
{
	const struct http_header headers[] = {
		{"host", "examplebucket.s3.amazonaws.com"},
		{"x-amz-content-sha256", EMPTY_HASH},
		{"x-amz-date", "20130524T000000Z"},
	};
	BUF(query, 100);
	const char *text = "";
	struct error err;

	ok(s3_query_format(&query, parameters, count, &err) && buf_text(&query, &text, &err), "%s: query", name);
	struct s3_to_sign request = {"GET", "/", text, headers, 3, EMPTY_HASH, NULL, NULL};
	signs_as(name, request, "host;x-amz-content-sha256;x-amz-date", signature);
}

static void test_encodings(void)
{
	uint8_t digest[SHA256_SIZE];
	char base64[45];
	BUF(encoded, 200);
	const char *text = "";
	struct error err;

	ok(s3_encode(&encoded, "aZ09-._~ +/:@()=&?%\303\244", false, &err) && buf_text(&encoded, &text, &err),
	   "encodes");
	is_text(text, "aZ09-._~%20%2B%2F%3A%40%28%29%3D%26%3F%25%C3%A4", "everything but the unreserved is encoded");
	ok(sha256(bytes_of_text("Hello world!"), digest, &err), "hashes");
	s3_digest_base64(digest, base64);
	is_text(base64, "wFNeS+K3n/2TKRMFQ2v4iTFOSj+uwF7P/Lt98xrZ5Ro=", "base64 of a digest");
}

int main(void)
{
	const struct s3_parameter lifecycle[] = {{"lifecycle", ""}};
	const struct s3_parameter list[] = {{"prefix", "J"}, {"max-keys", "2"}};

	test_get_object();
	test_put_object();
	test_bucket("GET Bucket Lifecycle", lifecycle, 1,
		    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	test_bucket("List Objects", list, 2, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	test_encodings();
	return done_testing();
}
