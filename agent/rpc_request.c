// SPDX-License-Identifier: Apache-2.0
// What a gRPC call asks for: its name, its client, its metadata and its message.

#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>

#include "agent/message.h"
#include "agent/method_health.h"
#include "agent/rpc_call.h"
#include "agent/transcode.h"

#define NAME_MAX_BYTES 128 /* of a call's path and its NUL */

static bool slice_is(grpc_slice slice, const char *text)
{
	size_t n = strlen(text);

	return GRPC_SLICE_LENGTH(slice) == n && memcmp(GRPC_SLICE_START_PTR(slice), text, n) == 0;
}

/* --- The name --- */

/* "/croft.v1.Vms/GetVm" without its first slash; "" when it is longer than any that we have. */
static void name_of(const struct rpc_call *c, char name[NAME_MAX_BYTES])
{
	size_t n = GRPC_SLICE_LENGTH(c->details.method);

	name[0] = '\0';
	if (n > 1 && n <= NAME_MAX_BYTES) {
		memcpy(name, GRPC_SLICE_START_PTR(c->details.method) + 1, n - 1);
		name[n - 1] = '\0';
	}
}

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < health_method_count; i++)
		if (strcmp(health_methods[i].name, name) == 0)
			return &health_methods[i];
	return service_method_find(name);
}

static int count_stream(struct rpc_call *c, struct error *err)
{
	if (c->method && !(c->method->flags & METHOD_STREAM))
		return 0;
	if (c->rpc->streams >= RPC_STREAMS_MAX)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "more than %d streams at once",
				   RPC_STREAMS_MAX);
	c->streams = true;
	c->rpc->streams++;
	return 0;
}

int rpc_request_begin(struct rpc_call *c, struct error *err)
{
	char name[NAME_MAX_BYTES];

	if (c->rpc->closing)
		return error_raise(err, ERROR_UNAVAILABLE, "the agent is going down");
	if (c->rpc->active > RPC_CALLS_MAX)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "more than %d calls at once",
				   RPC_CALLS_MAX);
	name_of(c, name);
	c->method = find_method(name);
	if (!c->method && !rpc_is_reflection(name))
		return error_raise(err, ERROR_UNSUPPORTED, "no such method: %s", name);
	rpc_principal(&c->who, c);
	/* Of the others, the service knows who may. */
	if (!c->method && !c->who.roles)
		return error_raise(err, ERROR_PERMISSION_DENIED,
				   "actor \"%s\" has no role; reflection needs any", c->who.actor);
	return count_stream(c, err);
}

/* --- The message --- */

int rpc_request_unpack(struct rpc_call *c, const ProtobufCMessageDescriptor *type,
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
	rc = transcode_check_wire(type, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), err);
	grpc_slice_unref(slice);
	if (!message)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "the message is not a %s",
				   type->name);
	if (!rc)
		rc = transcode_check(message, err);
	if (rc) {
		message_free(message);
		return rc;
	}
	*out = message;
	return 0;
}

/* --- The metadata --- */

/* The value of a key that is given at most once, as text; `size` has room for the longest that is allowed. */
static int take_metadata(const struct rpc_call *c, const char *key, char *out, size_t size,
			 struct error *err)
{
	bool found = false;

	for (size_t i = 0; i < c->metadata.count; i++) {
		grpc_slice value = c->metadata.metadata[i].value;
		size_t n = GRPC_SLICE_LENGTH(value);

		if (!slice_is(c->metadata.metadata[i].key, key))
			continue;
		if (found)
			return error_raise_field(err, key, "the metadata have it twice");
		if (!n || n >= size)
			return error_raise_field(err, key, "metadata of 1 to %zu characters",
						 size - 1);
		found = true;
		memcpy(out, GRPC_SLICE_START_PTR(value), n);
		out[n] = '\0';
	}
	return 0;
}

/* The revision that metadata "if-match" asks for. */
static int take_if_match(const struct rpc_call *c, uint64_t *out, struct error *err)
{
	char text[24] = "", *end;

	if (take_metadata(c, "if-match", text, sizeof(text), err) < 0)
		return -EINVAL;
	if (!text[0])
		return 0;
	errno = 0;
	*out = text[0] >= '1' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
	if (!*out || errno || *end)
		return error_raise_field(err, "if-match", "metadata that must be a revision");
	return 0;
}

static int take_idempotency_key(const struct rpc_call *c, char out[IDEMPOTENCY_KEY_MAX + 1],
				struct error *err)
{
	static const char key[] = "idempotency-key";

	if (take_metadata(c, key, out, IDEMPOTENCY_KEY_MAX + 1, err) < 0)
		return -EINVAL;
	for (const char *p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			return error_raise_field(err, key,
						 "metadata of printable ASCII characters");
	return 0;
}

/* When the client does not wait any more, on the clock of clock_ns(); 0 when it waits for ever. */
static uint64_t expiry(const struct rpc_call *c)
{
	gpr_timespec left;

	if (gpr_time_cmp(c->details.deadline, gpr_inf_future(c->details.deadline.clock_type)) == 0)
		return 0;
	left = gpr_time_sub(c->details.deadline, gpr_now(c->details.deadline.clock_type));
	if (left.tv_sec < 0)
		return 1;
	/* Years are for ever. */
	if (left.tv_sec > 100000000)
		return 0;
	return clock_ns() + (uint64_t)left.tv_sec * 1000000000u + (uint64_t)left.tv_nsec;
}

int rpc_request_work(struct rpc_call *c, struct error *err)
{
	struct call *work = c->work = calloc(1, sizeof(*work));
	int rc;

	if (!work)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	work->method = c->method;
	work->who = c->who;
	work->expires_ns = expiry(c);
	rc = take_if_match(c, &work->if_match, err);
	if (!rc)
		rc = take_idempotency_key(c, work->idempotency_key, err);
	if (!rc)
		rc = rpc_request_unpack(c, c->method->request, &work->request, err);
	return rc;
}
