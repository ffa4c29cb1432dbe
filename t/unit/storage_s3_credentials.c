/* Where S3 keys come from: every source of s3_credentials.h, against an HTTP server of our own on loopback. */
#include "storage/s3_credentials.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "tap.h"

#define ROUTES_MAX 8

/* What the server answers: the first route whose start fits the first line of the request. */
struct route {
	const char *start;
	int status;
	char body[2000];
	int times; /* 0: always */
};

static struct route routes[ROUTES_MAX];
static int listener = -1;
static char requests[20000]; /* all since the last reset, one behind the other; under mutex, as the routes */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char base[64];
static char directory[] = "/tmp/storage-credentials-XXXXXX";
static struct http *http;
static struct error error;

static size_t content_length(const char *head)
{
	const char *header = strcasestr(head, "\r\ncontent-length:");

	return header != NULL ? strtoul(header + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

static bool read_request(int client, char *request, size_t size)
{
	size_t used = 0;

	for (;;) {
		ssize_t got = read(client, request + used, size - 1 - used);

		if (got <= 0)
			return false;
		used += (size_t) got;
		request[used] = '\0';
		const char *end = strstr(request, "\r\n\r\n");
		if (end != NULL && strlen(end + 4) >= content_length(request))
			return true;
	}
}

static void answer(int client, const char *request)
{
	char response[4000];
	int status = 404;
	const char *body = "";

	(void) pthread_mutex_lock(&mutex);
	size_t used = strlen(requests);
	if (snprintf(requests + used, sizeof(requests) - used, "%s\n", request) < 0)
		requests[used] = '\0';
	for (size_t i = 0; i < ROUTES_MAX; i++) {
		if (routes[i].start == NULL || strncmp(request, routes[i].start, strlen(routes[i].start)) != 0)
			continue;
		status = routes[i].status;
		body = routes[i].body;
		if (routes[i].times > 0 && --routes[i].times == 0)
			routes[i].start = NULL;
		break;
	}
	int size = snprintf(response, sizeof(response),
			    "HTTP/1.1 %d Said\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
			    strlen(body), body);
	(void) pthread_mutex_unlock(&mutex);
	if (write(client, response, (size_t) size) != size)
		(void) fprintf(stderr, "# an answer was not taken\n");
}

static void *serve(void *context)
{
	static char request[20000];

	(void) context;
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (client < 0)
			return NULL;
		if (read_request(client, request, sizeof(request)))
			answer(client, request);
		(void) close(client);
	}
}

static bool start_server(pthread_t *thread)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *) &address, size) != 0 || listen(listener, 10) != 0 ||
	    getsockname(listener, (struct sockaddr *) &address, &size) != 0 ||
	    pthread_create(thread, NULL, serve, NULL) != 0)
		return false;
	(void) snprintf(base, sizeof(base), "http://127.0.0.1:%d", ntohs(address.sin_port));
	return true;
}

static void reset(void)
{
	static const char *const names[] = {"AWS_ACCESS_KEY_ID",
					    "AWS_SECRET_ACCESS_KEY",
					    "AWS_SESSION_TOKEN",
					    "AWS_PROFILE",
					    "AWS_SHARED_CREDENTIALS_FILE",
					    "AWS_CONFIG_FILE",
					    "AWS_WEB_IDENTITY_TOKEN_FILE",
					    "AWS_ROLE_ARN",
					    "AWS_ROLE_SESSION_NAME",
					    "AWS_ENDPOINT_URL_STS",
					    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
					    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
					    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
					    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
					    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
					    "http_proxy"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void) unsetenv(names[i]);
	(void) setenv("HOME", directory, 1);
	(void) setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	(void) pthread_mutex_lock(&mutex);
	memset(routes, 0, sizeof(routes));
	requests[0] = '\0';
	(void) pthread_mutex_unlock(&mutex);
}

static struct route *route(size_t place, const char *start, int status, int times)
{
	(void) pthread_mutex_lock(&mutex);
	routes[place] = (struct route){.start = start, .status = status, .times = times};
	(void) pthread_mutex_unlock(&mutex);
	return &routes[place];
}

