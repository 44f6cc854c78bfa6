// SPDX-License-Identifier: Apache-2.0
// A request of REST from its first line to its answer.

#include "agent/rest_request.h"

#include <string.h>

#include "agent/message.h"
#include "agent/transcode.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"

static bool has_query(void *request, const char *key)
{
	return param_query(request, key, NULL);
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

static int check_form(struct request *r, const char *refused)
{
	if (!refused)
		return 0;
	if (refused[0])
		return request_fail(r, 0, ERROR_INVALID_ARGUMENT, refused);
	r->status = 414;
	return error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED, "the URI is longer than %d bytes",
			   REST_URI_MAX);
}

static int check_connection(struct request *r)
{
	if (!r->link->spare)
		return 0;
	return error_raise(&r->error, ERROR_UNAVAILABLE,
			   "more than %d connections to this listener", REST_CONNECTIONS_MAX);
}

/* The form that a proxy gets: "http://host/path". The path is what counts. */
static const char *path_of(const char *url)
{
	const char *p = strstr(url, "://");

	if (url[0] == '/' || !p)
		return url;
	p = strchr(p + 3, '/');
	return p ? p : "/";
}

static int count_stream(struct request *r)
{
	struct listener *listener = r->link->listener;

	if (!r->stream)
		return 0;
	r->counted = true;
	if (atomic_fetch_add(&listener->streams, 1) < REST_STREAMS_MAX)
		return 0;
	return error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED,
			   "more than %d streams on this listener", REST_STREAMS_MAX);
}

struct request *request_begin(struct link *link, struct MHD_Connection *connection,
			      const char *method, const char *url, const char *refused)
{
	struct request *r = calloc(1, sizeof(*r));
	struct rest *rest = link->listener->rest;

	if (!r)
		return NULL;
	r->rest = rest;
	r->link = link;
	r->connection = connection;
	r->head = strcmp(method, "HEAD") == 0;
	url = path_of(url);
	route_find(&r->match, method, url, has_query, r);
	if (!check_connection(r) && !check_form(r, refused) && !check_route(r, method, url) &&
	    !param_check_headers(r)) {
		param_choose_method(r);
		count_stream(r);
	}
	pthread_mutex_lock(&rest->lock);
	rest->active++;
	pthread_mutex_unlock(&rest->lock);
	return r;
}

bool request_reads_body(const struct request *r)
{
	const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return !request_header(r, MHD_HTTP_HEADER_EXPECT) &&
	       (!length || strtoull(length, NULL, 10) <= REST_DISCARD_MAX);
}

void request_release(struct request *r)
{
	struct rest *rest = r->rest;

	if (r->counted)
		atomic_fetch_sub(&r->link->listener->streams, 1);
	r->counted = false;
	pthread_mutex_lock(&rest->lock);
	rest->active--;
	pthread_cond_broadcast(&rest->changed);
	pthread_mutex_unlock(&rest->lock);
}

void request_drop_call(struct request *r)
{
	struct call *call = TAKE_PTR(r->call);

	/* A stream that could go on holds something. */
	if (call && call->more)
		service_abandon(r->rest->service, call);
	else
		call_free(call);
}

void request_free(struct request *r)
{
	/* libmicrohttpd ends an upgraded connection with its own lock held, so ours must not be taken. */
	if (!r->upgraded) {
		request_drop_call(r);
		request_release(r);
	}
	free(r->body);
	free(r);
}

enum MHD_Result request_data(struct request *r, const char *data, size_t *size)
{
	size_t n = *size, room;
	char *body;

	*size = 0;
	r->body_seen += n;
	if (!r->error.code && r->body_seen > REST_BODY_MAX)
		request_fail(r, 413, ERROR_RESOURCE_EXHAUSTED,
			     "the body is larger than 1048576 bytes");
	if (r->error.code)
		return r->body_seen > REST_DISCARD_MAX ? MHD_NO : MHD_YES;
	if (r->body_size + n > r->body_room) {
		room = (r->body_size + n) * 2;
		body = realloc(r->body, room);
		if (!body) {
			request_fail(r, 0, ERROR_RESOURCE_EXHAUSTED, "out of memory for the body");
			return MHD_YES;
		}
		r->body = body;
		r->body_room = room;
	}
	memcpy(r->body + r->body_size, data, n);
	r->body_size += n;
	return MHD_YES;
}

/* --- The call and its answer --- */

struct call *request_call_new(struct request *r, const struct method *method)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call)
		call->request = message_new(method->request);
	if (!call || !call->request) {
		call_free(call);
		error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
		return NULL;
	}
	call->method = method;
	call->who = *link_who(r->link, r->connection);
	return call;
}

static enum MHD_Result post(struct request *r, enum request_state state)
{
	r->state = state;
	if (rest_post(r))
		return MHD_YES;
	request_fail(r, 0, ERROR_UNAVAILABLE, "the agent is going down");
	return reply_error(r, &r->error, 0);
}

static enum MHD_Result begin_call(struct request *r)
{
	if (!r->error.code) {
		r->call = request_call_new(r, r->method);
		if (r->call && !body_take(r))
			param_take(r);
	}
	if (r->error.code) {
		param_name_field(r, &r->error);
		return reply_error(r, &r->error, r->status);
	}
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
	/* A dry run has begun none that could be waited for. */
	if (!r->wait || !op->name || !op->name[0])
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

static enum MHD_Result reply_answer(struct request *r)
{
	const struct route *route = r->match.route;
	ProtobufCMessage *reply = r->call->reply;

	switch (route->kind) {
	case ROUTE_TEXT:
		return reply_text(r, reply);
	case ROUTE_READ:
		return console_step(r);
	case ROUTE_HEALTH:
		return reply_health(r, (Croft__V1__Health *)(void *)reply);
	default:
		if (reply->descriptor == &croft__v1__operation__descriptor && route->status == 202)
			return reply_operation(r, (const Croft__V1__Operation *)(void *)reply);
		return reply_message(r, reply, route->status);
	}
}

static enum MHD_Result end_call(struct request *r)
{
	struct call *call = r->call;

	if (call->error.code) {
		/* Who waits is sent away when the agent goes down. */
		if (call->error.code == ERROR_CANCELLED && r->rest->closing)
			call->error.code = ERROR_UNAVAILABLE;
		param_name_field(r, &call->error);
		return reply_error(r, &call->error, 0);
	}
	if (r->match.route->kind == ROUTE_SOCKET)
		return socket_upgrade(r);
	return r->stream ? stream_begin(r) : reply_answer(r);
}

enum MHD_Result request_step(struct request *r)
{
	return r->state == REQUEST_BODY ? begin_call(r) : end_call(r);
}
