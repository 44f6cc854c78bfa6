// SPDX-License-Identifier: Apache-2.0
// A gRPC call from its first message to its status.

#include "agent/rpc_call.h"

#include <string.h>

#include <grpc/byte_buffer.h>

#include "agent/fault.h"
#include "agent/message.h"

/* --- Life --- */

struct rpc_call *rpc_call_new(struct rpc *rpc)
{
	struct rpc_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->rpc = rpc;
	grpc_call_details_init(&c->details);
	grpc_metadata_array_init(&c->metadata);
	c->next = rpc->first;
	if (rpc->first)
		rpc->first->prev = c;
	rpc->first = c;
	return c;
}

static void forget_payload(struct rpc_call *c)
{
	if (c->payload)
		grpc_byte_buffer_destroy(c->payload);
	c->payload = NULL;
}

void rpc_call_put(struct rpc_call *c)
{
	struct rpc *rpc = c->rpc;

	if (--c->pending)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		rpc->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	if (c->call) {
		rpc->active--;
		rpc->streams -= c->streams;
		grpc_call_unref(c->call);
	}
	grpc_call_details_destroy(&c->details);
	grpc_metadata_array_destroy(&c->metadata);
	forget_payload(c);
	call_free(c->work);
	free(c);
}

/* Counts the tag before it can come back; a batch that is refused never does. */
static void start(struct rpc_call *c, struct rpc_tag *tag, void (*run)(struct rpc_call *, bool),
		  const grpc_op *ops, size_t n)
{
	*tag = (struct rpc_tag){ .run = run, .call = c };
	c->pending++;
	if (grpc_call_start_batch(c->call, ops, n, tag, NULL) != GRPC_CALL_OK)
		c->pending--;
}

void rpc_call_read(struct rpc_call *c, void (*run)(struct rpc_call *, bool))
{
	grpc_op read = {
		.op = GRPC_OP_RECV_MESSAGE,
		.data.recv_message.recv_message = &c->payload,
	};

	forget_payload(c);
	start(c, &c->on_read, run, &read, 1);
}

/* --- Sending --- */

static grpc_byte_buffer *pack(const ProtobufCMessage *message)
{
	grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
	grpc_byte_buffer *buffer;

	protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return buffer;
}

/* The initial metadata, where they have not been sent, the message, where there is one, and then `last`. */
static void send(struct rpc_call *c, const ProtobufCMessage *message, const grpc_op *last,
		 void (*run)(struct rpc_call *, bool))
{
	grpc_byte_buffer *buffer = message ? pack(message) : NULL;
	grpc_op ops[3];
	size_t n = 0;

	memset(ops, 0, sizeof(ops));
	if (!c->greeted)
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	c->greeted = true;
	if (buffer) {
		ops[n].op = GRPC_OP_SEND_MESSAGE;
		ops[n++].data.send_message.send_message = buffer;
	}
	if (last)
		ops[n++] = *last;
	start(c, &c->on_sent, run, ops, n);
	if (buffer)
		grpc_byte_buffer_destroy(buffer);
}

void rpc_call_send(struct rpc_call *c, const ProtobufCMessage *message,
		   void (*run)(struct rpc_call *, bool))
{
	send(c, message, NULL, run);
}

static void ended(struct rpc_call *c, bool ok)
{
	(void)ok; /* A client that has gone needs no answer. */
	rpc_call_put(c);
}

void rpc_call_end(struct rpc_call *c, const ProtobufCMessage *message)
{
	const grpc_op status = { .op = GRPC_OP_SEND_STATUS_FROM_SERVER };

	c->over = true;
	send(c, message, &status, ended);
}

void rpc_call_fail(struct rpc_call *c, const struct error *error)
{
	char detail[FAULT_DETAIL_MAX];
	grpc_slice text;
	grpc_metadata details = {
		.key = grpc_slice_from_static_string("grpc-status-details-bin"),
		.value = rpc_status_details(error),
	};
	const grpc_op status = {
		.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
		.data.send_status_from_server = {
			.trailing_metadata_count = GRPC_SLICE_LENGTH(details.value) ? 1 : 0,
			.trailing_metadata = &details,
			.status = (grpc_status_code)fault_of(error->code)->grpc,
			.status_details = &text,
		},
	};

	c->over = true;
	fault_detail(detail, sizeof(detail), error);
	text = grpc_slice_from_copied_string(detail);
	send(c, NULL, &status, ended);
	grpc_slice_unref(details.value);
	grpc_slice_unref(text);
}

/* --- The service --- */

