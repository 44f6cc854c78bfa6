// SPDX-License-Identifier: Apache-2.0
// Streams over REST: any method that answers more than once, as server-sent events or as the bytes of its answers.
//
// Events are those of the HTML standard, section 9.2. The next answer is asked for when libmicrohttpd has taken the last, so a
// client that does not read costs a connection and nothing else.

#include "agent/rest_request.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/message.h"
#include "agent/transcode.h"
#include "croft/v1/vm.pb-c.h"

#define BLOCK_SIZE 16384 /* bytes that libmicrohttpd asks for at a time */

/* --- Text of one answer --- */

/* One line of JSON, which ends in a newline. */
static bool print_data(FILE *to, const ProtobufCMessage *message)
{
	struct error error;
	size_t size;
	char *json;

	if (transcode_print(&json, &size, message, &error) < 0)
		return false;
	fprintf(to, "data: %s\n", json);
	free(json);
	return true;
}

static bool print_event(FILE *to, const struct call *call)
{
	const char *type = transcode_string(call->reply, "type");

	/* Where a client can go on behind an event, that is the event's identity. */
	if (protobuf_c_message_descriptor_get_field_by_name(call->method->request, "after"))
		fprintf(to, "id: %" PRIu64 "\n", call->cursor);
	if (type && type[0])
		fprintf(to, "event: %s\n", type);
	return print_data(to, call->reply);
}

/* The last event of a stream that has failed: what the status would have been, had it not begun. */
static bool print_problem(FILE *to, const struct error *error)
{
	Croft__V1__Problem *problem = fault_problem(error, 0);
	bool ok = problem != NULL;

	if (ok) {
		fputs("event: problem\n", to);
		ok = print_data(to, &problem->base);
	}
	message_free(problem);
	return ok;
}

static bool print_answer(FILE *to, const struct call *call)
{
	if (call->error.code)
		return print_problem(to, &call->error);
	if (call->reply)
		return print_event(to, call);
	/* Also at the beginning, so that the client sees that it is heard. */
	if (call->more)
		fputs(": heartbeat\n\n", to);
	return true;
}

static bool render_events(struct request *r)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	bool ok = to && print_answer(to, r->call);

	if (to && fclose(to) != 0)
		ok = false;
	if (!ok) {
		free(text);
		return false;
	}
	free(r->body);
	r->body = text;
	r->body_size = size;
	return true;
}

/* The console's bytes; the reply keeps its other fields. */
static bool render_bytes(struct request *r)
{
	Croft__V1__ReadConsoleResponse *reply = (void *)r->call->reply;

	free(r->body);
	r->body = NULL;
	r->body_size = 0;
	if (r->call->error.code)
		return false;
	if (!reply)
		return true;
	assert(reply->base.descriptor == &croft__v1__read_console_response__descriptor);
	r->body = (char *)TAKE_PTR(reply->data.data);
	r->body_size = reply->data.len;
	reply->data.len = 0;
	return true;
}

/* --- libmicrohttpd wants bytes --- */

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct request *r = cls;
	size_t n;

	(void)pos;
	if (r->gone || r->rest->closing)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!r->rendered) {
		bool ok = r->match.route->kind == ROUTE_READ ? render_bytes(r) : render_events(r);

		if (!ok)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		r->rendered = true;
		r->body_sent = 0;
	}
	n = r->body_size - r->body_sent;
	if (n > max)
		n = max;
	if (n) {
		memcpy(buf, r->body + r->body_sent, n);
		r->body_sent += n;
		return (ssize_t)n;
	}
	if (!r->call->more)
		return MHD_CONTENT_READER_END_OF_STREAM;
	r->rendered = false;
	/* The connection is suspended until the answer is there. */
	return rest_post(r) ? 0 : MHD_CONTENT_READER_END_OF_STREAM;
}

enum MHD_Result stream_begin(struct request *r)
{
	bool bytes = r->match.route->kind == ROUTE_READ;
	const Croft__V1__ReadConsoleResponse *reply = (const void *)r->call->reply;
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
									  BLOCK_SIZE, stream_read,
									  r, NULL);
	char offset[24];

	if (response && bytes && reply) {
		snprintf(offset, sizeof(offset), "%" PRIu64, reply->offset);
		MHD_add_response_header(response, "Croft-Console-Offset", offset);
	}
	return reply_queue(r, response, 200, bytes ? "text/plain" : "text/event-stream");
}
