// SPDX-License-Identifier: Apache-2.0
// The REST client of croftctl, on libcurl.

#include "agent/ctl/http.h"

#include <string.h>

#include <curl/curl.h>

#define REPLY_MAX (64 * 1024 * 1024) /* bytes of an answer that is kept in memory */

struct http {
	CURL *curl;
	char *socket;
	char error[CURL_ERROR_SIZE];
	/* Of the request that runs. */
	FILE *to; /* NULL: keep it */
	char *reply;
	size_t size;
};

int http_new(struct http **out, const char *socket, struct error *err)
{
	struct http *http = calloc(1, sizeof(*http));

	if (http) {
		curl_global_init(CURL_GLOBAL_DEFAULT);
		http->curl = curl_easy_init();
		http->socket = strdup(socket);
	}
	if (!http || !http->curl || !http->socket) {
		http_free(http);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	*out = http;
	return 0;
}

struct http *http_free(struct http *http)
{
	if (!http)
		return NULL;
	curl_easy_cleanup(http->curl);
	curl_global_cleanup();
	free(http->socket);
	free(http->reply);
	free(http);
	return NULL;
}

char *http_escape(struct http *http, const char *text)
{
	char *escaped = curl_easy_escape(http->curl, text, 0);
	char *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

static size_t on_data(char *data, size_t one, size_t n, void *cls)
{
	struct http *http = cls;
	long status = 0;
	char *grown;

	(void)one;
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (http->to && status < 400) {
		size_t done = fwrite(data, 1, n, http->to);

		return fflush(http->to) ? 0 : done;
	}
	if (http->size + n > REPLY_MAX)
		return 0;
	grown = realloc(http->reply, http->size + n + 1);
	if (!grown)
		return 0;
	memcpy(grown + http->size, data, n);
	http->reply = grown;
	http->size += n;
	return n;
}

static int raise_transport(struct http *http, CURLcode rc, struct error *err)
{
	if (rc == CURLE_COULDNT_CONNECT)
		return error_raise(
			err, ERROR_UNAVAILABLE,
			"cannot reach the agent at %s: %s; is croftd running, and may you use its socket?",
			http->socket, http->error[0] ? http->error : curl_easy_strerror(rc));
	return error_raise(err, ERROR_UNAVAILABLE, "the agent at %s: %s", http->socket,
			   http->error[0] ? http->error : curl_easy_strerror(rc));
}

/* The detail of application/problem+json. */
static int raise_problem(struct http *http, long status, struct error *err)
{
	json_t *problem = http->size ? json_loadb(http->reply, http->size, 0, NULL) : NULL;
	const char *detail = NULL, *code = NULL;
	int rc;

	json_unpack(problem, "{s?s, s?s}", "detail", &detail, "code", &code);
	if (detail)
		rc = error_raise(err, ERROR_INTERNAL, "%s (%ld %s)", detail, status,
				 code ? code : "");
	else
		rc = error_raise(err, ERROR_INTERNAL, "the agent answered %ld", status);
	json_decref(problem);
	return rc;
}

/* Runs the request that is set up in http->curl. */
static int perform(struct http *http, const struct http_request *request, long *status,
		   struct error *err)
{
	char url[2048];
	CURLcode rc;

	*status = 0;
	if ((size_t)snprintf(url, sizeof(url), "http://croft%s", request->path) >= sizeof(url))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "the name is too long");
	free(TAKE_PTR(http->reply));
	http->size = 0;
	http->error[0] = '\0';
	curl_easy_setopt(http->curl, CURLOPT_UNIX_SOCKET_PATH, http->socket);
	curl_easy_setopt(http->curl, CURLOPT_URL, url);
	curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, request->method);
	curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(http->curl, CURLOPT_NOPROXY, "*");
	rc = curl_easy_perform(http->curl);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, status);
	if (rc != CURLE_OK) {
		*status = 0;
		return raise_transport(http, rc, err);
	}
	return *status >= 400 && *status > request->accept ? raise_problem(http, *status, err) : 0;
}

int http_json(struct http *http, const struct http_request *request, json_t **out, long *status,
	      struct error *err)
{
	_cleanup_free_ char *body = request->body ? json_dumps(request->body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = NULL;
	char match[48];
	int rc;

	curl_easy_reset(http->curl);
	if (body) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, body);
	}
	if (request->revision) {
		snprintf(match, sizeof(match), "If-Match: \"%" JSON_INTEGER_FORMAT "\"",
			 request->revision);
		headers = curl_slist_append(headers, match);
	}
	curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
	rc = perform(http, request, status, err);
	curl_slist_free_all(headers);
	if (rc)
		return rc;
	*out = http->size ? json_loadb(http->reply, http->size, 0, NULL) : NULL;
	return 0;
}

int http_stream(struct http *http, const char *path, FILE *to, struct error *err)
{
	struct http_request request = { .method = "GET", .path = path };
	long status;
	int rc;

	curl_easy_reset(http->curl);
	http->to = to;
	rc = perform(http, &request, &status, err);
	http->to = NULL;
	return rc;
}

int http_send(struct http *http, const char *path, const char *data, size_t size, struct error *err)
{
	struct http_request request = { .method = "POST", .path = path };
	struct curl_slist *headers =
		curl_slist_append(NULL, "Content-Type: application/octet-stream");
	long status;
	int rc;

	curl_easy_reset(http->curl);
	curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, (long)size);
	curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, data);
	rc = perform(http, &request, &status, err);
	curl_slist_free_all(headers);
	return rc;
}
