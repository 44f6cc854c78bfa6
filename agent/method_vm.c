// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Vms that deal with records and their states.

#include "agent/method.h"

#include <string.h>

#include "agent/message.h"
#include "agent/page.h"
#include "agent/vm.h"
#include "agent/vm_update.h"

#define SECOND 1000000000ull

/* --- What handlers share --- */

void method_answer(struct service *service, struct call *call, int r, void *reply,
		   const struct error *error)
{
	if (r < 0) {
		message_free(reply);
		call_fail(service, call, error);
	} else {
		call_reply(service, call, reply);
	}
}

void method_list(struct service *service, struct call *call, const struct page_source *source)
{
	ProtobufCMessage *reply = NULL;
	struct error error;
	int r = page_reply(&reply, source, call->request, call->method->reply, &error);

	method_answer(service, call, r, reply, &error);
}

void *method_preview(const char *verb, const char *collection, const char *name, const char *actor)
{
	Croft__V1__Operation *op = message_new(&croft__v1__operation__descriptor);
	char target[128];

	if (!op)
		return NULL;
	snprintf(target, sizeof(target), "%s%s%s", collection, name[0] ? "/" : "", name);
	message_set_string(&op->verb, verb);
	message_set_string(&op->target, target);
	message_set_string(&op->actor, actor);
	op->state = CROFT__V1__OPERATION__STATE__PENDING;
	return op;
}

const struct method_duration method_patience = { "/deadline", 30 * SECOND, 600 * SECOND };
const struct method_duration method_follow = { "/wait", 0, 30 * SECOND };

int method_take_duration(const struct method_duration *what, const Google__Protobuf__Duration *d,
			 uint64_t *ns, struct error *err)
{
	*ns = d ? message_duration_ns(d, what->max_ns + 1) : what->absent_ns;
	if (*ns > what->max_ns || (d && (d->seconds < 0 || d->nanos < 0 || d->nanos > 999999999)))
		return error_raise_field(err, what->field,
					 "must be from 0s to %llus; %llus when it is absent",
					 what->max_ns / SECOND, what->absent_ns / SECOND);
	return 0;
}

/* --- Records --- */

void method_create_vm(struct service *service, struct call *call)
{
	const Croft__V1__CreateVmRequest *request = (const void *)call->request;
	struct vm_record *vm = NULL;
	struct error error;
	void *reply = NULL;
	int r;

	if (!request->vm)
		r = error_raise_field(&error, "/vm", "a VM is required");
	else if (request->dry_run)
		r = vm_check_new(service, request->vm, &error);
	else
		r = vm_record_new(service, request->vm, call->who.actor, &vm, &error);
	if (r == 0 && request->dry_run) {
		Croft__V1__Vm *msg = reply = vm_new_message(request->vm);

		if (msg)
			msg->status->state = CROFT__V1__VM_STATUS__STATE__DEFINED;
	} else if (r == 0) {
		reply = message_copy(&vm->msg->base);
	}
	method_answer(service, call, r, reply, &error);
}

void method_get_vm(struct service *service, struct call *call)
{
	const Croft__V1__GetVmRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = vm_record_find(service, request->name, &error);

	method_answer(service, call, vm ? 0 : -ENOENT, vm ? message_copy(&vm->msg->base) : NULL,
		      &error);
}

void method_list_vms(struct service *service, struct call *call)
{
	static const char *const fields[] = { "name", "state", "image", "labels", NULL };

	method_list(service, call,
		    &(struct page_source){ .table = &service->vms, .fields = fields });
}

/* The VM that a changing request names, when it has the revision that the client asks for. */
static int find(struct service *service, struct call *call, const char *name,
		struct vm_record **out, struct error *err)
{
	*out = vm_record_find(service, name, err);
	return *out ? record_match(&(*out)->record, call->if_match, err) : -ENOENT;
}

void method_delete_vm(struct service *service, struct call *call)
{
	const Croft__V1__DeleteVmRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = NULL;
	void *reply = NULL;
	int r = find(service, call, request->name, &vm, &error);

	if (r == 0)
		r = vm_check_delete(vm, &error);
	if (r == 0) {
		reply = message_copy(&vm->msg->base);
		if (!reply)
			r = error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r == 0 && !request->dry_run)
		r = vm_record_delete(service, vm, call->who.actor, &error);
	method_answer(service, call, r, reply, &error);
}

static int update(struct service *service, struct call *call, struct vm_update *change,
		  struct error *error)
{
	Croft__V1__Vm *reply = NULL;
	struct vm_record *vm = NULL;
	int r = find(service, call, change->wish->name, &vm, error);

	change->actor = call->who.actor;
	if (r == 0)
		r = vm_record_update(service, vm, change, &reply, error);
	if (r == 0)
		call_reply(service, call, reply);
	return r;
}

