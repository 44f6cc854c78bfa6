/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of VMs, their states (section 5.1), and the messages that drive or ask them (section
 * 4.5).
 */
#include <string.h>

#include "core/rm.h"
#include "core/rm_rpc.h"

#define PLATFORM_VMIDS 0xfffffff0u /* those below 32 that may be asked for by number */

/* Codes of VM_EXIT. */
#define EXIT_CODE_UNKNOWN 2
#define EXIT_CODE_LAST	  4

static struct rm_vm vms[HYP_VMS_MAX];

void rm_vm_reset_all(void)
{
	memset(vms, 0, sizeof(vms));
}

struct rm_vm *rm_vm_next(const struct rm_vm *vm)
{
	for (size_t i = vm ? (size_t)(vm - vms) + 1 : 0; i < HYP_VMS_MAX; i++)
		if (vms[i].vmid)
			return &vms[i];
	return NULL;
}

struct rm_vm *rm_vm_find(uint16_t vmid)
{
	struct rm_vm *vm = NULL;

	while (vmid && (vm = rm_vm_next(vm)))
		if (vm->vmid == vmid)
			return vm;
	return NULL;
}

/* --- States --- */

#define FROM(state) (1u << (GH_RM_VM_##state))

/* For each state, those from which it may be entered. */
static const uint32_t predecessors[] = {
	[GH_RM_VM_NONE] = FROM(STATE_RESET) | FROM(STATE_LOAD),
	[GH_RM_VM_STATE_LOAD] = FROM(NONE),
	[GH_RM_VM_STATE_INIT] = FROM(STATE_LOAD) | FROM(STATE_AUTH) | FROM(STATE_RESET),
	[GH_RM_VM_STATE_AUTH] = FROM(STATE_LOAD) | FROM(STATE_RESET),
	[GH_RM_VM_STATE_READY] = FROM(STATE_INIT),
	[GH_RM_VM_STATE_RUNNING] = FROM(STATE_READY) | FROM(STATE_PAUSED),
	[GH_RM_VM_STATE_PAUSED] = FROM(STATE_RUNNING),
	[GH_RM_VM_STATE_INIT_FAILED] = FROM(STATE_LOAD) | FROM(STATE_AUTH) | FROM(STATE_INIT) |
				       FROM(STATE_READY) | FROM(STATE_RESET),
	[GH_RM_VM_STATE_EXITED] = FROM(STATE_RUNNING) | FROM(STATE_PAUSED),
	[GH_RM_VM_STATE_RESETTING] = FROM(STATE_EXITED) | FROM(STATE_READY) |
				     FROM(STATE_INIT_FAILED),
	[GH_RM_VM_STATE_RESET] = FROM(STATE_RESETTING),
};

bool rm_vm_may_enter(const struct rm_vm *vm, enum gh_rm_vm_state state)
{
	return predecessors[state] >> vm->state & 1;
}

void rm_vm_enter(struct rm_vm *vm, enum gh_rm_vm_state state)
{
	struct gh_rm_vm_status status = { .vmid = vm->vmid, .vm_state = (uint8_t)state };

	struct rm_vm *peer = NULL;

	vm->state = (uint8_t)state;
	rm_notify(vm->owner, GH_RM_NOTIFY_VM_STATUS, &status, sizeof(status));
	while ((peer = rm_vm_next(peer)))
		if (peer->state == GH_RM_VM_STATE_RUNNING && rm_vdev_are_peers(peer, vm))
			rm_notify(peer->vmid, GH_RM_NOTIFY_VM_STATUS, &status, sizeof(status));
}

/* Owners, and peers, see a VM. */
bool rm_vm_sees(uint16_t from, const struct rm_vm *vm)
{
	const struct rm_vm *peer = rm_vm_find(from);

	return vm->owner == from || (peer && rm_vdev_are_peers(peer, vm));
}

