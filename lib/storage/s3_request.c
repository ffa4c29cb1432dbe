#include "storage/s3_request.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/retry.h"
#include "storage/s3_address.h"
#include "storage/s3_credentials.h"
#include "storage/s3_profile.h"

#define EMPTY_HASH	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CONNECT_LIMIT_MS  10000
#define IDLE_LIMIT_MS	  30000
#define HEADERS_MAX	  16
#define URL_SIZE_MAX	  (8 * KiB)
#define SKEW_TOLERATED_US (INT64_C(60) * 1000000)

struct s3_client {
	struct rate rate;
	struct http *http;
	struct s3_credentials *credentials;
	struct s3_address address;
	char bucket[256];
	char region[64];
	int64_t retry_for_ms;
	int64_t deadline_ms;		 /* s3_client_end_by(); 0: none */
	_Atomic int64_t clock_offset_us; /* what the server's clock is ahead of ours, once it complained */
};

/* What to do about an answer. */
enum verdict { DECIDED, AGAIN, FINAL };

/* One request while it is being tried. */
struct attempt {
	struct s3_client *client;
	const struct s3_request *request;
	struct s3_answer *answer;
	struct http_response response;
	struct s3_secret secret;
	struct s3_failure failure;
	bool has_failure;	/* the answer was an S3 error document */
	bool has_reloaded_keys; /* each of these is tried once */
	bool has_adjusted_clock;
	int64_t wait_ms; /* what the server asks for */
};

static const char *const field_names[S3_FIELD_COUNT] = {
	[S3_FIELD_DATE] = "date",
	[S3_FIELD_RETRY_AFTER] = "retry-after",
	[S3_FIELD_REQUEST_ID] = "x-amz-request-id",
	[S3_FIELD_BUCKET_REGION] = "x-amz-bucket-region",
	[S3_FIELD_ETAG] = "etag",
	[S3_FIELD_CONTENT_RANGE] = "content-range",
	[S3_FIELD_ENCRYPTION] = "x-amz-server-side-encryption",
};

/* The first of these that says something: a setting, environment variables. */
static const char *chosen(const char *setting, const char *first, const char *second)
{
	const char *candidates[] = {setting, getenv(first), second != NULL ? getenv(second) : NULL};

	for (size_t i = 0; i < sizeof(candidates) / sizeof(*candidates); i++) {
		if (candidates[i] != NULL && candidates[i][0] != '\0')
			return candidates[i];
	}
	return "";
}

