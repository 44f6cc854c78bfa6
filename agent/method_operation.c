// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Operations.

#include "agent/method.h"

#include <string.h>

#include "agent/message.h"
#include "agent/operation.h"
#include "agent/page.h"

#define PROGRESS_NS \
	1000000000ull /* between two messages of a stream that differ in their bytes alone */

static struct operation *find(struct service *service, const char *name, struct error *err)
{
	struct operation *op = table_find(&service->operations, name);

	if (!op)
		error_raise(err, ERROR_NOT_FOUND, "there is no operation \"%.80s\"", name);
	return op;
}

static void reply_operation(struct service *service, struct call *call, struct operation *op)
{
	operation_refresh(op);
	call_reply(service, call, message_copy(&op->msg->base));
}

void method_get_operation(struct service *service, struct call *call)
{
	const Croft__V1__GetOperationRequest *request = (const void *)call->request;
	struct error error;
	struct operation *op = find(service, request->name, &error);

	if (!op)
		call_fail(service, call, &error);
	else
		reply_operation(service, call, op);
}

static void refresh(void *entry)
{
	operation_refresh(entry);
}

void method_list_operations(struct service *service, struct call *call)
{
	static const char *const fields[] = { "name", "state", "verb", "target", "actor", NULL };
	const struct page_source source = { .table = &service->operations,
					    .fields = fields,
					    .refresh = refresh };
	ProtobufCMessage *reply;
	struct error error;

	if (page_reply(&reply, &source, call->request,
		       &croft__v1__list_operations_response__descriptor, &error) < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, reply);
}

void method_wait_operation(struct service *service, struct call *call)
{
	const Croft__V1__WaitOperationRequest *request = (const void *)call->request;
	static const struct method_duration timeout = { "/timeout", 30000000000ull,
							300000000000ull };
	struct error error;
	struct operation *op = find(service, request->name, &error);
	uint64_t wait = 0;

	if (!op || method_take_duration(&timeout, request->timeout, &wait, &error) < 0)
		call_fail(service, call, &error);
	else if (operation_ended(op) || !wait || call_expired(call))
		reply_operation(service, call, op);
	else
		call_wait(service, call, wait);
}

/* --- The stream --- */

/* What the client has of the operation. */
struct watch {
	Croft__V1__Operation__State state;
	char *step;
	uint64_t done_bytes, total_bytes;
	uint64_t sent_ns; /* when it was told of anything last, and be it that nothing has changed */
};

/* Sends it as it is. */
static void send_operation(struct service *service, struct call *call, const struct operation *op)
{
	struct watch *watch = call->place;
	const Croft__V1__Operation *msg = op->msg;

	free(watch->step);
	watch->step = strdup(msg->step);
	watch->state = msg->state;
	watch->done_bytes = msg->done_bytes;
	watch->total_bytes = msg->total_bytes;
	watch->sent_ns = clock_ns();
	if (operation_ended(op))
		call_reply(service, call, message_copy(&msg->base));
	else
		call_reply_more(service, call, message_copy(&msg->base));
}

/* After that much time without a word to the client. */
static bool has_news(const struct watch *watch, const Croft__V1__Operation *msg, uint64_t quiet)
{
	if (!watch->step || watch->state != msg->state || strcmp(watch->step, msg->step) != 0)
		return true;
	return quiet >= PROGRESS_NS &&
	       (watch->done_bytes != msg->done_bytes || watch->total_bytes != msg->total_bytes);
}

void method_watch_operation(struct service *service, struct call *call)
{
	const Croft__V1__GetOperationRequest *request = (const void *)call->request;
	struct error error;
	struct operation *op = find(service, request->name, &error);
	struct watch *watch = call->place;
	uint64_t quiet;

	if (op && !call->begun) {
		call->place = watch = calloc(1, sizeof(*watch));
		call->begun = watch != NULL;
		if (!watch)
			error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (!op || !watch) {
		call_fail(service, call, &error);
		return;
	}
	operation_refresh(op);
	quiet = clock_ns() - watch->sent_ns;
	if (has_news(watch, op->msg, quiet)) {
		send_operation(service, call, op);
	} else if (quiet >= STREAM_IDLE_NS) {
		watch->sent_ns = clock_ns();
		call_reply_more(service, call, NULL);
	} else {
		/* A job's progress wakes nobody: it is looked at again and again. */
		call->deadline_ns = 0;
		call_wait(service, call, PROGRESS_NS);
	}
}

void method_watch_operation_close(struct service *service, struct call *call)
{
	struct watch *watch = call->place;

	(void)service;
	free(watch->step);
	free(watch);
}

void method_cancel_operation(struct service *service, struct call *call)
{
	const Croft__V1__CancelOperationRequest *request = (const void *)call->request;
	struct error error;
	struct operation *op = find(service, request->name, &error);

	if (!op || operation_cancel(service, op, &error) < 0)
		call_fail(service, call, &error);
	else
		reply_operation(service, call, op);
}