static void notify_exited(const struct rm_vm *vm, const struct hyp_halt *halt)
{
	/* Flags and code; of SYSTEM_RESET2 also its type and cookie. */
	uint32_t reason[4] = { 0 };
	uint8_t payload[sizeof(struct gh_rm_vm_exited) + sizeof(reason)];
	struct gh_rm_vm_exited exited = {
		.vmid = vm->vmid,
		.exit_type = (uint16_t)halt->type,
		.reason_size = sizeof(reason[0]),
	};

	if (halt->type == GH_RM_EXIT_VM_EXIT) {
		reason[0] = halt->reset_type; /* what the guest says */
	} else if (halt->type == GH_RM_EXIT_PSCI_SYSTEM_RESET2) {
		exited.reason_size = sizeof(reason);
		reason[0] = halt->smc64 ? GH_RM_EXIT_REASON_SMC64 : 0;
		reason[1] = halt->reset_type;
		reason[2] = (uint32_t)halt->reset_cookie;
		reason[3] = (uint32_t)(halt->reset_cookie >> 32);
	}
	memcpy(payload, &exited, sizeof(exited));
	memcpy(payload + sizeof(exited), reason, sizeof(reason));
	rm_notify(vm->owner, GH_RM_NOTIFY_VM_EXITED, payload, sizeof(exited) + exited.reason_size);
}

static void vm_exit(struct rm_vm *vm, const struct hyp_halt *halt)
{
	hyp_vm_kill(vm->hyp);
	rm_vm_enter(vm, GH_RM_VM_STATE_EXITED);
	notify_exited(vm, halt);
}

void rm_vm_died(uint16_t vmid)
{
	struct rm_vm *vm = rm_vm_find(vmid);
	struct hyp_halt halt;

	/* It may have been stopped or reset by force in the meantime, and the VMID be another VM's. */
	if (vm && vm->hyp && rm_vm_may_enter(vm, GH_RM_VM_STATE_EXITED) &&
	    hyp_vm_halted(vm->hyp, &halt))
		vm_exit(vm, &halt);
}

/* --- ALLOCATE, DEALLOCATE --- */

static uint16_t free_vmid(void)
{
	for (uint16_t vmid = GH_VMID_DYNAMIC_FIRST; vmid < GH_VMID_DYNAMIC_END; vmid++)
		if (!rm_vm_find(vmid))
			return vmid;
	return 0;
}

static bool may_ask_for(uint16_t vmid)
{
	return vmid < 32 && (PLATFORM_VMIDS >> vmid & 1) && !rm_vm_find(vmid);
}

enum gh_rm_error rm_vm_allocate(struct rm_call *call)
{
	struct gh_rm_vmid request;
	uint16_t vmid;

	memcpy(&request, call->data, sizeof(request));
	if (call->from != GH_VMID_PRIMARY)
		return GH_RM_ERROR_DENIED;
	if (request.vmid && !may_ask_for(request.vmid))
		return GH_RM_ERROR_NORESOURCE;
	vmid = request.vmid ? request.vmid : free_vmid();
	for (size_t i = 0; vmid && i < HYP_VMS_MAX; i++) {
		struct rm_vm *vm = &vms[i];

		if (vm->vmid)
			continue;
		memset(vm, 0, offsetof(struct rm_vm, tree));
		vm->vmid = vmid;
		vm->owner = call->from;
		vm->state = GH_RM_VM_STATE_LOAD;
		if (!request.vmid)
			rm_put_u32(call, vmid);
		return GH_RM_OK;
	}
	return GH_RM_ERROR_NORESOURCE;
}

enum gh_rm_error rm_vm_deallocate(struct rm_call *call)
{
	struct rm_vm *vm = call->vm;

	if (!rm_vm_may_enter(vm, GH_RM_VM_NONE))
		return GH_RM_ERROR_VM_STATE;
	memparcel_forget(vm->vmid);
	vm->vmid = 0;
	vm->state = GH_RM_VM_NONE;
	return GH_RM_OK;
}

/* --- CONFIG_IMAGE, AUTH_IMAGE --- */

static bool inside(uint64_t offset, uint64_t size, uint64_t whole)
{
	return offset <= whole && size <= whole - offset;
}

