// SPDX-License-Identifier: Apache-2.0
// The console over REST: all that is kept as one text, or a stream that follows until the VM ends.

#include "agent/rest_request.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "croft/v1/vm.pb-c.h"

#define FOLLOW_WAIT_SECONDS 30 /* of one read; the next one goes on behind it */

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

/* Replaces the answered call by one that reads on behind it. */
static bool read_on(struct request *r, int64_t wait_seconds)
{
	const Croft__V1__ReadConsoleRequest *last = read_request(r);
	struct call *call = request_call_new(r, r->call->method);
	Croft__V1__ReadConsoleRequest *next;

	if (!call)
		return false;
	next = (Croft__V1__ReadConsoleRequest *)(void *)call->request;
	next->name = strdup(last->name);
	next->offset = read_reply(r)->next_offset;
	next->max_bytes = last->max_bytes;
	if (wait_seconds) {
		next->wait = malloc(sizeof(*next->wait));
		if (next->wait)
			google__protobuf__duration__init(next->wait);
	}
	if (!next->name || (wait_seconds && !next->wait)) {
		call_free(call);
		return false;
	}
	if (next->wait)
		next->wait->seconds = wait_seconds;
	r->call = call_free(r->call);
	r->call = call;
	r->stream.sent = 0;
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

/* One read after the other until nothing is left, or as much as a console keeps. */
static enum MHD_Result collect_step(struct request *r)
{
	const Croft__V1__ReadConsoleResponse *reply = read_reply(r);
	bool one = read_request(r)->max_bytes != 0;
	struct MHD_Response *response;
	struct error error = { 0 };

	if (!r->body_size)
		r->stream.first = reply->offset;
	if (!collect(r, &reply->data)) {
		error_raise(&error, ERROR_RESOURCE_EXHAUSTED,
			    "out of memory for the console's text");
		return reply_error(r, &error, 0);
	}
	if (!one && reply->data.len && !reply->ended && r->body_size < REST_CONSOLE_MAX) {
		if (read_on(r, 0))
			return MHD_YES;
		error_raise(&error, ERROR_UNAVAILABLE, "the agent is going down, or out of memory");
		return reply_error(r, &error, 0);
	}
	response = MHD_create_response_from_buffer(r->body_size, r->body, MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	r->body = NULL;
	add_offset(response, "Croft-Console-Offset", r->stream.first);
	add_offset(response, "Croft-Console-Next-Offset", reply->next_offset);
	return reply_queue(r, response, 200, "text/plain");
}

/* MHD wants bytes of the stream: what is there, else a read that waits for more while the connection is suspended. */
static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct request *r = cls;
	const Croft__V1__ReadConsoleResponse *reply;
	size_t n;

	(void)pos;
	if (r->gone || r->rest->closing)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!r->call->reply)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	reply = read_reply(r);
	n = reply->data.len - r->stream.sent;
	if (n > max)
		n = max;
	if (n) {
		memcpy(buf, reply->data.data + r->stream.sent, n);
		r->stream.sent += n;
		return (ssize_t)n;
	}
	if (reply->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	return read_on(r, FOLLOW_WAIT_SECONDS) ? 0 : MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result stream_begin(struct request *r)
{
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
									  16 * 1024, stream_read, r,
									  NULL);

	if (!response)
		return MHD_NO;
	add_offset(response, "Croft-Console-Offset", read_reply(r)->offset);
	return reply_queue(r, response, 200, "text/plain");
}

enum MHD_Result console_step(struct request *r)
{
	return r->follow && !r->head ? stream_begin(r) : collect_step(r);
}
