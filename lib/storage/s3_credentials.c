#include "storage/s3_credentials.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "storage/retry.h"
#include "storage/s3_profile.h"
#include "storage/s3_xml.h"

#define REFRESH_BEFORE_US   (INT64_C(5) * 60 * 1000000)
#define REFRESH_AGAIN_US    (INT64_C(30) * 1000000)
#define PROVIDER_LIMIT_MS   15000
#define METADATA_TIMEOUT_MS 1000
#define URL_SIZE	    2048
#define TOKEN_SIZE_MAX	    (15 * KiB)

/* Keys, and until when they hold. */
struct temporary {
	struct s3_secret secret;
	int64_t expires_us; /* INT64_MAX: they last */
};

struct s3_credentials {
	struct http *http;
	char region[64];
	pthread_mutex_t mutex;
	struct temporary cached; /* under mutex; no access key: none yet */
	int64_t refresh_us;	 /* when to fetch them anew */
};

/* One fetching of keys. */
struct search {
	struct s3_credentials *credentials;
	struct s3_profile profile;
	struct temporary found;
	bool is_found;
	int64_t deadline_ms;
};

/* Fills search->found and sets is_found, or leaves both when its source is not configured; false when it failed. */
typedef bool (*provider)(struct search *search, struct error *err);

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

/* Copies a part of the keys; what would break a header or a signature is refused. */
static bool part_take(char *place, size_t size, const char *value, const char *name, struct error *err)
{
	if (strlen(value) >= size)
		return fail(err, ERROR_USAGE, "%s is too long", name);
	for (const char *at = value; *at != '\0'; at++) {
		if (*at <= ' ' || *at > '~')
			return fail(err, ERROR_USAGE, "%s contains a blank or a control character", name);
	}
	memcpy(place, value, strlen(value) + 1);
	return true;
}

static bool keys_take(struct search *search, const char *access_key, const char *secret_key, const char *token,
		      const char *where, struct error *err)
{
	struct s3_secret *secret = &search->found.secret;

	if (access_key[0] == '\0' || secret_key[0] == '\0')
		return fail(err, ERROR_USAGE, "%s has only one half of a pair of S3 keys", where);
	if (!part_take(secret->access_key, sizeof(secret->access_key), access_key, "the access key", err) ||
	    !part_take(secret->secret_key, sizeof(secret->secret_key), secret_key, "the secret key", err) ||
	    !part_take(secret->token, sizeof(secret->token), token, "the session token", err))
		return fail_in(err, "%s", where);
	search->found.expires_us = INT64_MAX;
	search->is_found = true;
	return true;
}

static bool from_environment(struct search *search, struct error *err)
{
	const char *access_key = environment("AWS_ACCESS_KEY_ID");
	const char *secret_key = environment("AWS_SECRET_ACCESS_KEY");

	if (access_key[0] == '\0' && secret_key[0] == '\0')
		return true;
	return keys_take(search, access_key, secret_key, environment("AWS_SESSION_TOKEN"), "the environment", err);
}

/* Sends a request to a provider until it answers 2xx, or the time is up; `what` is who it is, for messages. */
static bool provider_ask(struct search *search, struct http_request *request, struct http_response *response,
			 const char *what, struct error *err)
{
	int64_t left_ms = deadline_left_ms(search->deadline_ms);
	struct retry retry = retry_begin(left_ms < PROVIDER_LIMIT_MS ? left_ms : PROVIDER_LIMIT_MS);
	bool again;

	do {
		left_ms = deadline_left_ms(retry.deadline_ms);
		request->timeout_ms = left_ms > 100 ? left_ms : 100;
		request->idle_timeout_ms = request->timeout_ms < 5000 ? request->timeout_ms : 5000;
		if (http_perform(search->credentials->http, request, response, err)) {
			if (response->status >= 200 && response->status <= 299)
				return true;
			again = response->status >= 500 || response->status == 429;
			(void) fail(err, again ? ERROR_UNREACHABLE : ERROR_DENIED, "it answered %d", response->status);
		} else {
			again = !response->is_final;
		}
	} while (again && retry_wait(&retry, 0));
	return fail_in(err, "could not get S3 keys from %s", what);
}

