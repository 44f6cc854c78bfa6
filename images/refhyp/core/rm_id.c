/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is who: identity, owner and peers of VMs (section 4.5).
 */
#include <string.h>

#include "core/rm.h"

#define TEXT_MAX 79u /* bytes of a name or URI */

/* A VM's names are known, and it is a peer, while its configuration is in force. */
static bool visible(const struct rm_vm *vm, uint16_t from)
{
	return rm_vm_sees(from, vm) && vm->configured &&
	       (vm->state == GH_RM_VM_STATE_READY || vm->state == GH_RM_VM_STATE_RUNNING ||
		vm->state == GH_RM_VM_STATE_PAUSED);
}

static bool put_id(struct rm_call *call, unsigned int type, const void *data, size_t size)
{
	static const uint8_t padding[3];
	struct gh_rm_vm_id id = { .type = (uint8_t)type, .size = (uint16_t)size };

	return rm_put(call, &id, sizeof(id)) && rm_put(call, data, size) &&
	       rm_put(call, padding, (4 - size % 4) % 4);
}

static bool put_text(struct rm_call *call, unsigned int type, const char *text)
{
	return put_id(call, type, text, strlen(text));
}

static void put_identity(struct rm_call *call, const struct rm_config *c)
{
	static const struct rm_config primary; /* no name, a GUID of zeros */
	uint32_t sign_auth = GH_RM_AUTH_NONE, count = 2;

	if (!c)
		c = &primary;
	if (c->image_name)
		count++;
	if (c->uri)
		count++;
	rm_put_u32(call, count);
	put_id(call, GH_RM_ID_GUID, c->guid, sizeof(c->guid));
	if (c->image_name)
		put_text(call, GH_RM_ID_NAME, c->image_name);
	if (c->uri)
		put_text(call, GH_RM_ID_URI, c->uri);
	put_id(call, GH_RM_ID_SIGN_AUTH, &sign_auth, sizeof(sign_auth));
}

enum gh_rm_error rm_get_id(struct rm_call *call)
{
	struct gh_rm_vmid request;
	struct rm_vm *vm;

	memcpy(&request, call->data, sizeof(request));
	vm = rm_vm_find(request.vmid);
	if (request.vmid == 0 || request.vmid == call->from) {
		vm = rm_vm_find(call->from);
		put_identity(call, vm ? &vm->config : NULL);
		return GH_RM_OK;
	}
	if (request.vmid == GH_VMID_PRIMARY) {
		put_identity(call, NULL);
		return GH_RM_OK;
	}
	if (!vm || !rm_vm_sees(call->from, vm))
		return GH_RM_ERROR_NORESOURCE;
	if (!visible(vm, call->from))
		return GH_RM_ERROR_VM_STATE;
	put_identity(call, &vm->config);
	return GH_RM_OK;
}

static bool same_text(const char *text, const uint8_t *wanted, size_t size)
{
	return text && strlen(text) == size && memcmp(text, wanted, size) == 0;
}

/* Lists the visible VMs that a question of the given type fits. */
static enum gh_rm_error lookup(struct rm_call *call, unsigned int type, const uint8_t *wanted,
			       size_t size)
{
	struct rm_vm *vm = NULL;
	uint32_t count = 0;

	rm_put_u32(call, 0);
	while ((vm = rm_vm_next(vm))) {
		const struct rm_config *c = &vm->config;
		bool fits;

		if (!visible(vm, call->from))
			continue;
		if (type == GH_RM_ID_GUID)
			fits = c->guid_text && memcmp(c->guid, wanted, sizeof(c->guid)) == 0;
		else
			fits = same_text(type == GH_RM_ID_URI ? c->uri : c->image_name, wanted,
					 size);
		if (fits && rm_put_u32(call, vm->vmid))
			count++;
	}
	memcpy(call->reply, &count, sizeof(count));
	return GH_RM_OK;
}

static enum gh_rm_error lookup_text(struct rm_call *call, unsigned int type)
{
	uint16_t size;

	memcpy(&size, call->data, sizeof(size));
	if (size > TEXT_MAX)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (call->size != 4 + (((size_t)size + 3) & ~(size_t)3))
		return GH_RM_ERROR_INVALID;
	for (size_t i = 4u + size; i < call->size; i++)
		if (call->data[i])
			return GH_RM_ERROR_INVALID;
	return lookup(call, type, call->data + 4, size);
}

enum gh_rm_error rm_lookup_uri(struct rm_call *call)
{
	return lookup_text(call, GH_RM_ID_URI);
}

enum gh_rm_error rm_lookup_name(struct rm_call *call)
{
	return lookup_text(call, GH_RM_ID_NAME);
}

enum gh_rm_error rm_lookup_guid(struct rm_call *call)
{
	return lookup(call, GH_RM_ID_GUID, call->data, call->size);
}

/* The primary VM belongs to the resource manager. */
enum gh_rm_error rm_get_owner(struct rm_call *call)
{
	const struct rm_vm *vm = rm_vm_find(call->from);

	rm_put_u32(call, vm ? vm->owner : GH_VMID_RM);
	return GH_RM_OK;
}

enum gh_rm_error rm_get_vmid(struct rm_call *call)
{
	rm_put_u32(call, call->from);
	return GH_RM_OK;
}

enum gh_rm_error rm_get_peers(struct rm_call *call)
{
	const struct rm_vm *self = rm_vm_find(call->from);
	struct rm_vm *vm = NULL;
	uint32_t count = 0;

	rm_put_u32(call, 0);
	if (self && rm_put_u32(call, self->owner))
		count++;
	while ((vm = rm_vm_next(vm)))
		if (visible(vm, call->from) && rm_put_u32(call, vm->vmid))
			count++;
	memcpy(call->reply, &count, sizeof(count));
	return GH_RM_OK;
}

enum gh_rm_error rm_host_get_type(struct rm_call *call)
{
	rm_put_u32(call, GH_RM_HOST_TYPE);
	return GH_RM_OK;
}
