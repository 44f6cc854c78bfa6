// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Operations.

#include "agent/method.h"

#include "agent/message.h"
#include "agent/operation.h"

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

static Croft__V1__ListOperationsResponse *list(struct service *service, const struct page *page)
{
	Croft__V1__ListOperationsResponse *reply =
		message_new(&croft__v1__list_operations_response__descriptor);

	if (!reply)
		return NULL;
	reply->operations = calloc(page->count ? page->count : 1, sizeof(*reply->operations));
	if (!reply->operations)
		return message_free(reply);
	for (size_t i = 0; i < page->count; i++) {
		struct operation *op = service->operations.entries[page->first + i].record;

		operation_refresh(op);
		reply->operations[i] = message_copy(&op->msg->base);
		if (!reply->operations[i])
			return message_free(reply);
		reply->n_operations++;
	}
	if (page->more)
		message_set_string(&reply->next_page_token,
				   reply->operations[page->count - 1]->name);
	return reply;
}

void method_list_operations(struct service *service, struct call *call)
{
	const Croft__V1__ListOperationsRequest *request = (const void *)call->request;
	struct error error;
	struct page page;

	if (page_of(&page, &service->operations, request->page_size, request->page_token, &error) <
	    0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, list(service, &page));
}

void method_wait_operation(struct service *service, struct call *call)
{
	const Croft__V1__WaitOperationRequest *request = (const void *)call->request;
	uint64_t wait = METHOD_WAIT_DEFAULT_NS;
	struct error error;
	struct operation *op = find(service, request->name, &error);

	if (request->timeout)
		wait = message_duration_ns(request->timeout, METHOD_WAIT_MAX_NS);
	if (!op)
		call_fail(service, call, &error);
	else if (operation_ended(op) || !wait || call_expired(call))
		reply_operation(service, call, op);
	else
		call_wait(service, call, wait);
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