static bool expiration_take(struct search *search, const char *expiration, const char *what, struct error *err)
{
	if (!time_parse_iso(expiration, &search->found.expires_us))
		return fail(err, ERROR_UNREACHABLE, "could not get S3 keys from %s: \"%.40s\" is no time of expiry",
			    what, expiration);
	return true;
}

/* The JSON of containers and instances. */
static bool json_take(struct search *search, struct bytes document, const char *what, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	const char *access_key, *secret_key, *token, *expiration;

	if (!json_decode(document, "the answer", &json, err) || !json_get_text(json, "AccessKeyId", &access_key, err) ||
	    !json_get_text(json, "SecretAccessKey", &secret_key, err) || !json_get_text(json, "Token", &token, err) ||
	    !json_get_text(json, "Expiration", &expiration, err)) {
		err->kind = ERROR_UNREACHABLE;
		return fail_in(err, "could not get S3 keys from %s", what);
	}
	TRY(keys_take(search, access_key, secret_key, token, what, err));
	return expiration_take(search, expiration, what, err);
}

/* Reads a file that holds one line, as tokens are kept. */
static bool line_read(const char *path, struct buf *content, const char **line, struct error *err)
{
	if (!fs_read_file(path, content, err)) {
		err->kind = err->kind == ERROR_NOT_FOUND ? ERROR_USAGE : err->kind;
		return false;
	}
	while (content->size > 0 && strchr("\r\n \t", content->data[content->size - 1]) != NULL)
		content->size--;
	TRY(buf_text(content, line, err));
	if (content->size == 0 || strpbrk(*line, "\r\n") != NULL || strlen(*line) != content->size)
		return fail(err, ERROR_USAGE, "\"%s\" does not hold one line with a token", path);
	return true;
}

/* The address, the form and the answer of AssumeRoleWithWebIdentity, version 2011-06-15. */
static bool web_identity_exchange(struct search *search, const char *role, const char *token, struct error *err)
{
	static const char what[] = "the security token service";
	const char *region = search->credentials->region;
	const char *endpoint = environment(environment("AWS_ENDPOINT_URL_STS")[0] != '\0' ? "AWS_ENDPOINT_URL_STS"
											  : "AWS_ENDPOINT_URL");
	const char *session = environment("AWS_ROLE_SESSION_NAME");
	const char *suffix = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
	const struct s3_parameter parameters[] = {
		{"Action", "AssumeRoleWithWebIdentity"},
		{"RoleArn", role},
		{"RoleSessionName", session[0] != '\0' ? session : "pitr"},
		{"Version", "2011-06-15"},
		{"WebIdentityToken", token},
	};
	const struct http_header headers[] = {{"content-type", "application/x-www-form-urlencoded"}};
	BUF(form, 64 * KiB);
	BUF(answer, HTTP_DOCUMENT_SIZE_MAX);
	char url[URL_SIZE];
	char expiration[64];

	TRY(s3_query_format(&form, parameters, sizeof(parameters) / sizeof(*parameters), err));
	int length = endpoint[0] != '\0'
			     ? snprintf(url, sizeof(url), "%s/", endpoint)
			     : snprintf(url, sizeof(url), "https://sts.%s.amazonaws.com%s/", region, suffix);
	if (length < 0 || (size_t) length >= sizeof(url))
		return fail(err, ERROR_USAGE, "AWS_ENDPOINT_URL_STS is too long");
	struct http_request request = {"POST", url, headers, 1, buf_bytes(&form), false, 5000, 0, 0};
	struct http_response response = {.content = &answer};
	bool done = provider_ask(search, &request, &response, what, err);
	explicit_bzero(form.data, form.size);
	if (!done) {
		struct s3_failure failure;

		if (s3_xml_failure(buf_bytes(&response.document), &failure) && response.status / 100 == 4)
			(void) fail(err, ERROR_DENIED, "could not get S3 keys from %s for role \"%.200s\": %s: %s",
				    what, role, failure.code, failure.message);
	} else if (!s3_xml_credentials(buf_bytes(&answer), &search->found.secret, expiration, err)) {
		err->kind = ERROR_UNREACHABLE;
		done = fail_in(err, "could not get S3 keys from %s", what);
	} else {
		done = search->is_found = expiration_take(search, expiration, what, err);
	}
	if (answer.data != NULL)
		explicit_bzero(answer.data, answer.size);
	buf_release(&response.document);
	return done;
}