static bool asked(const char *text)
{
	(void) pthread_mutex_lock(&mutex);
	bool found = strcasestr(requests, text) != NULL;
	(void) pthread_mutex_unlock(&mutex);
	return found;
}

/* "2026-…Z", so many seconds from now. */
static void expiry(int64_t seconds, char text[CLOCK_TEXT_SIZE])
{
	char basic[CLOCK_TEXT_SIZE];

	time_format_basic(clock_now_us() + seconds * 1000000, basic);
	(void) snprintf(text, CLOCK_TEXT_SIZE, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", basic, basic + 4, basic + 6, basic + 9,
			basic + 11, basic + 13);
}

static void json(char body[2000], const char *key, int64_t seconds)
{
	char text[CLOCK_TEXT_SIZE];

	expiry(seconds, text);
	(void) snprintf(
		body, 2000,
		"{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"secret-%s\","
		"\"Token\":\"token-%s\",\"Expiration\":\"%s\"}",
		key, key, key, text);
}

static const char *write_file(const char *name, const char *content)
{
	static char paths[4][PATH_MAX];
	static size_t next;
	char *path = paths[next++ % 4];

	if (!path_join(path, directory, name, &error) || (unlink(path), false) ||
	    !fs_create_file(path, 0600, bytes_of_text(content), &error))
		printf("# could not write: %s\n", error.text);
	return path;
}

static bool get_within(struct s3_credentials *credentials, struct s3_secret *secret, int64_t duration_ms)
{
	return s3_credentials_get(credentials, deadline_in(duration_ms), secret, &error);
}

/* One fresh search. */
static bool find(struct s3_secret *secret)
{
	struct s3_credentials *credentials = NULL;

	*secret = (struct s3_secret){.token = ""};
	bool done =
		s3_credentials_open(http, "eu-west-3", &credentials, &error) && get_within(credentials, secret, 3000);
	s3_credentials_close(credentials);
	return done;
}

static void finds(const char *access_key, const char *secret_key, const char *token, const char *promise)
{
	struct s3_secret secret;
	bool done = find(&secret);

	if (!ok(done && strcmp(secret.access_key, access_key) == 0 && strcmp(secret.secret_key, secret_key) == 0 &&
			strcmp(secret.token, token) == 0,
		"%s", promise))
		printf("# %d: %s; %s %s %s\n", done, error.text, secret.access_key, secret.secret_key, secret.token);
}

static void fails(enum error_kind kind, const char *part, const char *promise)
{
	struct s3_secret secret;
	bool done = find(&secret);

	if (!ok(!done && error.kind == kind && strstr(error.text, part) != NULL && strstr(error.text, "hush") == NULL,
		"%s", promise))
		printf("# %d: %d %s\n", done, (int) error.kind, error.text);
}

static void test_environment(void)
{
	reset();
	fails(ERROR_USAGE, "there are no S3 keys", "nothing is configured");
	(void) setenv("AWS_ACCESS_KEY_ID", "one", 1);
	fails(ERROR_USAGE, "only one half", "half a pair");
	(void) setenv("AWS_SECRET_ACCESS_KEY", "hush", 1);
	finds("one", "hush", "", "a pair from the environment");
	(void) setenv("AWS_SESSION_TOKEN", "token", 1);
	finds("one", "hush", "token", "with a session token");
	(void) setenv("AWS_SECRET_ACCESS_KEY", "hush\nhost: evil", 1);
	fails(ERROR_USAGE, "control character", "a line end in a key is refused");
}

