#include "storage/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"

#define IDLE_HANDLES_MAX      64 /* as many as there may be workers */
#define IDLE_BYTES_PER_SECOND 100

struct http {
	char *ca_file;
	struct rate *rate;
	_Atomic bool wants_bundle; /* the directory of the system's certificates does not do */
	CURLSH *share;
	pthread_mutex_t share_mutexes[CURL_LOCK_DATA_LAST];
	pthread_mutex_t mutex;
	CURL *idle[IDLE_HANDLES_MAX]; /* under mutex; each keeps its connections open */
	size_t idle_count;
};

/* One request under way, as the callbacks of libcurl see it. */
struct transfer {
	const struct http_request *request;
	struct http_response *response;
	CURL *curl;
	struct rate *rate;
	size_t sent;
	size_t content_start;
	int64_t deadline_ms;
	int64_t idle_deadline_ms; /* put off whenever enough has moved since idle_moved */
	int64_t idle_moved;
	bool overflowed;
	bool timed_out;
	bool uses_directory; /* of the system's certificates, and not their bundle */
	char reason[CURL_ERROR_SIZE];
	struct error content_error;
};

static pthread_once_t http_once = PTHREAD_ONCE_INIT;
static CURLcode http_global;

static void http_init_once(void)
{
	http_global = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void share_lock(CURL *curl, curl_lock_data data, curl_lock_access access, void *context)
{
	struct http *http = context;

	(void) curl;
	(void) access;
	(void) pthread_mutex_lock(&http->share_mutexes[data]);
}

static void share_unlock(CURL *curl, curl_lock_data data, void *context)
{
	struct http *http = context;

	(void) curl;
	(void) pthread_mutex_unlock(&http->share_mutexes[data]);
}

static bool http_share_init(struct http *http)
{
	http->share = curl_share_init();
	return http->share != NULL && curl_share_setopt(http->share, CURLSHOPT_LOCKFUNC, share_lock) == CURLSHE_OK &&
	       curl_share_setopt(http->share, CURLSHOPT_UNLOCKFUNC, share_unlock) == CURLSHE_OK &&
	       curl_share_setopt(http->share, CURLSHOPT_USERDATA, http) == CURLSHE_OK &&
	       curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK &&
	       curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

/* The system's certificates are a file of all of them, which takes 20 ms to read for every connection, and, where
 * libcurl was built for it, a directory in which OpenSSL finds the one it needs. The file is read only when the
 * directory does not hold that one: it may lack the links that "openssl rehash" makes. */
static const char *certificates_bundle(void)
{
	const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

	return version->age >= CURLVERSION_EIGHTH && version->capath != NULL ? version->cainfo : NULL;
}

bool http_open(const char *ca_file, struct rate *rate, struct http **http, struct error *err)
{
	struct http *opened = calloc(1, sizeof(*opened));

	*http = NULL;
	if (opened == NULL)
		return fail(err, ERROR_SYSTEM, "could not prepare for HTTP: out of memory");
	opened->rate = rate;
	(void) pthread_once(&http_once, http_init_once);
	(void) pthread_mutex_init(&opened->mutex, NULL);
	for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
		(void) pthread_mutex_init(&opened->share_mutexes[i], NULL);
	if (ca_file != NULL && ca_file[0] != '\0')
		opened->ca_file = strdup(ca_file);
	else
		atomic_init(&opened->wants_bundle, certificates_bundle() == NULL);
	if (http_global != CURLE_OK || !http_share_init(opened) ||
	    (ca_file != NULL && ca_file[0] != '\0' && opened->ca_file == NULL)) {
		http_close(opened);
		return fail(err, ERROR_SYSTEM, "could not prepare for HTTP: libcurl refused");
	}
	*http = opened;
	return true;
}

void http_close(struct http *http)
{
	if (http == NULL)
		return;
	for (size_t i = 0; i < http->idle_count; i++)
		curl_easy_cleanup(http->idle[i]);
	if (http->share != NULL)
		(void) curl_share_cleanup(http->share);
	for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
		(void) pthread_mutex_destroy(&http->share_mutexes[i]);
	(void) pthread_mutex_destroy(&http->mutex);
	free(http->ca_file);
	free(http);
}

static CURL *http_take(struct http *http)
{
	CURL *curl = NULL;

	(void) pthread_mutex_lock(&http->mutex);
	if (http->idle_count > 0)
		curl = http->idle[--http->idle_count];
	(void) pthread_mutex_unlock(&http->mutex);
	if (curl != NULL)
		return curl;
	curl = curl_easy_init();
	if (curl != NULL && curl_easy_setopt(curl, CURLOPT_SHARE, http->share) != CURLE_OK) {
		curl_easy_cleanup(curl);
		curl = NULL;
	}
	return curl;
}

/* After a failure nothing is kept: the next attempt shall use a connection that nobody has doubts about. */
static void http_give_back(struct http *http, CURL *curl, bool is_sound)
{
	if (!is_sound) {
		curl_easy_cleanup(curl);
		return;
	}
	curl_easy_reset(curl); /* keeps the connections and the share, forgets what belongs to this request */
	(void) pthread_mutex_lock(&http->mutex);
	if (http->idle_count < IDLE_HANDLES_MAX) {
		http->idle[http->idle_count++] = curl;
		curl = NULL;
	}
	(void) pthread_mutex_unlock(&http->mutex);
	if (curl != NULL)
		curl_easy_cleanup(curl);
}

/* Our own waiting is nobody's fault. */
static void transfer_wait(struct transfer *transfer, size_t size)
{
	int64_t waited_ms = rate_wait_ms(transfer->rate, size);

	transfer->deadline_ms += waited_ms;
	transfer->idle_deadline_ms += waited_ms;
	transfer->response->waited_ms += waited_ms;
}

static size_t on_send(char *output, size_t size, size_t count, void *context)
{
	struct transfer *transfer = context;
	struct bytes body = transfer->request->body;
	size_t part = body.size - transfer->sent;

	if (part > size * count)
		part = size * count;
	if (part > rate_piece_size(transfer->rate))
		part = rate_piece_size(transfer->rate);
	transfer_wait(transfer, part);
	if (part > 0)
		memcpy(output, body.data + transfer->sent, part);
	transfer->sent += part;
	return part;
}

static int on_rewind(void *context, curl_off_t offset, int origin)
{
	struct transfer *transfer = context;

	if (origin != SEEK_SET || offset < 0 || (size_t) offset > transfer->request->body.size)
		return CURL_SEEKFUNC_FAIL;
	transfer->sent = (size_t) offset;
	return CURL_SEEKFUNC_OK;
}

/* Before it connects, so that it is what TCP agrees upon. */
static int on_socket(void *context, curl_socket_t socket, curlsocktype purpose)
{
	int size = (int) rate_buffer_size(context) / 2; /* the kernel doubles it: socket(7) */

	(void) purpose;
	if (size > 0)
		(void) setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return CURL_SOCKOPT_OK;
}

/* A connection stands and the request is about to go out: once for every time libcurl sends it. */
static int on_connected(void *context, char *remote, char *local, int remote_port, int local_port)
{
	struct transfer *transfer = context;

	(void) remote;
	(void) local;
	(void) remote_port;
	(void) local_port;
	transfer->response->was_resent = transfer->response->was_sent;
	transfer->response->was_sent = true;
	transfer->idle_deadline_ms = deadline_in(transfer->request->idle_timeout_ms);
	transfer->idle_moved = 0;
	return CURL_PREREQFUNC_OK;
}

static void field_keep(struct http_field *field, const char *line, size_t size)
{
	size_t name_size = strlen(field->name);

	if (size <= name_size || line[name_size] != ':' || strncasecmp(line, field->name, name_size) != 0)
		return;
	line += name_size + 1;
	size -= name_size + 1;
	while (size > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		size--;
	}
	while (size > 0 && strchr(" \t\r\n", line[size - 1]) != NULL)
		size--;
	field->value[0] = '\0';
	if (size >= sizeof(field->value) || memchr(line, '\0', size) != NULL)
		return;
	memcpy(field->value, line, size);
	field->value[size] = '\0';
}

static int64_t transfer_length(const struct transfer *transfer)
{
	curl_off_t length = -1;

	if (curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) != CURLE_OK)
		return -1;
	return (int64_t) length;
}

static bool transfer_has_content(const struct transfer *transfer)
{
	long status = 0;

	(void) curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	return transfer->response->content != NULL && status >= 200 && status <= 299;
}

/* The whole is asked for at once, so that one too large is refused before it is fetched. */
static bool transfer_make_room(struct transfer *transfer)
{
	int64_t length = transfer_length(transfer);

	struct buf *content = transfer->response->content;

	if (length <= 0 || !transfer_has_content(transfer))
		return true;
	if ((uint64_t) length > content->size_max - content->size)
		(void) fail(&transfer->content_error, ERROR_CORRUPT, "%lld bytes, where at most %zu are expected",
			    (long long) length, content->size_max - content->size);
	else if (buf_allocate(content, content->size + (size_t) length, &transfer->content_error))
		return true;
	transfer->overflowed = true;
	return false;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	struct transfer *transfer = context;
	struct http_response *response = transfer->response;
	bool is_status = size * count >= 5 && memcmp(line, "HTTP/", 5) == 0;

	for (size_t i = 0; i < response->field_count; i++) {
		if (is_status) /* also behind "100 Continue" */
			response->fields[i].value[0] = '\0';
		else
			field_keep(&response->fields[i], line, size * count);
	}
	/* The empty line is the end of the headers. */
	if (size * count == 2 && line[0] == '\r' && !transfer_make_room(transfer))
		return 0;
	return size * count;
}

static size_t on_receive(char *data, size_t size, size_t count, void *context)
{
	struct transfer *transfer = context;
	struct http_response *response = transfer->response;
	struct bytes part = bytes_of(data, size * count);

	transfer_wait(transfer, part.size); /* libcurl hands out 16 kB at a time */
	if (transfer_has_content(transfer)) {
		if (buf_append(response->content, part, &transfer->content_error))
			return part.size;
		transfer->overflowed = true;
		return part.size + 1;
	}
	size_t room = HTTP_DOCUMENT_SIZE_MAX - response->document.size;
	struct bytes kept = bytes_slice(part, 0, part.size < room ? part.size : room);
	if (!buf_append(&response->document, kept, &transfer->content_error)) {
		transfer->overflowed = true;
		return part.size + 1;
	}
	return part.size;
}

/* libcurl's own check (CURLOPT_LOW_SPEED_LIMIT) would count what we wait for the limit of the rate. */
static bool transfer_is_idle(struct transfer *transfer, int64_t moved)
{
	int64_t idle_ms = transfer->request->idle_timeout_ms;

	if (!transfer->response->was_sent) /* connecting has a limit of its own */
		return false;
	if (moved < transfer->idle_moved || moved - transfer->idle_moved >= IDLE_BYTES_PER_SECOND * idle_ms / 1000) {
		transfer->idle_moved = moved;
		transfer->idle_deadline_ms = deadline_in(idle_ms);
	}
	return deadline_left_ms(transfer->idle_deadline_ms) <= 0;
}

static int on_progress(void *context, curl_off_t to_receive, curl_off_t received, curl_off_t to_send, curl_off_t sent)
{
	struct transfer *transfer = context;
	int64_t moving = (received < to_receive ? received : to_receive) + (sent < to_send ? sent : to_send);

	/* Bytes that have moved earn time: a transfer faster than HTTP_BYTES_PER_MS never ends by this limit. */
	if (deadline_left_ms(transfer->deadline_ms) + moving / HTTP_BYTES_PER_MS > 0 &&
	    !transfer_is_idle(transfer, received + sent))
		return 0;
	transfer->timed_out = true;
	return 1;
}

/* Sets one option; `done` stays false once one has failed. */
#define SET(option, value) done = done && curl_easy_setopt(curl, (option), (value)) == CURLE_OK

static bool transfer_set_certificates(struct transfer *transfer, const struct http *http)
{
	CURL *curl = transfer->curl;
	bool done = true;

	transfer->uses_directory = http->ca_file == NULL && !atomic_load(&http->wants_bundle);
	if (http->ca_file != NULL) {
		SET(CURLOPT_CAINFO, http->ca_file);
		SET(CURLOPT_CAPATH, (char *) NULL);
	} else if (transfer->uses_directory) {
		SET(CURLOPT_CAINFO, (char *) NULL);
	}
	return done;
}

static bool transfer_set_limits(struct transfer *transfer)
{
	const struct http_request *request = transfer->request;
	CURL *curl = transfer->curl;
	bool done = true;

	SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* getaddrinfo() has no deadline, and from 7.87 on libcurl need not join the thread in which it hangs. A library
	 * older than its headers refuses, and takes as long as the resolver does. */
	(void) curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (request->connect_timeout_ms > 0 ? request->connect_timeout_ms : 1));
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, transfer);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (request->is_direct)
		SET(CURLOPT_NOPROXY, "*");
	return done;
}

