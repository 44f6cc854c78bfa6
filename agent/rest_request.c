// SPDX-License-Identifier: Apache-2.0
// A request of REST from its first line to its answer.

#include "agent/rest_request.h"

#include <string.h>
#include <strings.h>

#include "agent/auth.h"
#include "agent/fault.h"
#include "agent/message.h"
#include "agent/transcode.h"
#include "agent/transcode_text.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"

static const char *header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static int fail(struct request *r, unsigned int status, enum error_code code, const char *text)
{
	r->status = status;
	return error_raise(&r->error, code, "%s", text);
}

static bool has_query(void *connection, const char *key)
{
	return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, key, strlen(key),
					     NULL, NULL) == MHD_YES;
}

/* --- Begin: what the request line and the headers decide --- */

static int check_route(struct request *r, const char *method, const char *url)
{
	if (r->match.route)
		return 0;
	if (!r->match.allow[0]) {
		r->status = 404;
		return error_raise(&r->error, ERROR_NOT_FOUND, "no such path: %.200s", url);
	}
	r->status = 405;
	return error_raise(&r->error, ERROR_UNSUPPORTED,
			   "%.16s is not a method of %.200s; it has %s", method, url,
			   r->match.allow);
}

static int check_headers(struct request *r)
{
	const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	/* A page of any web site can send requests to this machine's loopback through its visitor's browser. */
	if (header(r, MHD_HTTP_HEADER_ORIGIN))
		return fail(r, 0, ERROR_PERMISSION_DENIED,
			    "requests of web pages (with an Origin) are refused");
	if (length && strtoull(length, NULL, 10) > REST_BODY_MAX)
		return fail(r, 413, ERROR_RESOURCE_EXHAUSTED,
			    "the body is larger than 1048576 bytes");
	return 0;
}

void *request_begin(struct rest *rest, struct MHD_Connection *connection, const char *method,
		    const char *url)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->rest = rest;
	r->connection = connection;
	r->head = strcmp(method, "HEAD") == 0;
	route_find(&r->match, method, url, has_query, connection);
	if (!check_route(r, method, url))
		check_headers(r);
	pthread_mutex_lock(&rest->lock);
	rest->active++;
	pthread_mutex_unlock(&rest->lock);
	return r;
}

bool request_reads_body(const struct request *r)
{
	const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return !header(r, MHD_HTTP_HEADER_EXPECT) &&
	       (!length || strtoull(length, NULL, 10) <= REST_DISCARD_MAX);
}

void request_free(struct request *r)
{
	struct rest *rest = r->rest;

	call_free(r->call);
	free(r->body);
	free(r);
	pthread_mutex_lock(&rest->lock);
	rest->active--;
	pthread_cond_broadcast(&rest->changed);
	pthread_mutex_unlock(&rest->lock);
}

enum MHD_Result request_data(struct request *r, const char *data, size_t *size)
{
	size_t n = *size, room;
	char *body;

	*size = 0;
	r->body_seen += n;
	if (!r->error.code && r->body_seen > REST_BODY_MAX)
		fail(r, 413, ERROR_RESOURCE_EXHAUSTED, "the body is larger than 1048576 bytes");
	if (r->error.code)
		return r->body_seen > REST_DISCARD_MAX ? MHD_NO : MHD_YES;
	if (r->body_size + n > r->body_room) {
		room = (r->body_size + n) * 2;
		body = realloc(r->body, room);
		if (!body) {
			fail(r, 0, ERROR_RESOURCE_EXHAUSTED, "out of memory for the body");
			return MHD_YES;
		}
		r->body = body;
		r->body_room = room;
	}
	memcpy(r->body + r->body_size, data, n);
	r->body_size += n;
	return MHD_YES;
}

/* --- Parameters --- */

