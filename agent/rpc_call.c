// SPDX-License-Identifier: Apache-2.0
// A gRPC call from its name to its status.

#include "agent/rpc_call.h"

#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>

#include "agent/auth.h"
#include "agent/fault.h"
#include "agent/message.h"
#include "agent/transcode.h"
#include "croft/v1/node.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"

#define HEALTH_CHECK "/grpc.health.v1.Health/Check"

static bool slice_is(grpc_slice slice, const char *text)
{
	size_t n = strlen(text);

	return GRPC_SLICE_LENGTH(slice) == n && memcmp(GRPC_SLICE_START_PTR(slice), text, n) == 0;
}

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
		grpc_call_unref(c->call);
	}
	grpc_call_details_destroy(&c->details);
	grpc_metadata_array_destroy(&c->metadata);
	if (c->payload)
		grpc_byte_buffer_destroy(c->payload);
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

/* --- The answer --- */

static void sent(struct rpc_call *c, bool ok)
{
	(void)ok; /* A client that has gone needs no answer. */
	rpc_call_put(c);
}

static grpc_byte_buffer *pack(const ProtobufCMessage *message)
{
	grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
	grpc_byte_buffer *buffer;

	protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return buffer;
}

static void answer_message(struct rpc_call *c, const ProtobufCMessage *message)
{
	grpc_byte_buffer *buffer = pack(message);
	grpc_op ops[3] = {
		{ .op = GRPC_OP_SEND_INITIAL_METADATA },
		{ .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer },
		{ .op = GRPC_OP_SEND_STATUS_FROM_SERVER },
	};

	start(c, &c->on_sent, sent, ops, ARRAY_SIZE(ops));
	grpc_byte_buffer_destroy(buffer);
}

static void answer_error(struct rpc_call *c, const struct error *error)
{
	char detail[FAULT_DETAIL_MAX];
	grpc_slice text;
	grpc_metadata details = {
		.key = grpc_slice_from_static_string("grpc-status-details-bin"),
		.value = rpc_status_details(error),
	};
	grpc_op ops[2] = {
		{ .op = GRPC_OP_SEND_INITIAL_METADATA },
		{ .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
		  .data.send_status_from_server = {
			  .trailing_metadata_count = GRPC_SLICE_LENGTH(details.value) ? 1 : 0,
			  .trailing_metadata = &details,
			  .status = (grpc_status_code)fault_of(error->code)->grpc,
			  .status_details = &text,
		  } },
	};

	fault_detail(detail, sizeof(detail), error);
	text = grpc_slice_from_copied_string(detail);
	start(c, &c->on_sent, sent, ops, ARRAY_SIZE(ops));
	grpc_slice_unref(details.value);
	grpc_slice_unref(text);
}

static void answer_health(struct rpc_call *c, const Croft__V1__Health *health)
{
	Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	reply.status =
		health->ok ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
			   : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
	answer_message(c, &reply.base);
}

static void answered(struct rpc_call *c, bool ok)
{
	(void)ok;
	/* The service thread may not have left gRPC core yet, and the call must last as long. */
	pthread_mutex_lock(&c->rpc->answering);
	pthread_mutex_unlock(&c->rpc->answering);
	c->posted = false;
	/* Who waits is sent away when the agent goes down. */
	if (c->work->error.code == ERROR_CANCELLED && c->rpc->closing)
		c->work->error.code = ERROR_UNAVAILABLE;
	if (!c->work->reply)
		answer_error(c, &c->work->error);
	else if (c->health)
		answer_health(c, (const Croft__V1__Health *)(const void *)c->work->reply);
	else
		answer_message(c, c->work->reply);
	rpc_call_put(c);
}

/* On the service thread: an empty batch is gRPC core's way to put a tag into the queue. */
static void work_done(struct call *work)
{
	struct rpc_call *c = work->data;
	struct rpc *rpc = c->rpc;

	pthread_mutex_lock(&rpc->answering);
	grpc_call_start_batch(c->call, NULL, 0, &c->on_answer, NULL);
	pthread_mutex_unlock(&rpc->answering);
}

/* --- The request --- */

static int unpack(struct rpc_call *c, const ProtobufCMessageDescriptor *type,
		  ProtobufCMessage **out, struct error *err)
{
	grpc_byte_buffer_reader reader;
	ProtobufCMessage *message;
	grpc_slice slice;
	int rc;

	if (!c->payload || !grpc_byte_buffer_reader_init(&reader, c->payload))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "the call has no message");
	slice = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	message = protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(slice),
					    GRPC_SLICE_START_PTR(slice));
	grpc_slice_unref(slice);
	if (!message)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "the message is not a %s",
				   type->name);
	rc = transcode_check(message, err);
	if (rc) {
		message_free(message);
		return rc;
	}
	*out = message;
	return 0;
}