void rpc_call_tag(struct rpc_call *c, struct rpc_tag *tag)
{
	struct rpc *rpc = c->rpc;

	/* An empty batch is gRPC core's way to put a tag into the queue. */
	pthread_mutex_lock(&rpc->answering);
	grpc_call_start_batch(c->call, NULL, 0, tag, NULL);
	pthread_mutex_unlock(&rpc->answering);
}

void rpc_call_back(struct rpc_call *c)
{
	pthread_mutex_lock(&c->rpc->answering);
	pthread_mutex_unlock(&c->rpc->answering);
}

static void work_done(struct call *work)
{
	struct rpc_call *c = work->data;

	rpc_call_tag(c, &c->on_answer);
}

/* The service need not go on for this call; it is answered by what it waits for, if it has not been. */
void rpc_call_cancel(struct rpc_call *c)
{
	if (c->posted)
		service_cancel(c->rpc->service, c->work);
	if (c->typed)
		service_cancel(c->rpc->service, c->typed);
}

static void answered(struct rpc_call *c, bool ok);

static void post(struct rpc_call *c)
{
	c->on_answer = (struct rpc_tag){ .run = answered, .call = c };
	c->work->done = work_done;
	c->work->data = c;
	c->posted = true;
	c->pending++;
	service_post(c->rpc->service, c->work);
}

/* Whether the call must end now, though the service would go on; then it is ended. */
static bool stopped(struct rpc_call *c)
{
	bool closing = c->rpc->closing;

	if (!c->cancelled && !closing && !c->verdict.code)
		return false;
	if (c->work->more)
		service_abandon(c->rpc->service, TAKE_PTR(c->work));
	/* Who waits is sent away when the agent goes down. */
	if (closing && !c->verdict.code)
		error_raise(&c->verdict, ERROR_UNAVAILABLE, "the agent is going down");
	if (!c->verdict.code)
		error_raise(&c->verdict, ERROR_CANCELLED, "the client has gone");
	rpc_call_cancel(c);
	rpc_call_fail(c, &c->verdict);
	return true;
}

/* The client can take another message: the next one may come. */
static void sent(struct rpc_call *c, bool ok)
{
	c->cancelled = c->cancelled || !ok;
	if (!stopped(c))
		post(c);
	rpc_call_put(c);
}

/* A stream goes on: with a message, or with a sign of life, which tells a client at its beginning that it is heard. */
static void go_on(struct rpc_call *c)
{
	if ((c->method->flags & METHOD_INPUT) && !c->reads && !c->cancelled)
		rpc_input_begin(c);
	if (stopped(c))
		return;
	if (c->work->reply || !c->greeted)
		rpc_call_send(c, c->work->reply, sent);
	else
		post(c);
}

static void answered(struct rpc_call *c, bool ok)
{
	struct call *work = c->work;
	bool by_us = work->error.code == ERROR_CANCELLED; /* and stopped() knows better why */

	(void)ok;
	rpc_call_back(c);
	c->posted = false;
	if (work->more)
		go_on(c);
	else if (!work->error.code)
		rpc_call_end(c, work->reply);
	else if (!by_us || !stopped(c))
		rpc_call_fail(c, &work->error);
	rpc_call_put(c);
}

void rpc_call_stop(struct rpc_call *c, const struct error *error)
{
	if (c->over || c->verdict.code)
		return;
	c->verdict = *error;
	rpc_call_cancel(c);
}

/* --- The request --- */

static void begin(struct rpc_call *c)
{
	struct error error = { 0 };

	if (rpc_request_begin(c, &error) < 0)
		rpc_call_fail(c, &error);
	else if (!c->method)
		rpc_reflection_begin(c);
	else if (rpc_request_work(c, &error) < 0)
		rpc_call_fail(c, &error);
	else
		post(c);
}

static void first_read(struct rpc_call *c, bool ok)
{
	struct error error = { 0 };

	if (!ok || c->cancelled) {
		error_raise(&error, ERROR_CANCELLED, "the client has gone");
		rpc_call_fail(c, &error);
	} else {
		begin(c);
	}
	rpc_call_put(c);
}

/* The client has its answer, has cancelled, or is gone; or the deadline has passed. */
static void closed(struct rpc_call *c, bool ok)
{
	(void)ok;
	c->cancelled = c->cancelled || c->close_cancelled;
	if (c->cancelled)
		rpc_call_cancel(c);
	rpc_call_put(c);
}

void rpc_call_begin(struct rpc_call *c)
{
	grpc_op close = {
		.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
		.data.recv_close_on_server.cancelled = &c->close_cancelled,
	};

	c->rpc->active++;
	start(c, &c->on_close, closed, &close, 1);
	rpc_call_read(c, first_read);
}