static void test_profile(void)
{
	reset();
	const char *credentials = write_file(
		"credentials", "# comment\n[default]\naws_access_key_id = one\naws_secret_access_key = hush/1\n"
			       "\r\n[other]\r\naws_access_key_id=two\r\naws_secret_access_key=hush+2=\r\n"
			       "aws_session_token = three\r\n");
	const char *config =
		write_file("config", "[profile third]\naws_access_key_id = 3\naws_secret_access_key = hush3\n"
				     "s3 =\n  aws_access_key_id = nested\n[other]\naws_access_key_id = no\n"
				     "[profile sso]\nsso_session = x\n[profile process]\n"
				     "credential_process = /bin/x\n[profile half]\naws_access_key_id = h\n");

	(void) setenv("AWS_SHARED_CREDENTIALS_FILE", credentials, 1);
	(void) setenv("AWS_CONFIG_FILE", config, 1);
	finds("one", "hush/1", "", "the default profile");
	(void) setenv("AWS_PROFILE", "other", 1);
	finds("two", "hush+2=", "three", "a profile of the credentials file, with line ends of Windows");
	(void) setenv("AWS_PROFILE", "third", 1);
	finds("3", "hush3", "", "a profile of the config file");
	(void) setenv("AWS_PROFILE", "sso", 1);
	fails(ERROR_USAGE, "\"sso\" uses \"sso_session\", which is not supported", "SSO is refused by name");
	(void) setenv("AWS_PROFILE", "process", 1);
	fails(ERROR_USAGE, "\"credential_process\"", "so is a process");
	(void) setenv("AWS_PROFILE", "half", 1);
	fails(ERROR_USAGE, "only one half", "half a pair in a profile");
	(void) setenv("AWS_PROFILE", "absent", 1);
	fails(ERROR_USAGE, "no AWS profile \"absent\"", "a profile that is not there");
	(void) setenv("AWS_PROFILE", "other", 1);
	(void) setenv("AWS_ACCESS_KEY_ID", "environment", 1);
	(void) setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
	finds("environment", "e", "", "the environment goes before a profile");
}

static void test_web_identity(void)
{
	char time[CLOCK_TEXT_SIZE];

	reset();
	(void) setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("web-token", "hush.jwt/+=\n"), 1);
	(void) setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/backup", 1);
	(void) setenv("AWS_ENDPOINT_URL_STS", base, 1);
	struct route *sts = route(0, "POST / ", 200, 0);
	expiry(3600, time);
	(void) snprintf(
		sts->body, sizeof(sts->body),
		"<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
		"<AssumeRoleWithWebIdentityResult><Audience>a</Audience><Credentials><AccessKeyId>web</AccessKeyId>"
		"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration>"
		"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
		time);
	finds("web", "s", "t", "a web identity is exchanged at STS");
	ok(asked("\r\n\r\nAction=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fbackup&"
		 "RoleSessionName=pitr&Version=2011-06-15&WebIdentityToken=hush.jwt%2F%2B%3D\n"),
	   "with the form that STS wants");
	route(1, "POST / ", 500, 0);
	routes[0].start = NULL;
	(void) snprintf(routes[1].body, sizeof(routes[1].body), "no");
	fails(ERROR_UNREACHABLE, "the security token service: it answered 500", "STS that fails is UNREACHABLE");
	struct route *refusal = route(1, "POST / ", 403, 0);
	(void) snprintf(
		refusal->body, sizeof(refusal->body),
		"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized</Message>"
		"</Error><RequestId>1</RequestId></ErrorResponse>");
	fails(ERROR_DENIED, "role/backup\": AccessDenied: Not authorized",
	      "STS that refuses is DENIED, with its words");
	(void) setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token", 1);
	fails(ERROR_USAGE, "web identity token", "no token file");
}

static void test_container(void)
{
	char url[200];

	reset();
	(void) snprintf(url, sizeof(url), "%s/creds?x=1", base);
	(void) setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	(void) setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush-token", 1);
	(void) setenv("http_proxy", "http://127.0.0.1:1", 1);
	json(route(0, "GET /creds?x=1 ", 200, 0)->body, "box", 3600);
	finds("box", "secret-box", "token-box", "keys of a container, past any proxy");
	ok(asked("\r\nauthorization: hush-token\r\n"), "with the authorization of the environment");
	(void) setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_file("token", "of-file\n"), 1);
	finds("box", "secret-box", "token-box", "keys of a container");
	ok(asked("\r\nauthorization: of-file\r\n"), "with the authorization of a file");
	json(route(0, "GET /creds?x=1 ", 503, 2)->body, "box", 3600);
	json(route(1, "GET /creds?x=1 ", 200, 0)->body, "later", 3600);
	finds("later", "secret-later", "token-later", "503 is asked again");
	(void) snprintf(route(1, "GET /creds?x=1 ", 200, 0)->body, 2000, "{\"AccessKeyId\":\"hush\"}");
	fails(ERROR_UNREACHABLE, "container credentials service", "an answer without keys");
	(void) snprintf(route(1, "GET /creds?x=1 ", 200, 0)->body, 2000, "<html>");
	fails(ERROR_UNREACHABLE, "container credentials service", "an answer that is no JSON");
	(void) setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/creds", 1);
	fails(ERROR_USAGE, "neither https:// nor a local address", "keys do not travel in the clear");
	(void) setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1.example.com/creds", 1);
	fails(ERROR_USAGE, "neither https:// nor a local address", "nor to a host that looks local");
}