/* The revision that metadata "if-match" asks for. */
static int take_if_match(struct rpc_call *c, uint64_t *out, struct error *err)
{
	for (size_t i = 0; i < c->metadata.count; i++) {
		grpc_slice value = c->metadata.metadata[i].value;
		size_t n = GRPC_SLICE_LENGTH(value);
		char text[24] = "", *end;

		if (!slice_is(c->metadata.metadata[i].key, "if-match"))
			continue;
		if (n && n < sizeof(text))
			memcpy(text, GRPC_SLICE_START_PTR(value), n);
		errno = 0;
		*out = text[0] >= '1' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
		if (!*out || errno || *end)
			return error_raise(err, ERROR_INVALID_ARGUMENT,
					   "metadata if-match: must be a revision");
	}
	return 0;
}

/* A service name of the health protocol is "" or the part before the slash of one of our methods. */
static bool service_known(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < service_method_count; i++)
		if (strncmp(service_methods[i].name, name, n) == 0 &&
		    (!n || service_methods[i].name[n] == '/'))
			return true;
	return strcmp(name, "grpc.health.v1.Health") == 0;
}

static int take_health(struct rpc_call *c, ProtobufCMessage **out, struct error *err)
{
	Grpc__Health__V1__HealthCheckRequest *asked;
	ProtobufCMessage *message;
	int rc = unpack(c, &grpc__health__v1__health_check_request__descriptor, &message, err);

	if (rc)
		return rc;
	asked = (Grpc__Health__V1__HealthCheckRequest *)(void *)message;
	if (!service_known(asked->service))
		rc = error_raise(err, ERROR_NOT_FOUND, "no such service: %.128s", asked->service);
	message_free(message);
	if (rc)
		return rc;
	message = message_new(&croft__v1__check_health_request__descriptor);
	if (!message)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	*out = message;
	return transcode_set(message, "kind", "ready", err);
}

static int take_actor(struct rpc_call *c)
{
	char *peer = grpc_call_get_peer(c->call);

	static_assert(sizeof(c->work->actor) == AUTH_ACTOR_MAX, "an actor's name fits");
	auth_actor_of_uri(c->work->actor, peer);
	gpr_free(peer);
	return 0;
}

/* Makes the service's call of what came in. */
static int prepare(struct rpc_call *c, struct error *err)
{
	const uint8_t *path = GRPC_SLICE_START_PTR(c->details.method);
	size_t n = GRPC_SLICE_LENGTH(c->details.method);
	char name[128] = "";
	int rc;

	if (c->rpc->closing)
		return error_raise(err, ERROR_UNAVAILABLE, "the agent is going down");
	if (c->rpc->active > RPC_CALLS_MAX)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "more than %d calls at once",
				   RPC_CALLS_MAX);
	c->work = calloc(1, sizeof(*c->work));
	if (!c->work)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	c->health = slice_is(c->details.method, HEALTH_CHECK);
	if (c->health)
		snprintf(name, sizeof(name), "croft.v1.NodeService/CheckHealth");
	else if (n > 1 && n < sizeof(name))
		memcpy(name, path + 1, n - 1);
	c->work->method = service_method_find(name);
	if (!c->work->method)
		return error_raise(err, ERROR_UNSUPPORTED, "no such method: %s", name);
	rc = take_actor(c);
	if (!rc)
		rc = take_if_match(c, &c->work->if_match, err);
	if (!rc)
		rc = c->health ? take_health(c, &c->work->request, err)
			       : unpack(c, c->work->method->request, &c->work->request, err);
	return rc;
}

static void payload_read(struct rpc_call *c, bool ok)
{
	struct error error = { 0 };

	if (!ok) {
		error_raise(&error, ERROR_CANCELLED, "the message did not arrive");
		answer_error(c, &error);
	} else if (prepare(c, &error)) {
		answer_error(c, &error);
	} else if (c->cancelled) {
		error_raise(&error, ERROR_CANCELLED, "the client has gone");
		answer_error(c, &error);
	} else {
		c->on_answer = (struct rpc_tag){ .run = answered, .call = c };
		c->work->done = work_done;
		c->work->data = c;
		c->posted = true;
		c->pending++;
		service_post(c->rpc->service, c->work);
	}
	rpc_call_put(c);
}

/* The client has its answer, has cancelled, or is gone; or the deadline has passed. */
static void closed(struct rpc_call *c, bool ok)
{
	(void)ok;
	if (c->cancelled && c->posted)
		service_cancel(c->rpc->service, c->work);
	rpc_call_put(c);
}

void rpc_call_begin(struct rpc_call *c)
{
	grpc_op close = {
		.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
		.data.recv_close_on_server.cancelled = &c->cancelled,
	};
	grpc_op read = {
		.op = GRPC_OP_RECV_MESSAGE,
		.data.recv_message.recv_message = &c->payload,
	};

	c->rpc->active++;
	start(c, &c->on_close, closed, &close, 1);
	start(c, &c->on_payload, payload_read, &read, 1);
}
