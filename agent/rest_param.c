// SPDX-License-Identifier: Apache-2.0
// What request line and headers of a REST request say: checked, and put into its call.

#include <ctype.h>
#include <string.h>

#include "agent/rest_request.h"
#include "agent/transcode.h"
#include "agent/transcode_text.h"

const char *request_header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool param_query(const struct request *r, const char *key, const char **value)
{
	return MHD_lookup_connection_value_n(r->connection, MHD_GET_ARGUMENT_KIND, key, strlen(key),
					     value, NULL) == MHD_YES;
}

int request_fail(struct request *r, unsigned int status, enum error_code code, const char *text)
{
	r->status = status;
	return error_raise(&r->error, code, "%s", text);
}

/* --- Headers --- */

/* Those of which one must not be chosen among several. */
static const char *const single_headers[] = {
	MHD_HTTP_HEADER_CONTENT_LENGTH,
	MHD_HTTP_HEADER_CONTENT_TYPE,
	MHD_HTTP_HEADER_HOST,
	MHD_HTTP_HEADER_IF_MATCH,
	MHD_HTTP_HEADER_IF_NONE_MATCH,
	"Idempotency-Key",
	"Last-Event-ID",
	"Sec-WebSocket-Key",
	"Sec-WebSocket-Version",
};

static int check_sizes(struct request *r)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	if (info && info->header_size > REST_HEADERS_MAX) {
		r->status = 431;
		return error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED,
				   "request line and headers have %zu bytes, at most %d",
				   info->header_size, REST_HEADERS_MAX);
	}
	if (length && strtoull(length, NULL, 10) > REST_BODY_MAX)
		return request_fail(r, 413, ERROR_RESOURCE_EXHAUSTED,
				    "the body is larger than 1048576 bytes");
	return 0;
}

struct single_check {
	struct request *r;
	unsigned int seen; /* a bit for each of single_headers */
};

static enum MHD_Result check_single(void *cls, enum MHD_ValueKind kind, const char *key,
				    const char *value)
{
	struct single_check *check = cls;

	(void)kind;
	(void)value;
	for (size_t i = 0; i < ARRAY_SIZE(single_headers); i++) {
		if (strcasecmp(key, single_headers[i]) != 0)
			continue;
		if (check->seen & 1u << i) {
			error_raise_field(&check->r->error, single_headers[i],
					  "the header is there more than once");
			return MHD_NO;
		}
		check->seen |= 1u << i;
	}
	return MHD_YES;
}

int param_check_headers(struct request *r)
{
	struct single_check check = { .r = r };
	int rc = check_sizes(r);

	if (rc)
		return rc;
	/* A page of any web site can send requests to this machine's loopback through its visitor's browser. */
	if (request_header(r, MHD_HTTP_HEADER_ORIGIN))
		return request_fail(r, 0, ERROR_PERMISSION_DENIED,
				    "requests of web pages (with an Origin) are refused");
	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, check_single, &check);
	if (r->error.code)
		return -EINVAL;
	if (request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH) &&
	    request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING))
		return error_raise_field(&r->error, MHD_HTTP_HEADER_CONTENT_LENGTH,
					 "is there beside Transfer-Encoding");
	return r->match.route->kind == ROUTE_SOCKET ? socket_check_headers(r) : 0;
}

/* A revision in quotes, as our ETags are; 0 for any other tag, which no object has. */
static uint64_t parse_tag(const char *text, size_t n)
{
	unsigned long long revision;
	char *end;

	if (n < 3 || text[0] != '"' || text[1] < '1' || text[1] > '9')
		return 0;
	errno = 0;
	revision = strtoull(text + 1, &end, 10);
	return errno || end != text + n - 1 || *end != '"' ? 0 : revision;
}