static enum gh_rm_error config_image(struct rm_vm *vm, const struct gh_rm_vm_config_image *request)
{
	struct memparcel *p = memparcel_find(request->mem_handle);

	if (!p || p->state != MEMPARCEL_COMPLETE || !memparcel_access(p, vm->vmid))
		return GH_RM_ERROR_MEM_INVALID;
	if (!inside(request->image_offset, request->image_size, p->size) ||
	    !inside(request->dtb_offset, request->dtb_size, p->size))
		return GH_RM_ERROR_ARGUMENT_INVALID;
	/* Nothing here could start a protected VM's firmware. */
	if (request->auth != GH_RM_AUTH_NONE && request->auth != GH_RM_AUTH_PLATFORM)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	vm->image = p->handle;
	vm->image_offset = request->image_offset;
	vm->dtb_offset = request->dtb_offset;
	vm->dtb_size = request->dtb_size;
	memset(&vm->context, 0, sizeof(vm->context));
	return GH_RM_OK;
}

enum gh_rm_error rm_vm_config_image(struct rm_call *call)
{
	struct gh_rm_vm_config_image request;
	enum gh_rm_error err;

	memcpy(&request, call->data, sizeof(request));
	if (call->vm->state != GH_RM_VM_STATE_LOAD && call->vm->state != GH_RM_VM_STATE_RESET)
		return GH_RM_ERROR_VM_STATE;
	err = config_image(call->vm, &request);
	if (err)
		rm_vm_enter(call->vm, GH_RM_VM_STATE_INIT_FAILED);
	else
		rm_vm_enter(call->vm, request.auth == GH_RM_AUTH_PLATFORM ? GH_RM_VM_STATE_AUTH
									  : GH_RM_VM_STATE_INIT);
	return err;
}

/*
 * There is no platform firmware on the board that could vouch for an image, so none is authentic.
 */
enum gh_rm_error rm_vm_auth_image(struct rm_call *call)
{
	struct gh_rm_vm_auth_image request;

	memcpy(&request, call->data, sizeof(request));
	if (call->size != sizeof(request) + request.count * sizeof(request.entry[0]))
		return GH_RM_ERROR_INVALID;
	if (call->vm->state != GH_RM_VM_STATE_AUTH)
		return GH_RM_ERROR_VM_STATE;
	rm_vm_enter(call->vm, GH_RM_VM_STATE_INIT_FAILED);
	return GH_RM_ERROR_DENIED;
}

/* --- STOP, RESET --- */

enum gh_rm_error rm_vm_stop(struct rm_call *call)
{
	static const struct hyp_halt forced = { .type = GH_RM_EXIT_FORCE_STOPPED };
	struct rm_vm *vm = call->vm;
	struct gh_rm_vm_stop request;

	memcpy(&request, call->data, sizeof(request));
	if (!rm_vm_may_enter(vm, GH_RM_VM_STATE_EXITED) || vm->config.no_shutdown)
		return GH_RM_ERROR_VM_STATE;
	if (request.flags & GH_RM_VM_STOP_FORCE) {
		vm_exit(vm, &forced);
		return GH_RM_OK;
	}
	/* Only a guest with a link to us can be asked; upstream's manager dies here. */
	if (!rm_rpc_has(vm->vmid))
		return GH_RM_ERROR_NORESOURCE;
	rm_notify(vm->vmid, GH_RM_NOTIFY_VM_SHUTDOWN, &request.reason, sizeof(request.reason));
	return GH_RM_OK;
}

static void reset_rest(struct rm_vm *vm)
{
	rm_vm_release(vm);
	rm_vm_enter(vm, GH_RM_VM_STATE_RESET);
}

enum gh_rm_error rm_vm_reset(struct rm_call *call)
{
	if (call->vm->configured && call->vm->config.no_reset)
		return GH_RM_ERROR_DENIED;
	if (!rm_vm_may_enter(call->vm, GH_RM_VM_STATE_RESETTING))
		return GH_RM_ERROR_VM_STATE;
	rm_vm_enter(call->vm, GH_RM_VM_STATE_RESETTING);
	call->after = reset_rest;
	return GH_RM_OK;
}