static bool transfer_set_request(struct transfer *transfer, struct curl_slist *headers)
{
	const struct http_request *request = transfer->request;
	CURL *curl = transfer->curl;
	bool done = true;

	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "pitr/" PITR_VERSION);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_ERRORBUFFER, transfer->reason);
	SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(CURLOPT_SOCKOPTDATA, transfer->rate);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, transfer);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_receive);
	SET(CURLOPT_WRITEDATA, transfer);
	if (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t) request->body.size);
		SET(CURLOPT_READFUNCTION, on_send);
		SET(CURLOPT_READDATA, transfer);
		SET(CURLOPT_SEEKFUNCTION, on_rewind);
		SET(CURLOPT_SEEKDATA, transfer);
		SET(CURLOPT_UPLOAD_BUFFERSIZE, (long) (256 * KiB));
	}
	SET(CURLOPT_BUFFERSIZE, (long) (256 * KiB));
	if (strcmp(request->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	return done;
}

static bool headers_add(struct curl_slist **headers, const char *name, const char *value)
{
	char line[16 * KiB];
	/* libcurl drops a header without a value unless it ends in ";" */
	int length = value[0] == '\0' ? snprintf(line, sizeof(line), "%s;", name)
				      : snprintf(line, sizeof(line), "%s: %s", name, value);

	if (length < 0 || (size_t) length >= sizeof(line) || strpbrk(line, "\r\n") != NULL)
		return false;
	struct curl_slist *longer = curl_slist_append(*headers, line);
	explicit_bzero(line, (size_t) length);
	if (longer == NULL)
		return false;
	*headers = longer;
	return true;
}

static bool headers_build(const struct http_request *request, struct curl_slist **headers, struct error *err)
{
	bool done = true;

	*headers = curl_slist_append(NULL, "Expect:"); /* no 100-continue: it costs a round trip and a second's wait */
	for (size_t i = 0; done && *headers != NULL && i < request->header_count; i++)
		done = headers_add(headers, request->headers[i].name, request->headers[i].value);
	if (!done || *headers == NULL)
		return fail(err, ERROR_USAGE, "could not send a request: a header is too long or contains a line end");
	return true;
}

static void headers_free(struct curl_slist *headers)
{
	for (struct curl_slist *header = headers; header != NULL; header = header->next)
		explicit_bzero(header->data, strlen(header->data)); /* it may be a session token */
	curl_slist_free_all(headers);
}

/* Says why there is no answer. */
static bool transfer_failed(const struct transfer *transfer, const struct http *http, CURLcode result,
			    struct error *err)
{
	struct http_response *response = transfer->response;
	const char *why = transfer->reason[0] != '\0' ? transfer->reason : curl_easy_strerror(result);
	int host_size = (int) strcspn(transfer->request->url + strcspn(transfer->request->url, ":") + 3, "/?");
	const char *host = transfer->request->url + strcspn(transfer->request->url, ":") + 3;

	response->is_final = true;
	if (transfer->overflowed)
		return fail(err, transfer->content_error.kind, "the answer of \"%.*s\" is too large: %.300s", host_size,
			    host, transfer->content_error.text);
	switch (result) {
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		return fail(err, ERROR_SYSTEM, "could not send a request: %s", why);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return fail(err, ERROR_USAGE, "the address \"%.*s\" cannot be used: %s", host_size, host, why);
	case CURLE_SSL_CACERT_BADFILE:
		return fail(err, ERROR_USAGE, "could not read the certificates in \"%.300s\": %s",
			    http->ca_file != NULL ? http->ca_file : "the system's file", why);
	case CURLE_PEER_FAILED_VERIFICATION:
		return fail(err, ERROR_UNREACHABLE, "the certificate of \"%.*s\" is not trusted: %s", host_size, host,
			    why) ||
		       fail_hint(err, "Where the server's certificate is signed by an authority of your own, name that "
				      "authority's file with s3-ca-file.");
	default:
		response->is_final = false;
		if (transfer->timed_out)
			why = "it takes too long";
		return fail(err, ERROR_UNREACHABLE, "no answer from \"%.*s\": %s", host_size, host, why);
	}
}

static CURLcode transfer_perform(struct transfer *transfer, struct http *http)
{
	CURLcode result = curl_easy_perform(transfer->curl);

	if (!transfer->uses_directory ||
	    (result != CURLE_PEER_FAILED_VERIFICATION && result != CURLE_SSL_CACERT_BADFILE) ||
	    curl_easy_setopt(transfer->curl, CURLOPT_CAINFO, certificates_bundle()) != CURLE_OK)
		return result;
	atomic_store(&http->wants_bundle, true);
	return curl_easy_perform(transfer->curl);
}

static bool transfer_run(struct transfer *transfer, struct http *http, struct error *err)
{
	struct http_response *response = transfer->response;
	struct curl_slist *headers = NULL;
	long status = 0;

	if (!headers_build(transfer->request, &headers, err) ||
	    (!(transfer_set_limits(transfer) && transfer_set_certificates(transfer, http) &&
	       transfer_set_request(transfer, headers)) &&
	     !fail(err, ERROR_SYSTEM, "could not send a request: libcurl refused an option"))) {
		response->is_final = true;
		headers_free(headers);
		return false;
	}
	CURLcode result = transfer_perform(transfer, http);
	(void) curl_easy_setopt(transfer->curl, CURLOPT_HTTPHEADER, NULL);
	headers_free(headers);
	(void) curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	response->status = (int) status;
	if (result != CURLE_OK) {
		if (response->content != NULL)
			response->content->size = transfer->content_start;
		return transfer_failed(transfer, http, result, err);
	}
	int64_t length = transfer_length(transfer);
	response->has_length = length >= 0;
	response->length = length >= 0 ? (uint64_t) length : 0;
	return true;
}

bool http_perform(struct http *http, const struct http_request *request, struct http_response *response,
		  struct error *err)
{
	struct transfer transfer = {
		.request = request,
		.response = response,
		.curl = http_take(http),
		.rate = http->rate,
		.content_start = response->content != NULL ? response->content->size : 0,
		.deadline_ms = deadline_in(request->timeout_ms),
	};

	buf_clear(&response->document);
	response->document.size_max = HTTP_DOCUMENT_SIZE_MAX;
	response->status = 0;
	response->was_sent = response->was_resent = response->is_final = response->has_length = false;
	response->length = 0;
	response->waited_ms = 0;
	for (size_t i = 0; i < response->field_count; i++)
		response->fields[i].value[0] = '\0';
	if (transfer.curl == NULL)
		return fail(err, ERROR_SYSTEM, "could not send a request: out of memory");
	bool done = transfer_run(&transfer, http, err);
	http_give_back(http, transfer.curl, done);
	return done;
}
