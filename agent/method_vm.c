// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Vms that deal with records and their states.

#include "agent/method.h"

#include "agent/message.h"
#include "agent/vm.h"

/* How long a guest that is asked to end may take, in seconds: when nothing is said, and at most. */
#define STOP_PATIENCE	  30
#define STOP_PATIENCE_MAX 600
#define SECOND		  1000000000ull

static struct vm_record *find(struct service *service, const char *name, struct error *err)
{
	struct vm_record *vm = table_find(&service->vms, name);

	if (!vm)
		error_raise(err, ERROR_NOT_FOUND, "there is no VM \"%.80s\"", name);
	return vm;
}

void method_create_vm(struct service *service, struct call *call)
{
	const Croft__V1__CreateVmRequest *request = (const void *)call->request;
	struct vm_record *vm;
	struct error error;
	int r;

	if (!request->vm)
		r = error_raise(&error, ERROR_INVALID_ARGUMENT, "a VM is required");
	else
		r = vm_record_new(service, request->vm, call->actor, &vm, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, message_copy(&vm->msg->base));
}

void method_get_vm(struct service *service, struct call *call)
{
	const Croft__V1__GetVmRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);

	if (!vm)
		call_fail(service, call, &error);
	else
		call_reply(service, call, message_copy(&vm->msg->base));
}

static Croft__V1__ListVmsResponse *list(struct service *service, const struct page *page)
{
	Croft__V1__ListVmsResponse *reply = message_new(&croft__v1__list_vms_response__descriptor);

	if (!reply)
		return NULL;
	reply->vms = calloc(page->count ? page->count : 1, sizeof(*reply->vms));
	if (!reply->vms)
		return message_free(reply);
	for (size_t i = 0; i < page->count; i++) {
		const struct vm_record *vm = service->vms.entries[page->first + i].record;

		reply->vms[i] = message_copy(&vm->msg->base);
		if (!reply->vms[i])
			return message_free(reply);
		reply->n_vms++;
	}
	if (page->more)
		message_set_string(&reply->next_page_token, reply->vms[page->count - 1]->name);
	return reply;
}

void method_list_vms(struct service *service, struct call *call)
{
	const Croft__V1__ListVmsRequest *request = (const void *)call->request;
	struct error error;
	struct page page;

	if (page_of(&page, &service->vms, request->page_size, request->page_token, &error) < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, list(service, &page));
}

void method_delete_vm(struct service *service, struct call *call)
{
	const Croft__V1__DeleteVmRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);
	void *reply = NULL;
	int r = vm ? record_match(&vm->record, call->if_match, &error) : -ENOENT;

	if (r == 0) {
		reply = message_copy(&vm->msg->base);
		r = reply ? vm_record_delete(service, vm, call->actor, &error)
			  : error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r < 0) {
		message_free(reply);
		call_fail(service, call, &error);
	} else {
		call_reply(service, call, reply);
	}
}

void method_start_vm(struct service *service, struct call *call)
{
	const Croft__V1__StartVmRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);
	int r = vm ? record_match(&vm->record, call->if_match, &error) : -ENOENT;

	if (r == 0)
		r = vm_record_start(service, vm, call->actor, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, message_copy(&vm->op->msg->base));
}

/* How long the guest is asked for; 0: not at all. */
static int patience_of(const Croft__V1__StopVmRequest *request, uint64_t *ns, struct error *err)
{
	const Google__Protobuf__Duration *d = request->deadline;

	if (request->force && d)
		return error_raise_field(err, "/deadline",
					 "must be left out with force, which waits for nothing");
	if (d && (d->seconds < 0 || d->nanos < 0 || d->nanos > 999999999 ||
		  d->seconds > STOP_PATIENCE_MAX || (d->seconds == STOP_PATIENCE_MAX && d->nanos)))
		return error_raise_field(err, "/deadline",
					 "must be from 0s to %ds; without it the guest has %ds",
					 STOP_PATIENCE_MAX, STOP_PATIENCE);
	if (request->force)
		*ns = 0;
	else if (d)
		*ns = message_duration_ns(d, STOP_PATIENCE_MAX * SECOND);
	else
		*ns = STOP_PATIENCE * SECOND;
	return 0;
}

void method_stop_vm(struct service *service, struct call *call)
{
	const Croft__V1__StopVmRequest *request = (const void *)call->request;
	uint64_t patience_ns = 0;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);
	int r = vm ? record_match(&vm->record, call->if_match, &error) : -ENOENT;

	if (r == 0)
		r = patience_of(request, &patience_ns, &error);
	if (r == 0)
		r = vm_record_stop(service, vm, patience_ns, call->actor, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, message_copy(&vm->op->msg->base));
}