static bool client_configure(struct s3_client *client, const struct storage_settings *settings, struct error *err)
{
	const char *region = chosen(settings->s3_region, "AWS_REGION", "AWS_DEFAULT_REGION");
	const char *endpoint = chosen(settings->s3_endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
	char of_profile_region[64];
	char of_profile_endpoint[S3_HOST_SIZE];
	struct s3_profile profile;

	bool done = s3_profile_open(&profile, err) &&
		    s3_profile_get(&profile, "region", of_profile_region, sizeof(of_profile_region), err) &&
		    s3_profile_get(&profile, "endpoint_url", of_profile_endpoint, sizeof(of_profile_endpoint), err);
	s3_profile_close(&profile);
	if (!done)
		return fail_in(err, "could not read the AWS profiles");
	if (region[0] == '\0')
		region = of_profile_region[0] != '\0' ? of_profile_region : "us-east-1";
	if (endpoint[0] == '\0')
		endpoint = of_profile_endpoint;
	const char *addressing = settings->s3_addressing != NULL ? settings->s3_addressing : "";
	TRY(s3_address_parse(endpoint, region, addressing, client->bucket, &client->address, err));
	(void) snprintf(client->region, sizeof(client->region), "%s", region);
	client->retry_for_ms = settings->retry_for_ms;
	return true;
}

bool s3_client_open(const struct storage_settings *settings, const char *bucket, struct s3_client **client,
		    struct error *err)
{
	const char *ca_file = chosen(settings->s3_ca_file, "AWS_CA_BUNDLE", NULL);
	struct s3_client *opened = calloc(1, sizeof(*opened));

	*client = NULL;
	if (opened == NULL)
		return fail(err, ERROR_SYSTEM, "could not open the bucket \"%s\": out of memory", bucket);
	(void) snprintf(opened->bucket, sizeof(opened->bucket), "%s", bucket);
	rate_init(&opened->rate, settings->limit_rate);
	if (!client_configure(opened, settings, err) || !http_open(ca_file, &opened->rate, &opened->http, err) ||
	    !s3_credentials_open(opened->http, opened->region, &opened->credentials, err)) {
		s3_client_close(opened);
		return false;
	}
	*client = opened;
	return true;
}

void s3_client_close(struct s3_client *client)
{
	if (client == NULL)
		return;
	s3_credentials_close(client->credentials);
	http_close(client->http);
	rate_destroy(&client->rate);
	free(client);
}

void s3_client_end_by(struct s3_client *client, int64_t deadline_ms)
{
	client->deadline_ms = deadline_ms;
}

/* Every header that is sent, with the ones that make the signature. */
struct signed_headers {
	struct http_header headers[HEADERS_MAX];
	size_t count;
	char date[CLOCK_TEXT_SIZE];
};

static void headers_add(struct signed_headers *headers, const char *name, const char *value)
{
	headers->headers[headers->count++] = (struct http_header){name, value};
}

static bool attempt_sign(struct attempt *attempt, struct signed_headers *headers, const char *path, const char *query,
			 struct buf *authorization, struct error *err)
{
	const struct s3_request *request = attempt->request;
	const struct s3_client *client = attempt->client;
	const char *hash = request->body_hash != NULL ? request->body_hash : EMPTY_HASH;
	const char *text;

	if (request->header_count + 6 > HEADERS_MAX)
		return fail(err, ERROR_SYSTEM, "could not send a request of %zu headers", request->header_count);
	time_format_basic(clock_now_us() + atomic_load(&client->clock_offset_us), headers->date);
	for (size_t i = 0; i < request->header_count; i++)
		headers->headers[headers->count++] = request->headers[i];
	headers_add(headers, "host", client->address.host);
	headers_add(headers, "x-amz-content-sha256", hash);
	headers_add(headers, "x-amz-date", headers->date);
	if (attempt->secret.token[0] != '\0')
		headers_add(headers, "x-amz-security-token", attempt->secret.token);
	struct s3_to_sign to_sign = {.method = request->method,
				     .path = path,
				     .query = query,
				     .headers = headers->headers,
				     .header_count = headers->count,
				     .payload_hash = hash,
				     .region = client->region,
				     .date = headers->date};
	TRY(s3_sign(&to_sign, &attempt->secret, authorization, err));
	TRY(buf_text(authorization, &text, err));
	headers_add(headers, "authorization", text);
	return true;
}

static int64_t limit_ms(int64_t retry_for_ms, int64_t most_ms)
{
	int64_t third_ms = retry_for_ms / 3;

	if (third_ms < 1000)
		return 1000;
	return third_ms < most_ms ? third_ms : most_ms;
}

/* Sends the request once. False when there is no answer. */
static bool attempt_send(struct attempt *attempt, int64_t left_ms, struct error *err)
{
	const struct s3_request *request = attempt->request;
	struct s3_client *client = attempt->client;
	struct signed_headers headers = {.count = 0};
	const char *path_text, *query_text, *url_text;
	BUF(path, URL_SIZE_MAX);
	BUF(query, URL_SIZE_MAX);
	BUF(url, 2 * URL_SIZE_MAX);
	BUF(authorization, URL_SIZE_MAX);

	TRY(s3_encode(&path, client->address.path, true, err));
	TRY(buf_append_text(&path, "/", err));
	TRY(s3_encode(&path, request->key != NULL ? request->key : "", true, err));
	if (request->key == NULL && client->address.path[0] != '\0')
		path.size--; /* "/bucket", not "/bucket/" */
	TRY(buf_text(&path, &path_text, err));
	TRY(s3_query_format(&query, request->parameters, request->parameter_count, err));
	TRY(buf_text(&query, &query_text, err));
	TRY(buf_format(&url, err, "%s://%s%s%s%s", client->address.scheme, client->address.host, path_text,
		       query.size > 0 ? "?" : "", query_text));
	TRY(buf_text(&url, &url_text, err));
	TRY(attempt_sign(attempt, &headers, path_text, query_text, &authorization, err));
	struct http_request sent = {
		.method = request->method,
		.url = url_text,
		.headers = headers.headers,
		.header_count = headers.count,
		.body = request->body,
		.connect_timeout_ms = limit_ms(client->retry_for_ms, CONNECT_LIMIT_MS),
		.idle_timeout_ms = limit_ms(client->retry_for_ms, IDLE_LIMIT_MS),
		.timeout_ms = left_ms > 1000 ? left_ms : 1000,
	};
	return http_perform(client->http, &sent, &attempt->response, err);
}

/* "could not store "s3://bucket/key": the server answered 503 SlowDown: Please … (request 4F1)" */
static bool attempt_fail(const struct attempt *attempt, enum error_kind kind, struct error *err)
{
	const struct s3_failure *failure = &attempt->failure;
	const char *id = attempt->answer->fields[S3_FIELD_REQUEST_ID].value;
	const char *key = attempt->request->key;
	char request_id[160] = "";

	if (failure->request_id[0] != '\0')
		id = failure->request_id;
	if (id[0] != '\0' &&
	    id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:+/=")] == '\0')
		(void) snprintf(request_id, sizeof(request_id), " (request %.128s)", id);
	return fail(err, kind, "could not %s \"s3://%s%s%s\": the server answered %d%s%s%s%s%s",
		    attempt->request->purpose, attempt->client->bucket, key != NULL ? "/" : "", key != NULL ? key : "",
		    attempt->answer->status, failure->code[0] != '\0' ? " " : "", failure->code,
		    failure->message[0] != '\0' ? ": " : "", failure->message, request_id);
}

static bool code_is(const struct attempt *attempt, const char *code)
{
	return strcmp(attempt->failure.code, code) == 0;
}

static bool code_is_one_of(const struct attempt *attempt, const char *const *codes)
{
	for (; *codes != NULL; codes++) {
		if (code_is(attempt, *codes))
			return true;
	}
	return false;
}

static enum verdict verdict_final(const struct attempt *attempt, enum error_kind kind, struct error *err)
{
	(void) attempt_fail(attempt, kind, err);
	return FINAL;
}

/* An answer that S3 does not give: some other server, a proxy, a portal. It proves nothing about the object. */
static enum verdict verdict_strange(const struct attempt *attempt, struct error *err)
{
	(void) attempt_fail(attempt, ERROR_UNREACHABLE, err);
	(void) fail_hint(err,
			 "\"%s\" does not answer like an S3 server; check s3-endpoint, and whether a proxy answers "
			 "in its place.",
			 attempt->client->address.host);
	return FINAL;
}

/* Our clock is off by more than the 15 minutes that S3 tolerates: go by the server's, once. */
static enum verdict verdict_skewed(struct attempt *attempt, struct error *err)
{
	int64_t server_us;
	int64_t now_us = clock_now_us();

	if (attempt->has_adjusted_clock || !time_parse_http(attempt->answer->fields[S3_FIELD_DATE].value, &server_us) ||
	    llabs(server_us - now_us - atomic_load(&attempt->client->clock_offset_us)) < SKEW_TOLERATED_US) {
		(void) attempt_fail(attempt, ERROR_DENIED, err);
		(void) fail_hint(err, "Set the clock of this host.");
		return FINAL;
	}
	attempt->has_adjusted_clock = true;
	atomic_store(&attempt->client->clock_offset_us, server_us - now_us);
	log_warning("the clock of this host differs from that of \"%s\" by %lld s; requests go by the server's",
		    attempt->client->address.host, (long long) ((server_us - now_us) / 1000000));
	(void) attempt_fail(attempt, ERROR_DENIED, err);
	return AGAIN;
}

static enum verdict verdict_expired(struct attempt *attempt, struct error *err)
{
	(void) attempt_fail(attempt, ERROR_DENIED, err);
	if (attempt->has_reloaded_keys)
		return FINAL;
	attempt->has_reloaded_keys = true;
	s3_credentials_reject(attempt->client->credentials, &attempt->secret);
	return AGAIN;
}

static enum verdict verdict_region(const struct attempt *attempt, struct error *err)
{
	const char *region = attempt->answer->fields[S3_FIELD_BUCKET_REGION].value;

	if (region[0] == '\0')
		region = attempt->failure.region;
	(void) attempt_fail(attempt, ERROR_USAGE, err);
	if (region[0] != '\0' && strcmp(region, attempt->client->region) != 0)
		(void) fail_hint(err, "The server expects region \"%.100s\", not \"%s\": set s3-region.", region,
				 attempt->client->region);
	else
		(void) fail_hint(err,
				 "The bucket is in another region than \"%s\", or at another endpoint: set s3-region, "
				 "or s3-endpoint.",
				 attempt->client->region);
	return FINAL;
}

static enum verdict verdict_denied(struct attempt *attempt, struct error *err)
{
	if (code_is(attempt, "RequestTimeTooSkewed"))
		return verdict_skewed(attempt, err);
	(void) attempt_fail(attempt, ERROR_DENIED, err);
	if (code_is(attempt, "InvalidAccessKeyId") || code_is(attempt, "SignatureDoesNotMatch"))
		(void) fail_hint(err,
				 "Check the S3 keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the AWS profile.");
	else if (code_is(attempt, "InvalidObjectState"))
		(void) fail_hint(err, "The object is in an archive class; restore it there first.");
	else if (code_is(attempt, "AccessDenied") && strcmp(attempt->request->method, "GET") == 0)
		(void) fail_hint(err,
				 "Reading needs s3:GetObject and s3:ListBucket; without the latter S3 does not say "
				 "whether an object is absent or forbidden.");
	return FINAL;
}

static enum verdict verdict_absent(const struct attempt *attempt, struct error *err)
{
	if (code_is(attempt, "NoSuchBucket")) {
		(void) fail(err, ERROR_USAGE, "there is no bucket \"%s\" at \"%s\"", attempt->client->bucket,
			    attempt->client->address.host);
		(void) fail_hint(err, "Check repo, s3-endpoint and s3-region; pitr does not make buckets.");
		return FINAL;
	}
	if (code_is(attempt, "NoSuchKey") && attempt->request->key != NULL) {
		(void) fail(err, ERROR_NOT_FOUND, "there is no object \"s3://%s/%s\"", attempt->client->bucket,
			    attempt->request->key);
		return DECIDED;
	}
	return verdict_strange(attempt, err);
}

/* 4xx that say nothing special by their status. */
static enum verdict verdict_refused(struct attempt *attempt, struct error *err)
{
	static const char *const expired[] = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", NULL};
	static const char *const damaged[] = {
		"RequestTimeout", "IncompleteBody", "BadDigest", "SlowDown", "XAmzContentSHA256Mismatch", NULL};
	static const char *const elsewhere[] = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
						"PermanentRedirect", "TemporaryRedirect", NULL};

	if (code_is_one_of(attempt, expired))
		return verdict_expired(attempt, err);
	if (code_is_one_of(attempt, elsewhere))
		return verdict_region(attempt, err);
	if (code_is_one_of(attempt, damaged)) {
		(void) attempt_fail(attempt, ERROR_UNREACHABLE, err);
		return AGAIN;
	}
	if (attempt->answer->status == 401 || attempt->answer->status == 403 || attempt->answer->status == 407)
		return verdict_denied(attempt, err);
	return attempt->has_failure ? verdict_final(attempt, ERROR_USAGE, err) : verdict_strange(attempt, err);
}

static bool status_is_passing(int status)
{
	return status == 408 || status == 409 || status == 425 || status == 429 || status == 499 ||
	       (status >= 500 && status != 501 && status != 505);
}

static enum verdict attempt_judge(struct attempt *attempt, struct error *err)
{
	int status = attempt->answer->status;

	if (status >= 200 && status <= 299 && !attempt->has_failure)
		return DECIDED;
	if (status == 404)
		return verdict_absent(attempt, err);
	if (status == 412 || status == 416)
		return DECIDED;
	/* 200 with an error document is what S3 sends when it found out too late. */
	if (status_is_passing(status) || (status >= 200 && status <= 299)) {
		(void) attempt_fail(attempt, ERROR_UNREACHABLE, err);
		return AGAIN;
	}
	if (status == 501) {
		(void) attempt_fail(attempt, ERROR_USAGE, err);
		(void) fail_hint(err,
				 "A server that has no conditional writes (If-None-Match) needs s3-create-only = off; "
				 "the documentation says what then no longer holds.");
		return FINAL;
	}
	return verdict_refused(attempt, err);
}

/* Seconds, or a date (RFC 9110, 10.2.3). */
static int64_t retry_after_ms(const struct s3_answer *answer)
{
	const char *text = answer->fields[S3_FIELD_RETRY_AFTER].value;
	int64_t then_us, now_us;
	char *end;

	if (text[0] >= '0' && text[0] <= '9' && strlen(text) < 8) {
		unsigned long long seconds = strtoull(text, &end, 10);

		return *end == '\0' ? 1000 * (int64_t) seconds : 0;
	}
	if (time_parse_http(text, &then_us) && time_parse_http(answer->fields[S3_FIELD_DATE].value, &now_us) &&
	    then_us > now_us)
		return (then_us - now_us) / 1000;
	return 0;
}

/* Reads the response into the answer and the failure. */
static void attempt_read(struct attempt *attempt)
{
	struct http_response *response = &attempt->response;
	struct s3_answer *answer = attempt->answer;
	/* An object that looks like an error document is an object. */
	bool is_object = response->status >= 200 && response->status <= 299 && response->content != NULL;

	answer->status = response->status;
	answer->has_length = response->has_length;
	answer->length = response->length;
	attempt->failure = (struct s3_failure){.code = ""};
	attempt->has_failure = !is_object && s3_xml_failure(buf_bytes(&response->document), &attempt->failure);
	attempt->wait_ms = retry_after_ms(answer);
}

static enum verdict attempt_run(struct attempt *attempt, int64_t deadline_ms, struct error *err)
{
	if (!s3_credentials_get(attempt->client->credentials, deadline_ms, &attempt->secret, err))
		return FINAL; /* has tried as long as that made sense */
	attempt->wait_ms = 0;
	attempt->answer->status = 0;
	if (!attempt_send(attempt, deadline_left_ms(deadline_ms), err)) {
		(void) fail_in(err, "could not %s \"s3://%s%s%s\"", attempt->request->purpose, attempt->client->bucket,
			       attempt->request->key != NULL ? "/" : "",
			       attempt->request->key != NULL ? attempt->request->key : "");
		return attempt->response.is_final || err->kind != ERROR_UNREACHABLE ? FINAL : AGAIN;
	}
	attempt_read(attempt);
	return attempt_judge(attempt, err);
}

static struct retry retry_of_client(const struct s3_client *client)
{
	struct retry retry = retry_begin(client->retry_for_ms);

	if (client->deadline_ms != 0 && client->deadline_ms < retry.deadline_ms)
		retry.deadline_ms = client->deadline_ms;
	return retry;
}

static bool attempt_repeat(struct attempt *attempt, struct error *err)
{
	struct retry retry = retry_of_client(attempt->client);
	size_t content_start = attempt->request->content != NULL ? attempt->request->content->size : 0;

	for (;;) {
		enum verdict verdict = attempt_run(attempt, retry.deadline_ms, err);

		retry.deadline_ms += attempt->response.waited_ms;
		attempt->answer->is_unsure |= attempt->response.was_resent;
		if (verdict != AGAIN)
			return verdict == DECIDED;
		attempt->answer->is_unsure |= attempt->response.was_sent;
		if (attempt->request->content != NULL)
			attempt->request->content->size = content_start;
		log_debug("attempt %d: %s", retry.attempts, err->text);
		if (!retry_wait(&retry, attempt->wait_ms)) {
			if (retry.attempts > 1)
				(void) fail_hint(err,
						 "It was tried %d times; retry-for says for how long that is done.",
						 retry.attempts);
			return false;
		}
	}
}

bool s3_request_perform(struct s3_client *client, const struct s3_request *request, struct s3_answer *answer,
			struct error *err)
{
	struct attempt attempt = {
		.client = client,
		.request = request,
		.answer = answer,
		.response = {.content = request->content, .fields = answer->fields, .field_count = S3_FIELD_COUNT},
	};

	*answer = (struct s3_answer){.status = 0};
	/* Each page of a listing comes by here, too. */
	if (client->deadline_ms != 0 && deadline_left_ms(client->deadline_ms) <= 0)
		return fail(err, ERROR_UNREACHABLE, "could not %s \"s3://%s\": the time for it is over",
			    request->purpose, client->bucket);
	for (size_t i = 0; i < S3_FIELD_COUNT; i++)
		answer->fields[i].name = field_names[i];
	bool done = attempt_repeat(&attempt, err);
	s3_secret_wipe(&attempt.secret);
	buf_release(&attempt.response.document);
	return done;
}
