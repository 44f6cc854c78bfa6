// SPDX-License-Identifier: Apache-2.0
// The console over REST as one text: one read after the other, until nothing is left.

#include "agent/rest_request.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "croft/v1/vm.pb-c.h"

static Croft__V1__ReadConsoleRequest *read_request(struct request *r)
{
	assert(r->call->request->descriptor == &croft__v1__read_console_request__descriptor);
	return (Croft__V1__ReadConsoleRequest *)(void *)r->call->request;
}

static Croft__V1__ReadConsoleResponse *read_reply(struct request *r)
{
	assert(r->call->reply->descriptor == &croft__v1__read_console_response__descriptor);
	return (Croft__V1__ReadConsoleResponse *)(void *)r->call->reply;
}

/* The same call, for what is behind its answer. Something is there, so nothing more is waited for. */
static bool read_on(struct request *r)
{
	Croft__V1__ReadConsoleRequest *request = read_request(r);

	request->offset = read_reply(r)->next_offset;
	google__protobuf__duration__free_unpacked(request->wait, NULL);
	request->wait = NULL;
	return rest_post(r);
}

static void add_offset(struct MHD_Response *response, const char *header, uint64_t offset)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, offset);
	MHD_add_response_header(response, header, text);
}

static bool collect(struct request *r, const ProtobufCBinaryData *data)
{
	char *body = realloc(r->body, r->body_size + data->len + 1);

	if (!body)
		return false;
	if (data->len)
		memcpy(body + r->body_size, data->data, data->len);
	r->body = body;
	r->body_size += data->len;
	return true;
}

enum MHD_Result console_step(struct request *r)
{
	const Croft__V1__ReadConsoleResponse *reply = read_reply(r);
	bool one = read_request(r)->max_bytes != 0;
	struct MHD_Response *response;
	struct error error = { 0 };

	if (!r->body_size)
		r->console_first = reply->offset;
	if (!collect(r, &reply->data)) {
		error_raise(&error, ERROR_RESOURCE_EXHAUSTED,
			    "out of memory for the console's text");
		return reply_error(r, &error, 0);
	}
	if (!one && reply->data.len && !reply->ended && r->body_size < REST_CONSOLE_MAX) {
		if (read_on(r))
			return MHD_YES;
		error_raise(&error, ERROR_UNAVAILABLE, "the agent is going down");
		return reply_error(r, &error, 0);
	}
	response = MHD_create_response_from_buffer(r->body_size, r->body, MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	r->body = NULL;
	add_offset(response, "Croft-Console-Offset", r->console_first);
	add_offset(response, "Croft-Console-Next-Offset", reply->next_offset);
	return reply_queue(r, response, r->match.route->status, "text/plain");
}
