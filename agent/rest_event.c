// SPDX-License-Identifier: Apache-2.0
// Events over REST as a stream: server-sent events of the HTML standard, section 9.2, that go on until the client goes.

#include "agent/rest_request.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/message.h"
#include "agent/transcode.h"
#include "croft/v1/event.pb-c.h"

#define HEARTBEAT_SECONDS 15 /* a comment line when nothing else is sent */

static const char stream_type[] = "text/event-stream";

static Croft__V1__ReadEventsRequest *read_request(struct request *r)
{
	assert(r->call->request->descriptor == &croft__v1__read_events_request__descriptor);
	return (Croft__V1__ReadEventsRequest *)(void *)r->call->request;
}

static Croft__V1__ReadEventsResponse *read_reply(struct request *r)
{
	assert(r->call->reply->descriptor == &croft__v1__read_events_response__descriptor);
	return (Croft__V1__ReadEventsResponse *)(void *)r->call->reply;
}

int events_begin(struct request *r)
{
	const char *accept =
		MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	const char *last =
		MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Last-Event-ID");

	r->follow = !r->head && accept && strcasestr(accept, stream_type);
	if (!r->follow)
		return 0;
	if (read_request(r)->max_events || read_request(r)->wait)
		return error_raise_field(&r->error, read_request(r)->wait ? "/wait" : "/max_events",
					 "a stream goes on without it");
	if (!last || !last[0])
		return 0;
	/* A client that comes back knows better than the URL that it began with. */
	if (transcode_set(&read_request(r)->base, "after", last, &r->error) < 0)
		return error_raise(&r->error, ERROR_INVALID_ARGUMENT,
				   "Last-Event-ID: not a number of an event");
	return 0;
}

/* Replaces the answered call by one that waits for what is behind it. */
static bool read_on(struct request *r)
{
	struct call *call = request_call_new(r, r->call->method);
	Croft__V1__ReadEventsRequest *next;

	if (!call)
		return false;
	next = (Croft__V1__ReadEventsRequest *)(void *)call->request;
	next->after = read_reply(r)->next;
	next->wait = message_new(&google__protobuf__duration__descriptor);
	if (!next->wait) {
		call_free(call);
		return false;
	}
	next->wait->seconds = HEARTBEAT_SECONDS;
	r->call = call_free(r->call);
	r->call = call;
	r->stream.rendered = false;
	return rest_post(r);
}

static bool print_event(FILE *to, const Croft__V1__Event *event)
{
	struct error error;
	size_t size;
	char *json;

	if (transcode_print(&json, &size, &event->base, &error) < 0)
		return false;
	/* The JSON is one line that ends in a newline, and a type has none in it. */
	fprintf(to, "id: %" PRIu64 "\nevent: %s\ndata: %s\n", event->number, event->type, json);
	free(json);
	return true;
}

/* The reply as the text of the stream, in r->body. */
static bool render(struct request *r)
{
	const Croft__V1__ReadEventsResponse *reply = read_reply(r);
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	bool ok = to != NULL;

	for (size_t i = 0; ok && i < reply->n_events; i++)
		ok = print_event(to, reply->events[i]);
	/* At the beginning, too: the client sees that it is heard. */
	if (ok && !reply->n_events)
		fputs(": heartbeat\n\n", to);
	if (to && fclose(to) != 0)
		ok = false;
	if (!ok) {
		free(text);
		return false;
	}
	free(r->body);
	r->body = text;
	r->body_size = size;
	r->stream.sent = 0;
	r->stream.rendered = true;
	return true;
}

/* MHD wants bytes of the stream: what is there, else a read that waits for more while the connection is suspended. */
static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct request *r = cls;
	size_t n;

	(void)pos;
	if (r->gone || r->rest->closing)
		return MHD_CONTENT_READER_END_OF_STREAM;
	/* A client that was too slow for the ring comes back with Last-Event-ID and is told so. */
	if (!r->call->reply || (!r->stream.rendered && !render(r)))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = r->body_size - r->stream.sent;
	if (n > max)
		n = max;
	if (n) {
		memcpy(buf, r->body + r->stream.sent, n);
		r->stream.sent += n;
		return (ssize_t)n;
	}
	return read_on(r) ? 0 : MHD_CONTENT_READER_END_OF_STREAM;
}

enum MHD_Result events_step(struct request *r)
{
	struct MHD_Response *response;

	if (!r->follow)
		return reply_message(r, r->call->reply, r->match.route->status);
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * 1024, stream_read, r,
						     NULL);
	return response ? reply_queue(r, response, 200, stream_type) : MHD_NO;
}