/* --- Questions and settings --- */

enum gh_rm_error rm_vm_get_state(struct rm_call *call)
{
	struct gh_rm_vmid request;
	struct rm_vm *vm;

	memcpy(&request, call->data, sizeof(request));
	vm = rm_vm_find(request.vmid);
	/* Who asks runs, and so does the primary. */
	if (request.vmid == 0 || request.vmid == call->from || request.vmid == GH_VMID_PRIMARY)
		rm_put_u32(call, GH_RM_VM_STATE_RUNNING);
	else if (request.vmid == GH_VMID_RM || (vm && !rm_vm_sees(call->from, vm)))
		return GH_RM_ERROR_DENIED;
	else if (vm)
		rm_put_u32(call, vm->state);
	else
		return GH_RM_ERROR_NORESOURCE;
	return GH_RM_OK;
}

enum gh_rm_error rm_vm_get_crash_msg(struct rm_call *call)
{
	static const uint8_t padding[3];
	const struct rm_vm *vm = call->vm;

	rm_put_u32(call, vm->crash_size);
	rm_put(call, vm->crash, vm->crash_size);
	rm_put(call, padding, (4 - vm->crash_size % 4u) % 4u);
	return GH_RM_OK;
}

enum gh_rm_error rm_vm_set_context(struct rm_call *call)
{
	struct rm_context *c = &call->vm->context;
	struct gh_rm_vm_set_context request;

	memcpy(&request, call->data, sizeof(request));
	if (call->vm->state != GH_RM_VM_STATE_INIT && call->vm->state != GH_RM_VM_STATE_READY)
		return GH_RM_ERROR_VM_STATE;
	if (request.reserved)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (request.set == GH_RM_CONTEXT_X && request.index < 31) {
		c->x[request.index] = request.value;
		c->x_set |= 1u << request.index;
	} else if (request.set == GH_RM_CONTEXT_PC && request.index == 0 &&
		   request.value % 4 == 0) {
		c->pc = request.value;
		c->pc_set = true;
	} else if (request.set == GH_RM_CONTEXT_SP && request.index < 2) {
		c->sp[request.index] = request.value;
		c->sp_set |= (uint8_t)(1u << request.index);
	} else {
		return GH_RM_ERROR_ARGUMENT_INVALID;
	}
	return GH_RM_OK;
}

/* What the owner, a peer or the VM itself may ask for; state_mask tells when. The primary runs. */
static enum gh_rm_error may_set(const struct rm_call *call, uint32_t state_mask)
{
	struct gh_rm_vmid target;
	const struct rm_vm *vm;

	memcpy(&target, call->data, sizeof(target));
	if (!target.vmid || target.vmid == call->from)
		return GH_RM_ERROR_VM_STATE;
	vm = rm_vm_find(target.vmid);
	if (!vm)
		return GH_RM_ERROR_NORESOURCE;
	if (vm->owner != call->from)
		return GH_RM_ERROR_DENIED;
	return state_mask >> vm->state & 1 ? GH_RM_OK : GH_RM_ERROR_VM_STATE;
}

/* Before VM_INIT there is no clock yet. */
enum gh_rm_error rm_vm_set_time_base(struct rm_call *call)
{
	enum gh_rm_error err = may_set(call, FROM(STATE_INIT) | FROM(STATE_READY));
	struct gh_rm_vm_set_time_base request;
	enum gh_error error = GH_ERROR_ARG_INVALID;

	memcpy(&request, call->data, sizeof(request));
	if (!err) {
		struct vm *vm = rm_vm_find(request.vmid)->hyp;

		error = vm ? hyp_vm_set_time(vm, request.time_base, request.timer)
			   : GH_ERROR_DENIED;
		err = error ? GH_RM_ERROR_ARGUMENT_INVALID : GH_RM_OK;
	}
	call->long_error = err;
	if (err)
		rm_put_u32(call, (uint32_t)error);
	return err;
}

