/* What S3 answers, and what a hostile server might. */
#include "storage/s3_xml.h"

#include <stdlib.h>

#include "tap.h"

static struct error error;

static void test_failure(void)
{
	struct s3_failure failure;

	ok(s3_xml_failure(
		   bytes_of_text(
			   "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>later &amp; slower</Message>"
			   "<Unknown><Deep>x</Deep></Unknown><RequestId>4F1</RequestId><Region>r</Region></Error>"),
		   &failure),
	   "an error");
	is_text(failure.code, "SlowDown", "its code");
	is_text(failure.message, "later & slower", "its message");
	is_text(failure.request_id, "4F1", "its request");
	is_text(failure.region, "r", "its region");
	ok(s3_xml_failure(bytes_of_text("<Error><Code>A</Code><Message></Message></Error>"), &failure) &&
		   failure.message[0] == '\0',
	   "an empty message");
	ok(s3_xml_failure(bytes_of_text("<Error><Code>A</Code><Message/></Error>"), &failure), "an empty element");
	ok(s3_xml_failure(bytes_of_text("<Error><Code>A</Code></Error>"), &failure), "no message");
	ok(!s3_xml_failure(bytes_of_text("<Error><Message>A</Message></Error>"), &failure), "no code is no error");
	ok(!s3_xml_failure(bytes_of_text("<Other><Code>A</Code></Other>"), &failure) && failure.code[0] == '\0',
	   "another document is no error");
	ok(!s3_xml_failure(bytes_of_text("<Error><Code>A</Code>"), &failure), "a document that is cut is no error");
	ok(!s3_xml_failure(bytes_of_text("<html><p>x"), &failure), "HTML is no error");
	ok(!s3_xml_failure(bytes_of_text(""), &failure), "nothing is no error");
	ok(!s3_xml_failure(bytes_of_text("<!DOCTYPE e [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>"
					 "<Error><Code>&b;</Code></Error>"),
			   &failure),
	   "entities are not expanded");
	ok(!s3_xml_failure(bytes_of_text("<Error><a><a><a><a><a><a><a><a><a>x</a></a></a></a></a></a></a></a></a>"
					 "<Code>A</Code></Error>"),
			   &failure),
	   "depth has a bound");
}

static void test_text_bound(void)
{
	static char document[40000];
	struct s3_failure failure;

	(void) strcpy(document, "<Error><Code>");
	memset(document + strlen(document), 'A', 300);
	(void) strcat(document, "</Code></Error>");
	ok(s3_xml_failure(bytes_of_text(document), &failure) && strlen(failure.code) == sizeof(failure.code) - 1,
	   "a long code is cut");
	memset(document + strlen("<Error><Code>"), 'A', 30000);
	(void) strcpy(document + 30000, "</Code></Error>");
	ok(!s3_xml_failure(bytes_of_text(document), &failure), "text has a bound");
}

#define PAGE(content) \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" content "</ListBucketResult>"
#define ENTRY(key, size) "<Contents><Key>" key "</Key><LastModified>x</LastModified><Size>" size "</Size></Contents>"

static void page_is(const char *document, bool is_truncated, const char *expected, const char *name)
{
	struct s3_page page = {.count = 0};
	char got[500] = "";
	bool done = s3_xml_page(bytes_of_text(document), &page, &error);
	const char *key = (const char *) page.keys.data;

	for (size_t i = 0; done && i < page.count; i++, key += strlen(key) + 1)
		(void) snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s=%llu ", key,
				(unsigned long long) page.sizes[i]);
	is_text(done ? got : error.text, expected, name);
	ok(!done || page.is_truncated == is_truncated, "%s: whether there is more", name);
	s3_page_release(&page);
}

static void page_is_refused(const char *document, const char *name)
{
	struct s3_page page = {.count = 0};

	ok(!s3_xml_page(bytes_of_text(document), &page, &error) && error.kind == ERROR_CORRUPT, "%s", name);
	s3_page_release(&page);
}

static void test_page(void)
{
	page_is(PAGE("<Name>b</Name><IsTruncated>true</IsTruncated>" ENTRY("a/b", "1")
			     ENTRY("c", "18446744073709551615")),
		true, "a/b=1 c=18446744073709551615 ", "a page");
	page_is(PAGE("<IsTruncated>false</IsTruncated>"), false, "", "an empty page");
	page_is(PAGE(ENTRY("a%2Fb%20%41%zz%4", "1") "<EncodingType>url</EncodingType>"), false, "a/b A%zz%4=1 ",
		"encoded keys, said afterwards");
	page_is(PAGE(ENTRY("a%2Fb+c", "1")), false, "a%2Fb+c=1 ", "keys that are not encoded");
	page_is(PAGE("<EncodingType>url</EncodingType>" ENTRY("a+b%2Bc%00", "1")), false, "a b+c%00=1 ",
		"'+' is a blank, %00 is no end");
	page_is(PAGE("<EncodingType>url</EncodingType>" ENTRY("", "5") ENTRY("&#65;&lt;", "6")), false, "=5 A<=6 ",
		"odd keys");
	page_is_refused(PAGE("<Contents><Key>a</Key></Contents>"), "an entry without a size");
	page_is_refused(PAGE("<Contents><Size>1</Size></Contents>"), "an entry without a key");
	page_is_refused(PAGE("<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>"), "an entry with two keys");
	page_is_refused(PAGE(ENTRY("a", "-1")), "a negative size");
	page_is_refused(PAGE(ENTRY("a", "")), "an empty size");
	page_is_refused("<Error><Code>A</Code></Error>", "an error is no page");
	page_is_refused("<html></html>", "HTML is no page");
	page_is_refused("", "nothing is no page");
	page_is_refused("<ListBucketResult>" ENTRY("a", "1"), "a page that is cut");
}

static void test_credentials(void)
{
	struct s3_secret secret;
	char expiration[64];

	ok(!s3_xml_credentials(bytes_of_text("<R><Credentials><AccessKeyId>a</AccessKeyId></Credentials></R>"), &secret,
			       expiration, &error) &&
		   error.kind == ERROR_CORRUPT,
	   "half of the keys is none");
	ok(s3_xml_credentials(
		   bytes_of_text("<R><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>"
				 "<SessionToken>c</SessionToken><Expiration>d</Expiration></Credentials></R>"),
		   &secret, expiration, &error),
	   "keys of STS");
	is_text(expiration, "d", "with their end");
}

int main(void)
{
	test_failure();
	test_text_bound();
	test_page();
	test_credentials();
	return done_testing();
}