/* true, false, and nothing at all, which is true as in "?follow". */
static int parse_flag(struct request *r, const char *value, bool *out)
{
	if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return error_raise(&r->error, ERROR_INVALID_ARGUMENT, "must be true or false");
	*out = !value || value[0] == 't';
	return 0;
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

static int take_own_parameter(struct request *r, const char *key, const char *value)
{
	int rc;

	if (strcmp(key, "wait") == 0)
		return parse_wait(r, value);
	rc = parse_flag(r, value, strcmp(key, "follow") == 0 ? &r->follow : &r->verbose);
	if (rc)
		snprintf(r->error.field, sizeof(r->error.field), "/%s", key);
	return rc;
}

/* One parameter of the query; stops the walk at the first wrong one. */
static enum MHD_Result take_parameter(void *cls, enum MHD_ValueKind kind, const char *key,
				      const char *value)
{
	struct request *r = cls;
	const struct route *route = r->match.route;
	char field[64], pointer[ERROR_FIELD_MAX];
	const char *target;
	size_t n;

	(void)kind;
	snprintf(pointer, sizeof(pointer), "/%s", key);
	if (route_list_has(route->own, key, &target, &n))
		return take_own_parameter(r, key, value) ? MHD_NO : MHD_YES;
	if (!route_list_has(route->query, key, &target, &n) || n >= sizeof(field)) {
		error_raise_field(&r->error, pointer, "unknown query parameter");
		return MHD_NO;
	}
	memcpy(field, target, n);
	field[n] = '\0';
	return transcode_set(r->call->request, field, value ? value : "", &r->error) ? MHD_NO
										     : MHD_YES;
}

static int take_parameters(struct request *r)
{
	const struct route *route = r->match.route;
	const char *brace = strchr(route->path, '{');
	char field[64];
	int rc = 0;

	MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, take_parameter, r);
	if (r->error.code)
		return -EINVAL;
	if (brace) {
		snprintf(field, sizeof(field), "%.*s", (int)strcspn(brace + 1, "}"), brace + 1);
		rc = transcode_set(r->call->request, field, r->match.name, &r->error);
	}
	if (!rc && route->fixed) {
		snprintf(field, sizeof(field), "%.*s", (int)strcspn(route->fixed, "="),
			 route->fixed);
		rc = transcode_set(r->call->request, field, strchr(route->fixed, '=') + 1,
				   &r->error);
	}
	return rc;
}

/* A revision in quotes, as our ETags are; any other tag is one that no object has. */
static int take_if_match(struct request *r)
{
	const char *text = header(r, MHD_HTTP_HEADER_IF_MATCH);
	unsigned long long revision;
	char *end;

	if (!text || strcmp(text, "*") == 0)
		return 0;
	errno = 0;
	revision = text[0] == '"' && text[1] >= '1' && text[1] <= '9' ? strtoull(text + 1, &end, 10)
								      : 0;
	if (!revision || errno || strcmp(end, "\"") != 0)
		return fail(r, 0, ERROR_PRECONDITION,
			    "If-Match: no object has this tag; one looks like \"7\"");
	r->call->if_match = revision;
	return 0;
}

/* --- Body --- */

static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t n = sizeof(json) - 1;

	return type && strncasecmp(type, json, n) == 0 &&
	       (!type[n] || type[n] == ';' || type[n] == ' ');
}

/* The name is in the path; a body that has another one is a mistake. */
static int merge_request(struct request *r, ProtobufCMessage *body)
{
	const char *name = transcode_string(body, "name");

	if (name && name[0] && strcmp(name, r->match.name) != 0) {
		message_free(body);
		return error_raise_field(&r->error, "/name", "is not the name in the path");
	}
	message_free(r->call->request);
	r->call->request = body;
	return 0;
}

static int take_body(struct request *r)
{
	const struct route *route = r->match.route;
	const ProtobufCMessageDescriptor *type = r->call->method->request;
	const ProtobufCFieldDescriptor *field;
	ProtobufCMessage *message;
	int rc;

	if (route->kind == ROUTE_WRITE)
		return transcode_set_bytes(r->call->request, route->body, r->body, r->body_size,
					   &r->error);
	if (!r->body_size && (!route->body || strcmp(route->body, "*") == 0))
		return 0;
	if (!route->body)
		return fail(r, 0, ERROR_INVALID_ARGUMENT, "this request has no body");
	if (!r->body_size)
		return fail(r, 0, ERROR_INVALID_ARGUMENT,
			    "the body is missing; it is an object in JSON");
	if (!is_json(header(r, MHD_HTTP_HEADER_CONTENT_TYPE)))
		return fail(r, 415, ERROR_UNSUPPORTED,
			    "the body must be JSON, with Content-Type: application/json");
	if (strcmp(route->body, "*") != 0) {
		field = protobuf_c_message_descriptor_get_field_by_name(type, route->body);
		type = field->descriptor;
	}
	rc = transcode_parse(&message, type, r->body, r->body_size, &r->error);
	if (rc)
		return rc;
	if (strcmp(route->body, "*") == 0)
		return merge_request(r, message);
	transcode_attach(r->call->request, route->body, message);
	return 0;
}