static int take_if_match(struct request *r)
{
	const char *text = request_header(r, MHD_HTTP_HEADER_IF_MATCH);

	r->call->must_exist = text && strcmp(text, "*") == 0;
	if (!text || r->call->must_exist)
		return 0;
	r->call->if_match = parse_tag(text, strlen(text));
	if (!r->call->if_match)
		return request_fail(r, 0, ERROR_PRECONDITION,
				    "If-Match: no object has this tag; one looks like \"7\"");
	return 0;
}

static int take_if_none_match(struct request *r)
{
	if (!request_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH) ||
	    strcmp(r->match.route->method, "GET") == 0)
		return 0;
	return error_raise_field(&r->error, MHD_HTTP_HEADER_IF_NONE_MATCH,
				 "is for GET and HEAD only; a change takes If-Match");
}

bool param_none_match(const struct request *r, uint64_t revision)
{
	const char *p = request_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH);

	while (p && *p) {
		size_t n;

		p += strspn(p, " \t,");
		n = strcspn(p, " \t,");
		if (n == 1 && *p == '*')
			return false;
		/* Compared weakly, as RFC 9110 says for this header. */
		if (n > 2 && p[0] == 'W' && p[1] == '/') {
			p += 2;
			n -= 2;
		}
		if (n && parse_tag(p, n) == revision)
			return false;
		p += n;
	}
	return true;
}

static int take_idempotency_key(struct request *r)
{
	const char *key = request_header(r, "Idempotency-Key");
	size_t n = key ? strlen(key) : 0;

	if (!key)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (key[i] < 0x20 || key[i] > 0x7e)
			n = 0;
	if (!n || n > IDEMPOTENCY_KEY_MAX)
		return error_raise_field(&r->error, "Idempotency-Key",
					 "must be 1 to %d characters of printable ASCII",
					 IDEMPOTENCY_KEY_MAX);
	memcpy(r->call->idempotency_key, key, n + 1);
	return 0;
}

static const ProtobufCFieldDescriptor *request_field(const struct request *r, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(r->method->request, name);
}

/* A client that comes back knows better than the URL that it began with. */
static int take_last_event_id(struct request *r)
{
	const char *last = request_header(r, "Last-Event-ID");

	if (!r->stream || !last || !last[0] || !request_field(r, "after"))
		return 0;
	if (transcode_set(r->call->request, "after", last, &r->error))
		return error_raise_field(&r->error, "Last-Event-ID", "not a number of an event");
	return 0;
}

void param_name_field(const struct request *r, struct error *error)
{
	const char *list = r->match.route ? r->match.route->query : NULL;

	while (list && *list && error->field[0]) {
		size_t len = strcspn(list, " "), key = strcspn(list, " =");

		if (key < len && strlen(error->field + 1) == len - key - 1 &&
		    strncmp(error->field + 1, list + key + 1, len - key - 1) == 0)
			snprintf(error->field, sizeof(error->field), "/%.*s", (int)key, list);
		list += len + strspn(list + len, " ");
	}
}

/* --- Which method --- */

static bool wants_events(const struct request *r)
{
	const char *accept = request_header(r, MHD_HTTP_HEADER_ACCEPT);

	return accept && strcasestr(accept, "text/event-stream");
}

static bool wants_to_follow(const struct request *r)
{
	const char *value = NULL;

	return param_query(r, "follow", &value) && (!value || strcmp(value, "true") == 0);
}

void param_choose_method(struct request *r)
{
	const struct route *route = r->match.route;
	size_t row = (size_t)(route - rest_routes);
	bool watch = route->watch && !r->head &&
		     (route->kind == ROUTE_READ ? wants_to_follow(r) : wants_events(r));

	r->method = watch ? r->rest->watches[row] : r->rest->methods[row];
	r->stream = (r->method->flags & METHOD_STREAM) != 0;
	r->patient = strcmp(route->method, "GET") == 0 && param_query(r, "wait", NULL);
}

/* --- The query and the path --- */

struct counter {
	const char *key;
	size_t count;
};

static enum MHD_Result count_one(void *cls, enum MHD_ValueKind kind, const char *key,
				 const char *value)
{
	struct counter *counter = cls;

	(void)kind;
	(void)value;
	counter->count += strcmp(key, counter->key) == 0;
	return MHD_YES;
}