static bool from_web_identity(struct search *search, struct error *err)
{
	BUF(content, TOKEN_SIZE_MAX);
	const char *token;
	char role[URL_SIZE];
	char path[PATH_MAX];
	bool is_environment =
		environment("AWS_WEB_IDENTITY_TOKEN_FILE")[0] != '\0' && environment("AWS_ROLE_ARN")[0] != '\0';

	if (is_environment) {
		(void) snprintf(role, sizeof(role), "%s", environment("AWS_ROLE_ARN"));
		(void) snprintf(path, sizeof(path), "%s", environment("AWS_WEB_IDENTITY_TOKEN_FILE"));
	} else {
		TRY(s3_profile_get(&search->profile, "role_arn", role, sizeof(role), err));
		TRY(s3_profile_get(&search->profile, "web_identity_token_file", path, sizeof(path), err));
	}
	if (role[0] == '\0' || path[0] == '\0')
		return true;
	if (!line_read(path, &content, &token, err))
		return fail_in(err, "could not read the web identity token");
	bool done = web_identity_exchange(search, role, token, err);
	explicit_bzero(content.data, content.size);
	return done;
}

/* Settings of a profile that mean keys from a source that we do not speak to. */
static bool profile_check(const struct s3_profile *profile, struct error *err)
{
	static const char *const others[] = {"credential_process", "sso_session",	"sso_start_url",
					     "source_profile",	   "credential_source", "login_session"};
	char value[URL_SIZE];

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		TRY(s3_profile_get(profile, others[i], value, sizeof(value), err));
		if (value[0] != '\0')
			return fail(err, ERROR_USAGE, "the AWS profile \"%s\" uses \"%s\", which is not supported",
				    profile->name, others[i]) ||
			       fail_hint(err,
					 "Give it keys, or role_arn with web_identity_token_file, or choose another "
					 "profile with AWS_PROFILE.");
	}
	return true;
}

static bool from_profile(struct search *search, struct error *err)
{
	struct s3_secret secret S3_SECRET_CLEANUP;
	const struct s3_profile *profile = &search->profile;

	if (profile->is_chosen && !s3_profile_exists(profile))
		return fail(err, ERROR_USAGE, "there is no AWS profile \"%s\", which AWS_PROFILE asks for",
			    profile->name);
	TRY(s3_profile_get(profile, "aws_access_key_id", secret.access_key, sizeof(secret.access_key), err));
	TRY(s3_profile_get(profile, "aws_secret_access_key", secret.secret_key, sizeof(secret.secret_key), err));
	TRY(s3_profile_get(profile, "aws_session_token", secret.token, sizeof(secret.token), err));
	if (secret.access_key[0] == '\0' && secret.secret_key[0] == '\0')
		return profile_check(profile, err);
	char where[300];
	(void) snprintf(where, sizeof(where), "the AWS profile \"%.200s\"", profile->name);
	return keys_take(search, secret.access_key, secret.secret_key, secret.token, where, err);
}

/* Plain HTTP is for this host and the addresses of ECS and EKS only (SDKs and Tools Reference Guide, "Container
 * credential provider"): anybody else could read the keys on their way. */