/* Firmware is for protected VMs, which CONFIG_IMAGE refuses. */
enum gh_rm_error rm_vm_set_firmware_mem(struct rm_call *call)
{
	struct gh_rm_vm_set_firmware_mem request;
	enum gh_rm_error err;

	memcpy(&request, call->data, sizeof(request));
	err = request.reserved ? GH_RM_ERROR_INVALID : may_set(call, FROM(STATE_INIT));
	call->long_error = true;
	rm_put_u32(call, GH_ERROR_ARG_INVALID);
	return err ? err : GH_RM_ERROR_ARGUMENT_INVALID;
}

/* --- Calls of a VM about itself --- */

enum gh_rm_error rm_vm_exit(struct rm_call *call)
{
	uint8_t code = call->data[2], reserved = call->data[3];
	struct rm_vm *vm = rm_vm_find(call->from);
	struct hyp_halt halt = { .type = GH_RM_EXIT_VM_EXIT };
	uint16_t flags;

	memcpy(&flags, call->data, sizeof(flags));
	if (reserved || code == EXIT_CODE_UNKNOWN || code > EXIT_CODE_LAST)
		return GH_RM_ERROR_INVALID;
	/* The primary would end itself. */
	if (!vm)
		return GH_RM_ERROR_DENIED;
	if (!rm_vm_may_enter(vm, GH_RM_VM_STATE_EXITED))
		return GH_RM_ERROR_VM_STATE;
	halt.reset_type = flags | (uint32_t)code << 16;
	vm_exit(vm, &halt);
	return GH_RM_OK;
}

/* For the owner to read. Nobody can read the primary's: it is well formed, and forgotten. */
enum gh_rm_error rm_vm_set_crash_msg(struct rm_call *call)
{
	struct rm_vm *vm = rm_vm_find(call->from);
	uint16_t size;

	memcpy(&size, call->data, sizeof(size));
	if (call->size != 4 + (((size_t)size + 3) & ~(size_t)3))
		return GH_RM_ERROR_INVALID;
	for (size_t i = 4u + size; i < call->size; i++)
		if (call->data[i])
			return GH_RM_ERROR_INVALID;
	if (vm) {
		vm->crash_size = size < RM_CRASH_MAX ? size : RM_CRASH_MAX;
		memcpy(vm->crash, call->data + 4, vm->crash_size);
	}
	return GH_RM_OK;
}

static bool put_resource(struct rm_call *call, const struct gh_rm_hyp_resource *model, uint64_t cap)
{
	struct gh_rm_hyp_resource r = *model;

	r.capid_low = (uint32_t)cap;
	r.capid_high = (uint32_t)(cap >> 32);
	return rm_put(call, &r, sizeof(r));
}

enum gh_rm_error rm_vm_get_hyp_resources(struct rm_call *call)
{
	struct gh_rm_vmid target;
	const struct rm_vm *vm;
	uint32_t count = 0;
	bool room;

	memcpy(&target, call->data, sizeof(target));
	if (target.vmid == call->from) {
		rm_put_u32(call,
			   0); /* the primary has but its link, and a guest's are in its tree */
		return GH_RM_OK;
	}
	vm = rm_vm_find(target.vmid);
	if (!vm)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (vm->owner != call->from)
		return GH_RM_ERROR_DENIED;
	if (vm->state == GH_RM_VM_STATE_LOAD || vm->state == GH_RM_VM_STATE_RESET)
		return GH_RM_ERROR_NORESOURCE;
	room = rm_put_u32(call, 0);
	for (unsigned int i = 0; room && i < vm->vcpus; i++, count++)
		room = put_resource(call,
				    &(struct gh_rm_hyp_resource){
					    .type = GH_RM_RES_VCPU,
					    .label = i,
					    .virq = vm->vcpu[i].virq,
				    },
				    vm->vcpu[i].cap);
	room = room && rm_vdev_put_resources(call, vm, &count);
	memcpy(call->reply, &count, sizeof(count));
	return room ? GH_RM_OK : GH_RM_ERROR_NORESOURCE;
}