/* How often the query has that parameter. */
static size_t count(struct request *r, const char *key)
{
	struct counter counter = { .key = key };

	MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, count_one, &counter);
	return counter.count;
}

static int parse_wait(struct request *r, const char *value)
{
	Google__Protobuf__Duration wait;

	if (!value || !text_parse_duration(&wait, value) || wait.seconds < 0 || wait.nanos < 0 ||
	    wait.seconds > REST_WAIT_MAX_SECONDS ||
	    (wait.seconds == REST_WAIT_MAX_SECONDS && wait.nanos))
		return error_raise_field(&r->error, "/wait",
					 "must be a duration from 0s to %ds, such as \"30s\"",
					 REST_WAIT_MAX_SECONDS);
	r->wait = value;
	return 0;
}

/* `follow` has chosen the method already. */
static int take_own_parameter(struct request *r, const char *key, const char *value)
{
	if (strcmp(key, "wait") == 0)
		return parse_wait(r, value);
	/* Nothing at all is true, as in "?verbose". */
	if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
		char pointer[ERROR_FIELD_MAX];

		snprintf(pointer, sizeof(pointer), "/%s", key);
		return error_raise_field(&r->error, pointer, "must be true or false");
	}
	if (strcmp(key, "verbose") == 0)
		r->verbose = !value || value[0] == 't';
	return 0;
}

static int take_field(struct request *r, const char *pointer, const char *name, const char *value)
{
	const ProtobufCFieldDescriptor *field = request_field(r, name);

	if (!field)
		return error_raise_field(&r->error, pointer,
					 r->stream ? "a stream goes on without it"
						   : "is a parameter of a stream only");
	if (!value)
		value = field->type == PROTOBUF_C_TYPE_BOOL ? "true" : "";
	return transcode_set(r->call->request, name, value, &r->error);
}

/* One parameter of the query; stops the walk at the first wrong one. */
static enum MHD_Result take_parameter(void *cls, enum MHD_ValueKind kind, const char *key,
				      const char *value)
{
	struct request *r = cls;
	const struct route *route = r->match.route;
	char name[64], pointer[ERROR_FIELD_MAX];
	const char *target;
	size_t n;

	(void)kind;
	snprintf(pointer, sizeof(pointer), "/%s", key);
	if (count(r, key) > 1) {
		error_raise_field(&r->error, pointer, "the parameter is there more than once");
		return MHD_NO;
	}
	if (route_list_has(route->own, key, &target, &n))
		return take_own_parameter(r, key, value) ? MHD_NO : MHD_YES;
	if (!route_list_has(route->query, key, &target, &n) || n >= sizeof(name)) {
		error_raise_field(&r->error, pointer, "unknown query parameter");
		return MHD_NO;
	}
	memcpy(name, target, n);
	name[n] = '\0';
	return take_field(r, pointer, name, value) ? MHD_NO : MHD_YES;
}

/* The path's parameter, where it is a field of the request, and what the path decides. */
static int take_path(struct request *r)
{
	const struct route *route = r->match.route;
	const char *brace = strchr(route->path, '{');
	char name[64];
	int rc = 0;

	if (brace) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(brace + 1, "}"), brace + 1);
		if (request_field(r, name))
			rc = transcode_set(r->call->request, name, r->match.name, &r->error);
	}
	if (!rc && route->fixed) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(route->fixed, "="), route->fixed);
		rc = transcode_set(r->call->request, name, strchr(route->fixed, '=') + 1,
				   &r->error);
	}
	return rc;
}

int param_take(struct request *r)
{
	int rc = take_if_match(r);

	if (!rc)
		rc = take_if_none_match(r);
	if (!rc)
		rc = take_idempotency_key(r);
	if (rc)
		return rc;
	MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, take_parameter, r);
	if (r->error.code)
		return -EINVAL;
	rc = take_last_event_id(r);
	return rc ? rc : take_path(r);
}