static bool container_url_check(const char *url, struct error *err)
{
	static const char *const hosts[] = {"127.0.0.1",     "localhost",      "[::1]",
					    "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	size_t scheme = strlen("http://");

	if (strncmp(url, "https://", scheme + 1) == 0)
		return true;
	for (size_t i = 0; strncmp(url, "http://", scheme) == 0 && i < sizeof(hosts) / sizeof(*hosts); i++) {
		size_t size = strlen(hosts[i]);

		if (strncmp(url + scheme, hosts[i], size) == 0 && strchr("/:?", url[scheme + size]) != NULL)
			return true;
	}
	return fail(err, ERROR_USAGE, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https:// nor a local address");
}

static bool from_container(struct search *search, struct error *err)
{
	static const char what[] = "the container credentials service";
	const char *relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *token_file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	BUF(token_content, TOKEN_SIZE_MAX);
	BUF(answer, HTTP_DOCUMENT_SIZE_MAX);
	char url[URL_SIZE];

	if (relative[0] == '\0' && full[0] == '\0')
		return true;
	if (relative[0] == '\0')
		TRY(container_url_check(full, err));
	int length = relative[0] != '\0' ? snprintf(url, sizeof(url), "http://169.254.170.2%s", relative)
					 : snprintf(url, sizeof(url), "%s", full);
	if (length < 0 || (size_t) length >= sizeof(url) || (relative[0] != '\0' && relative[0] != '/'))
		return fail(err, ERROR_USAGE, "the address of %s cannot be used", what);
	if (token_file[0] != '\0' && !line_read(token_file, &token_content, &token, err))
		return fail_in(err, "could not read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const struct http_header headers[] = {{"authorization", token}};
	struct http_request request = {"GET", url, headers, token[0] != '\0', bytes_of(NULL, 0), true, 2000, 0, 0};
	struct http_response response = {.content = &answer};
	bool done = provider_ask(search, &request, &response, what, err) &&
		    json_take(search, buf_bytes(&answer), what, err);
	if (answer.data != NULL)
		explicit_bzero(answer.data, answer.size);
	buf_release(&response.document);
	return done;
}

struct metadata {
	struct search *search;
	char base[URL_SIZE];
	struct buf token;
};

/* One request to the metadata service; *status tells "there is no such thing" (404). */
static bool metadata_ask(const struct metadata *metadata, const char *method, const char *path,
			 const struct http_header *header, struct buf *answer, int *status, struct error *err)
{
	struct http_response response = {.content = answer};
	char url[URL_SIZE + 512];

	int length = snprintf(url, sizeof(url), "%s%s", metadata->base, path);
	if (length < 0 || (size_t) length >= sizeof(url))
		return fail(err, ERROR_UNREACHABLE, "the instance metadata service answered too long a name");
	struct http_request request = {method, url, header, 1, bytes_of(NULL, 0), true, METADATA_TIMEOUT_MS, 0, 0};
	bool done = provider_ask(metadata->search, &request, &response, "the instance metadata service", err);
	*status = response.status;
	buf_release(&response.document);
	return done;
}

static bool metadata_keys(struct metadata *metadata, struct error *err)
{
	static const char list[] = "/latest/meta-data/iam/security-credentials/";
	static const char what[] = "the instance metadata service";
	const struct http_header lifetime = {"x-aws-ec2-metadata-token-ttl-seconds", "21600"};
	const char *token, *role;
	char path[512];
	int status;
	BUF(roles, 4 * KiB);
	BUF(answer, HTTP_DOCUMENT_SIZE_MAX);

	TRY(metadata_ask(metadata, "PUT", "/latest/api/token", &lifetime, &metadata->token, &status, err));
	TRY(buf_text(&metadata->token, &token, err));
	const struct http_header header = {"x-aws-ec2-metadata-token", token};
	if (!metadata_ask(metadata, "GET", list, &header, &roles, &status, err))
		return status == 404 ? fail(err, ERROR_USAGE, "this instance has no role that would give it S3 keys")
				     : false;
	TRY(buf_text(&roles, &role, err));
	int length = snprintf(path, sizeof(path), "%s%.*s", list, (int) strcspn(role, "\r\n"), role);
	if (length < 0 || (size_t) length >= sizeof(path) || strpbrk(path, " ?#%") != NULL)
		return fail(err, ERROR_UNREACHABLE, "could not get S3 keys from %s: bad name of a role", what);
	bool done = metadata_ask(metadata, "GET", path, &header, &answer, &status, err) &&
		    json_take(metadata->search, buf_bytes(&answer), what, err);
	if (answer.data != NULL)
		explicit_bzero(answer.data, answer.size);
	return done;
}

static bool nothing_configured(struct error *err)
{
	return fail(err, ERROR_USAGE, "there are no S3 keys: neither in the environment nor in an AWS profile") ||
	       fail_hint(err, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with AWS_PROFILE.");
}

static bool from_instance(struct search *search, struct error *err)
{
	struct metadata metadata = {.search = search, .token = {.size_max = TOKEN_SIZE_MAX}};
	const char *endpoint = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	bool is_ipv6 = strcasecmp(environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6") == 0;

	if (strcasecmp(environment("AWS_EC2_METADATA_DISABLED"), "true") == 0)
		return nothing_configured(err);
	if (endpoint[0] == '\0')
		endpoint = is_ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
	size_t length = strlen(endpoint);
	while (length > 0 && endpoint[length - 1] == '/')
		length--;
	if (length >= sizeof(metadata.base))
		return fail(err, ERROR_USAGE, "AWS_EC2_METADATA_SERVICE_ENDPOINT is too long");
	memcpy(metadata.base, endpoint, length);
	/* Whoever has no keys at all ends here, and should not wait as long as for a service that is known to exist. */
	int64_t limit_ms = deadline_in(3 * METADATA_TIMEOUT_MS);
	if (limit_ms < search->deadline_ms)
		search->deadline_ms = limit_ms;
	bool done = metadata_keys(&metadata, err);
	if (metadata.token.data != NULL)
		explicit_bzero(metadata.token.data, metadata.token.size);
	buf_release(&metadata.token);
	if (!done && err->kind == ERROR_UNREACHABLE)
		(void) fail_hint(err,
				 "Without a role of the instance, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
				 "name a profile with AWS_PROFILE.");
	return done;
}

static const provider providers[] = {from_environment, from_web_identity, from_profile, from_container, from_instance};

static bool search_run(struct search *search, struct error *err)
{
	if (!s3_profile_open(&search->profile, err))
		return fail_in(err, "could not read the AWS profiles");
	for (size_t i = 0; !search->is_found && i < sizeof(providers) / sizeof(*providers); i++)
		TRY(providers[i](search, err));
	return true;
}

/* Fetches keys; old ones that still hold are better than none. Under the mutex. */
static bool credentials_refresh(struct s3_credentials *credentials, int64_t deadline_ms, struct error *err)
{
	struct search search = {.credentials = credentials, .deadline_ms = deadline_ms};
	int64_t now_us = clock_now_us();
	bool done = search_run(&search, err);

	s3_profile_close(&search.profile);
	if (done) {
		credentials->cached = search.found;
		bool lasts = search.found.expires_us == INT64_MAX;
		credentials->refresh_us = lasts ? INT64_MAX : search.found.expires_us - REFRESH_BEFORE_US;
		if (credentials->refresh_us < now_us + REFRESH_AGAIN_US) /* short-lived keys: not at every request */
			credentials->refresh_us = now_us + REFRESH_AGAIN_US;
	} else if (credentials->cached.secret.access_key[0] != '\0' && credentials->cached.expires_us > now_us) {
		log_warning("%s; the S3 keys of before are used until they expire", err->text);
		credentials->refresh_us = now_us + REFRESH_AGAIN_US;
		done = true;
	}
	s3_secret_wipe(&search.found.secret);
	return done;
}

bool s3_credentials_get(struct s3_credentials *credentials, int64_t deadline_ms, struct s3_secret *secret,
			struct error *err)
{
	bool done = true;

	(void) pthread_mutex_lock(&credentials->mutex);
	if (credentials->cached.secret.access_key[0] == '\0' || clock_now_us() >= credentials->refresh_us)
		done = credentials_refresh(credentials, deadline_ms, err);
	*secret = credentials->cached.secret;
	(void) pthread_mutex_unlock(&credentials->mutex);
	return done;
}

void s3_credentials_reject(struct s3_credentials *credentials, const struct s3_secret *secret)
{
	(void) pthread_mutex_lock(&credentials->mutex);
	if (strcmp(credentials->cached.secret.access_key, secret->access_key) == 0 &&
	    strcmp(credentials->cached.secret.token, secret->token) == 0)
		s3_secret_wipe(&credentials->cached.secret);
	(void) pthread_mutex_unlock(&credentials->mutex);
}

bool s3_credentials_open(struct http *http, const char *region, struct s3_credentials **credentials, struct error *err)
{
	struct s3_credentials *opened = calloc(1, sizeof(*opened));

	*credentials = NULL;
	if (opened == NULL || pthread_mutex_init(&opened->mutex, NULL) != 0) {
		free(opened);
		return fail(err, ERROR_SYSTEM, "could not prepare S3 keys: out of memory");
	}
	opened->http = http;
	(void) snprintf(opened->region, sizeof(opened->region), "%s", region);
	*credentials = opened;
	return true;
}

void s3_credentials_close(struct s3_credentials *credentials)
{
	if (credentials == NULL)
		return;
	s3_secret_wipe(&credentials->cached.secret);
	(void) pthread_mutex_destroy(&credentials->mutex);
	free(credentials);
}
