// SPDX-License-Identifier: Apache-2.0
// Answers of REST: messages and errors as JSON, with their headers.

#include "agent/rest_request.h"

#include <inttypes.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/transcode.h"
#include "croft/v1/operation.pb-c.h"

enum MHD_Result reply_queue(struct request *r, struct MHD_Response *response, unsigned int status,
			    const char *type)
{
	enum MHD_Result rc;

	if (!response)
		return MHD_NO;
	if (type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	/* Room for others. */
	if (r->link->spare)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	rc = MHD_queue_response(r->connection, status, response);
	MHD_destroy_response(response);
	r->state = REQUEST_DONE;
	if (rc == MHD_YES)
		service_count_rest(r->rest->service, status);
	return rc;
}

/* Where what was made is found: an operation, or an object of the collection that was posted to. */
static void add_location(struct request *r, struct MHD_Response *response,
			 const ProtobufCMessage *message)
{
	const char *name = transcode_string(message, "name");
	char location[512];

	if (!name || !name[0])
		return;
	if (message->descriptor == &croft__v1__operation__descriptor)
		snprintf(location, sizeof(location), "/v1/operations/%s", name);
	else
		snprintf(location, sizeof(location), "%s/%s", r->match.route->path, name);
	MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, location);
}

static void add_etag(struct MHD_Response *response, uint64_t revision)
{
	char etag[32];

	snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", revision);
	MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
}

/* What If-Match and If-None-Match say of an object that is read: RFC 9110, section 13. 0: nothing against it. */
static unsigned int read_precondition(const struct request *r, uint64_t revision)
{
	if (!revision || strcmp(r->match.route->method, "GET") != 0)
		return 0;
	if (r->call->if_match && r->call->if_match != revision)
		return 412;
	return param_none_match(r, revision) ? 0 : 304;
}

static enum MHD_Result reply_not_modified(struct request *r, uint64_t revision)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (response)
		add_etag(response, revision);
	return reply_queue(r, response, 304, NULL);
}

enum MHD_Result reply_message(struct request *r, const ProtobufCMessage *message,
			      unsigned int status)
{
	uint64_t revision = transcode_u64(message, "revision");
	unsigned int precondition = read_precondition(r, revision);
	struct MHD_Response *response;
	struct error error = { 0 };
	char *text;
	size_t size;

	if (precondition == 304)
		return reply_not_modified(r, revision);
	if (precondition) {
		error_raise(&error, ERROR_PRECONDITION, "revision is %" PRIu64 ", not %" PRIu64,
			    revision, r->call->if_match);
		return reply_error(r, &error, 0);
	}
	if (transcode_print(&text, &size, message, &error))
		return reply_error(r, &error, 0);
	response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	if (revision)
		add_etag(response, revision);
	if (status == 201 || status == 202)
		add_location(r, response, message);
	return reply_queue(r, response, status, "application/json");
}

enum MHD_Result reply_text(struct request *r, const ProtobufCMessage *message)
{
	const struct route *route = r->match.route;
	const char *text = transcode_string(message, "text");

	return reply_queue(r,
			   MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
							   MHD_RESPMEM_MUST_COPY),
			   route->status, route->type);
}

enum MHD_Result reply_problem(struct request *r, const ProtobufCMessage *problem,
			      unsigned int status)
{
	static char last_resort[] =
		"{\"type\":\"about:blank\",\"status\":500,\"code\":\"RESOURCE_EXHAUSTED\","
		"\"detail\":\"out of memory\",\"retryable\":true}\n";
	struct MHD_Response *response;
	struct error error = { 0 };
	char *text;
	size_t size;

	if (problem && !transcode_print(&text, &size, problem, &error)) {
		response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
		if (!response)
			free(text);
	} else {
		status = 500;
		response = MHD_create_response_from_buffer(strlen(last_resort), last_resort,
							   MHD_RESPMEM_PERSISTENT);
	}
	if (!response)
		return MHD_NO;
	if (status == 405)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, r->match.allow);
	if (status == 415 && strcmp(r->match.route->method, "PATCH") == 0)
		MHD_add_response_header(response, "Accept-Patch",
					"application/merge-patch+json, application/json");
	if (status == 426) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, "websocket");
		MHD_add_response_header(response, "Sec-WebSocket-Version", "13");
	}
	if (status == 429 || status == 503)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return reply_queue(r, response, status, "application/problem+json");
}

enum MHD_Result reply_error(struct request *r, const struct error *error, unsigned int status)
{
	Croft__V1__Problem *problem = fault_problem(error, status);
	enum MHD_Result rc =
		reply_problem(r, problem ? &problem->base : NULL, problem ? problem->status : 500);

	croft__v1__problem__free_unpacked(problem, NULL);
	return rc;
}