void method_update_vm(struct service *service, struct call *call)
{
	const Croft__V1__UpdateVmRequest *request = (const void *)call->request;
	struct vm_update change = { .wish = request->vm,
				    .mask = request->update_mask,
				    .dry_run = request->dry_run };
	struct error error;
	int r = request->vm ? update(service, call, &change, &error)
			    : error_raise_field(&error, "/vm", "a VM is required");

	if (r < 0)
		call_fail(service, call, &error);
}

void method_resize_vm(struct service *service, struct call *call)
{
	const Croft__V1__ResizeVmRequest *request = (const void *)call->request;
	static char *paths[] = { (char *)"spec.memory_target_bytes" };
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	Croft__V1__Vm wish = CROFT__V1__VM__INIT;
	Croft__V1__VmSpec spec = CROFT__V1__VM_SPEC__INIT;
	struct vm_update change = { .wish = &wish, .mask = &mask, .dry_run = request->dry_run };
	struct error error;

	mask.paths = paths;
	mask.n_paths = ARRAY_SIZE(paths);
	wish.name = request->name;
	wish.spec = &spec;
	spec.memory_target_bytes = request->memory_target_bytes;
	if (update(service, call, &change, &error) == 0)
		return;
	/* The field has another place in this request. */
	if (strcmp(error.field, "/spec/memory_target_bytes") == 0)
		snprintf(error.field, sizeof(error.field), "/memory_target_bytes");
	call_fail(service, call, &error);
}

/* --- Slow verbs --- */

/* The operation that works on it now, or for a dry run, which has begun none, one that has no name. */
static void answer_verb(struct service *service, struct call *call, const struct vm_record *vm,
			const struct operation *op, const char *verb)
{
	call_reply(service, call,
		   op ? message_copy(&op->msg->base)
		      : method_preview(verb, "vms", vm->msg->name, call->who.actor));
}

void method_start_vm(struct service *service, struct call *call)
{
	const Croft__V1__StartVmRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = NULL;
	struct operation *op = NULL;
	int r = find(service, call, request->name, &vm, &error);

	if (r == 0 && request->dry_run)
		r = vm_check_start(service, vm, &error);
	else if (r == 0 && !(op = vm_record_start(service, vm, call->who.actor, &error)))
		r = -ECANCELED;
	if (r < 0)
		call_fail(service, call, &error);
	else
		answer_verb(service, call, vm, op, "start");
}

/* How long the guest is asked for; 0: not at all. */
static int patience_of(bool force, const Google__Protobuf__Duration *deadline, uint64_t *ns,
		       struct error *err)
{
	*ns = 0;
	if (force && deadline)
		return error_raise_field(err, "/deadline",
					 "must be left out with force, which waits for nothing");
	return force ? 0 : method_take_duration(&method_patience, deadline, ns, err);
}

/* A verb that ends a guest. */
struct end {
	const char *verb;
	int (*check)(struct service *service, const struct vm_record *vm, uint64_t patience_ns,
		     struct error *err);
	struct operation *(*begin)(struct service *service, struct vm_record *vm,
				   const struct vm_stop *how, struct error *err);
};

/* Stops and restarts are asked for alike: RestartVmRequest has the fields of StopVmRequest. */
static void end_vm(struct service *service, struct call *call, const struct end *end,
		   const Croft__V1__StopVmRequest *request)
{
	struct vm_stop how = { .actor = call->who.actor };
	struct error error;
	struct vm_record *vm = NULL;
	struct operation *op = NULL;
	int r = find(service, call, request->name, &vm, &error);

	if (r == 0)
		r = patience_of(request->force, request->deadline, &how.patience_ns, &error);
	if (r == 0 && request->dry_run)
		r = end->check(service, vm, how.patience_ns, &error);
	else if (r == 0 && !(op = end->begin(service, vm, &how, &error)))
		r = -ECANCELED;
	if (r < 0)
		call_fail(service, call, &error);
	else
		answer_verb(service, call, vm, op, end->verb);
}

void method_stop_vm(struct service *service, struct call *call)
{
	static const struct end stop = { "stop", vm_check_stop, vm_record_stop };

	end_vm(service, call, &stop, (const void *)call->request);
}

void method_restart_vm(struct service *service, struct call *call)
{
	static const struct end restart = { "restart", vm_check_restart, vm_record_restart };
	const Croft__V1__RestartVmRequest *request = (const void *)call->request;
	Croft__V1__StopVmRequest same = CROFT__V1__STOP_VM_REQUEST__INIT;

	same.name = request->name;
	same.force = request->force;
	same.deadline = request->deadline;
	same.dry_run = request->dry_run;
	end_vm(service, call, &restart, &same);
}