static void test_instance(void)
{
	reset();
	(void) setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
	(void) setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", base, 1);
	(void) snprintf(route(0, "PUT /latest/api/token ", 200, 0)->body, 2000, "imds-token");
	json(route(1, "GET /latest/meta-data/iam/security-credentials/backup-role ", 200, 0)->body, "ec2", 3600);
	(void) snprintf(route(2, "GET /latest/meta-data/iam/security-credentials/ ", 200, 0)->body, 2000,
			"backup-role\n");
	finds("ec2", "secret-ec2", "token-ec2", "keys of an instance");
	ok(asked("\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n") &&
		   asked("\r\nx-aws-ec2-metadata-token: imds-token\r\n"),
	   "by version 2 of the metadata service");
	route(2, "GET /latest/meta-data/iam/security-credentials/ ", 404, 0);
	fails(ERROR_USAGE, "this instance has no role", "an instance without a role");
	route(0, "PUT /latest/api/token ", 403, 0);
	fails(ERROR_DENIED, "the instance metadata service: it answered 403", "a metadata service that refuses");
	(void) setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	fails(ERROR_UNREACHABLE, "the instance metadata service: no answer", "no metadata service");
}

static void test_refresh(void)
{
	struct s3_credentials *credentials = NULL;
	struct s3_secret secret, again;
	char url[200];

	reset();
	(void) snprintf(url, sizeof(url), "%s/creds", base);
	(void) setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	json(route(0, "GET /creds ", 200, 1)->body, "first", 3600);
	json(route(1, "GET /creds ", 200, 0)->body, "second", 3600);
	ok(s3_credentials_open(http, "r", &credentials, &error) && get_within(credentials, &secret, 3000), "keys");
	is_text(secret.access_key, "first", "the first ones");
	ok(get_within(credentials, &again, 3000) && strcmp(again.access_key, "first") == 0, "they are kept in memory");
	s3_credentials_reject(credentials, &secret);
	ok(get_within(credentials, &again, 3000) && strcmp(again.access_key, "second") == 0,
	   "rejected ones are replaced");
	s3_credentials_reject(credentials, &secret);
	routes[1].start = NULL;
	ok(get_within(credentials, &again, 3000) && strcmp(again.access_key, "second") == 0,
	   "a late rejection of the old ones does not touch the new");
	s3_credentials_close(credentials);

	json(route(0, "GET /creds ", 200, 1)->body, "short", 100);
	json(route(1, "GET /creds ", 200, 0)->body, "next", 3600);
	ok(s3_credentials_open(http, "r", &credentials, &error) && get_within(credentials, &secret, 3000) &&
		   get_within(credentials, &again, 3000) && strcmp(again.access_key, "short") == 0,
	   "keys about to expire are not fetched at every request");
	s3_credentials_close(credentials);
}

int main(void)
{
	pthread_t thread;
	struct rate rate;

	rate_init(&rate, 0);
	log_init("storage_s3_credentials", LOG_LEVEL_ERROR);
	if (!ok(mkdtemp(directory) != NULL && start_server(&thread) && http_open(NULL, &rate, &http, &error),
		"a server of our own"))
		return done_testing();
	test_environment();
	test_profile();
	test_web_identity();
	test_container();
	test_instance();
	test_refresh();
	http_close(http);
	rate_destroy(&rate);
	(void) shutdown(listener, SHUT_RDWR);
	(void) pthread_join(thread, NULL);
	(void) close(listener);
	char command[100];
	(void) snprintf(command, sizeof(command), "rm -rf %s", directory);
	ok(system(command) == 0, "cleared");
	return done_testing();
}
