// SPDX-License-Identifier: Apache-2.0
// Steps towards the desired state as calls of the agent's own methods.

#include "agent/desired_step.h"

#include <assert.h>
#include <string.h>

#include "agent/audit.h"
#include "agent/message.h"
#include "agent/vm_update.h"
#include "croft/v1/node.pb-c.h"

/* --- Requests --- */

/* The mask of what changes: "/spec/vcpus" is the path "spec.vcpus". */
static Google__Protobuf__FieldMask *make_mask(unsigned int changes)
{
	Google__Protobuf__FieldMask *mask = message_new(&google__protobuf__field_mask__descriptor);
	const char *pointer;

	while (mask && (pointer = vm_change_next(&changes))) {
		char *path = strdup(pointer + 1), *slash = path ? strchr(path, '/') : NULL;

		if (slash)
			*slash = '.';
		if (!path || message_append(&mask->paths, &mask->n_paths, path) < 0) {
			free(path);
			return message_free(mask);
		}
	}
	return mask;
}

/* Requests whose first field is the object's name. */
static void *make_named(const struct method *method, const char *name)
{
	Croft__V1__GetVmRequest *request = message_new(method->request);

	assert(strcmp(method->request->fields[0].name, "name") == 0);
	if (request)
		message_set_string(&request->name, name);
	if (request && request->name[0])
		return request;
	return message_free(request);
}

static void *make_create(const struct desired_plan *plan)
{
	Croft__V1__CreateVmRequest *request =
		message_new(&croft__v1__create_vm_request__descriptor);
	const Croft__V1__Vm vm = desired_vm_view(plan->vm);

	if (request)
		request->vm = message_copy(&vm.base);
	return request && request->vm ? request : message_free(request);
}

static void *make_update(const struct desired_plan *plan)
{
	Croft__V1__UpdateVmRequest *request =
		message_new(&croft__v1__update_vm_request__descriptor);
	const Croft__V1__Vm vm = desired_vm_view(plan->vm);

	if (!request)
		return NULL;
	request->vm = message_copy(&vm.base);
	request->update_mask = make_mask(plan->steps[0].changes);
	return request->vm && request->update_mask ? request : message_free(request);
}

static void *make_pull(const struct desired_plan *plan)
{
	Croft__V1__PullImageRequest *request =
		message_new(&croft__v1__pull_image_request__descriptor);
	const Croft__V1__Image image = desired_image_view(plan->image);

	if (request)
		request->image = message_copy(&image.base);
	return request && request->image ? request : message_free(request);
}

static void *make_image_labels(const struct desired_plan *plan)
{
	Croft__V1__UpdateImageRequest *request =
		message_new(&croft__v1__update_image_request__descriptor);
	const Croft__V1__Image image = desired_image_view(plan->image);

	if (!request)
		return NULL;
	request->image = message_copy(&image.base);
	request->update_mask = make_mask(VM_CHANGED_LABELS);
	return request->image && request->update_mask ? request : message_free(request);
}

static void *make_node_labels(const struct desired_doc *doc)
{
	Croft__V1__UpdateNodeRequest *request =
		message_new(&croft__v1__update_node_request__descriptor);
	const Croft__V1__Node node = desired_node_view(doc->msg->spec);

	if (!request)
		return NULL;
	request->node = message_copy(&node.base);
	request->update_mask = make_mask(VM_CHANGED_LABELS);
	return request->node && request->update_mask ? request : message_free(request);
}

static void *make_cordon(void)
{
	Croft__V1__CordonNodeRequest *request =
		message_new(&croft__v1__cordon_node_request__descriptor);

	if (request)
		message_set_string(&request->reason, "the desired state says so");
	return request;
}

/* --- Steps --- */

static const struct {
	const char *kind; /* of the target: "vms/" */
	const char *verb;
	const char *method;
} steps[] = {
	{ "node", "label", "croft.v1.NodeService/UpdateNode" },
	{ "node", "cordon", "croft.v1.NodeService/CordonNode" },
	{ "node", "uncordon", "croft.v1.NodeService/UncordonNode" },
	{ "images/", "pull", "croft.v1.Images/PullImage" },
	{ "images/", "label", "croft.v1.Images/UpdateImage" },
	{ "images/", "delete", "croft.v1.Images/DeleteImage" },
	{ "vms/", "create", "croft.v1.Vms/CreateVm" },
	{ "vms/", "update", "croft.v1.Vms/UpdateVm" },
	{ "vms/", "start", "croft.v1.Vms/StartVm" },
	{ "vms/", "stop", "croft.v1.Vms/StopVm" },
	{ "vms/", "restart", "croft.v1.Vms/RestartVm" },
	{ "vms/", "delete", "croft.v1.Vms/DeleteVm" },
};

static const struct method *method_of(const struct desired_plan *plan)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (strncmp(plan->target, steps[i].kind, strlen(steps[i].kind)) == 0 &&
		    strcmp(plan->steps[0].verb, steps[i].verb) == 0)
			return service_method_find(steps[i].method);
	return NULL;
}

static void *make_request(const struct method *method, const struct desired_doc *doc,
			  const struct desired_plan *plan)
{
	if (method->request == &croft__v1__create_vm_request__descriptor)
		return make_create(plan);
	if (method->request == &croft__v1__update_vm_request__descriptor)
		return make_update(plan);
	if (method->request == &croft__v1__pull_image_request__descriptor)
		return make_pull(plan);
	if (method->request == &croft__v1__update_image_request__descriptor)
		return make_image_labels(plan);
	if (method->request == &croft__v1__update_node_request__descriptor)
		return make_node_labels(doc);
	if (method->request == &croft__v1__cordon_node_request__descriptor)
		return make_cordon();
	if (method->request == &croft__v1__uncordon_node_request__descriptor)
		return message_new(method->request);
	return make_named(method, plan->name);
}

struct call *desired_step_call(const struct desired_doc *doc, const struct desired_plan *plan)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->method = method_of(plan);
	assert(call->method);
	call->request = make_request(call->method, doc, plan);
	snprintf(call->who.actor, sizeof(call->who.actor), "%s", AUDIT_ACTOR_AGENT);
	call->who.roles = ROLE_ADMIN;
	return call->request ? call : call_free(call);
}