/* --- The call and its answer --- */

struct call *request_call_new(struct request *r, const struct method *method)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct call *call = calloc(1, sizeof(*call));

	if (call)
		call->request = message_new(method->request);
	if (!call || !call->request) {
		call_free(call);
		error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
		return NULL;
	}
	call->method = method;
	static_assert(sizeof(call->actor) == AUTH_ACTOR_MAX, "an actor's name fits");
	auth_actor_of_socket(call->actor, info ? info->connect_fd : -1);
	return call;
}

static enum MHD_Result post(struct request *r, enum request_state state)
{
	r->state = state;
	if (rest_post(r))
		return MHD_YES;
	fail(r, 0, ERROR_UNAVAILABLE, "the agent is going down");
	return reply_error(r, &r->error, 0);
}

static enum MHD_Result begin_call(struct request *r)
{
	if (!r->error.code) {
		r->call = request_call_new(r, request_method(r));
		/* The path's name overrides what a body says, so it comes last. */
		if (r->call && !take_body(r) && !take_if_match(r) && !take_parameters(r) &&
		    r->match.route->kind == ROUTE_EVENTS)
			events_begin(r);
	}
	if (r->error.code)
		return reply_error(r, &r->error, r->status);
	return post(r, REQUEST_CALL);
}

static bool operation_ended(const Croft__V1__Operation *op)
{
	return op->state != CROFT__V1__OPERATION__STATE__PENDING &&
	       op->state != CROFT__V1__OPERATION__STATE__RUNNING;
}

/* Behind a slow verb with ?wait: WaitOperation of its operation. */
static enum MHD_Result begin_wait(struct request *r, const char *name)
{
	const struct method *method = service_method_find("croft.v1.Operations/WaitOperation");
	struct call *call = request_call_new(r, method);

	if (!call || transcode_set(call->request, "name", name, &r->error) ||
	    transcode_set(call->request, "timeout", r->wait, &r->error)) {
		call_free(call);
		return reply_error(r, &r->error, 0);
	}
	call_free(r->call);
	r->call = call;
	return post(r, REQUEST_WAIT);
}

static enum MHD_Result reply_operation(struct request *r, const Croft__V1__Operation *op)
{
	if (!r->wait)
		return reply_message(r, &op->base, r->match.route->status);
	if (!operation_ended(op)) {
		if (r->state == REQUEST_CALL)
			return begin_wait(r, op->name);
		return reply_message(r, &op->base, r->match.route->status);
	}
	if (op->state != CROFT__V1__OPERATION__STATE__SUCCEEDED && op->error)
		return reply_problem(r, &op->error->base,
				     op->error->status >= 400 ? op->error->status : 500);
	return reply_message(r, &op->base, 200);
}

static enum MHD_Result reply_health(struct request *r, Croft__V1__Health *health)
{
	size_t keep = 0;

	for (size_t i = 0; i < health->n_checks && !r->verbose; i++) {
		if (health->checks[i]->ok)
			message_free(health->checks[i]);
		else
			health->checks[keep++] = health->checks[i];
	}
	if (!r->verbose)
		health->n_checks = keep;
	return reply_message(r, &health->base, health->ok ? 200 : 503);
}

static enum MHD_Result end_call(struct request *r)
{
	const struct route *route = r->match.route;
	struct call *call = r->call;

	if (!call->reply) {
		/* Who waits is sent away when the agent goes down. */
		if (call->error.code == ERROR_CANCELLED && r->rest->closing)
			call->error.code = ERROR_UNAVAILABLE;
		return reply_error(r, &call->error, 0);
	}
	if (route->kind == ROUTE_TEXT)
		return reply_text(r, call->reply);
	if (route->kind == ROUTE_READ)
		return console_step(r);
	if (route->kind == ROUTE_EVENTS)
		return events_step(r);
	if (route->kind == ROUTE_HEALTH)
		return reply_health(r, (Croft__V1__Health *)(void *)call->reply);
	if (route->status == 202)
		return reply_operation(r, (const Croft__V1__Operation *)(const void *)call->reply);
	return reply_message(r, call->reply, route->status);
}

enum MHD_Result request_step(struct request *r)
{
	return r->state == REQUEST_BODY ? begin_call(r) : end_call(r);
}
