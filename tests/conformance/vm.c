// SPDX-License-Identifier: GPL-2.0-only
/* The steps of a VM's life, up to a wanted state, and from any state down to nothing. */
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/irqdomain.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "vm.h"

const struct vm_spec vm_plain = { .tree = { .cpus = 1, .bells = 1 } };
const struct vm_spec vm_two = { .tree = { .cpus = 2, .bells = 1 } };

u32 vm_allocate(struct vm *vm, const struct vm_spec *spec)
{
	struct gh_rm_vmid request = { .vmid = 0 };
	const struct reply *r;
	u32 error;

	memset(vm, 0, sizeof(*vm));
	vm->spec = spec;
	vm->notice_from = notices();
	vm->page = alloc_pages(GFP_KERNEL | __GFP_ZERO, VM_ORDER);
	if (!vm->page)
		return GH_RM_ERROR_NOMEM;
	vm->memory = page_address(vm->page);
	if (spec->payload)
		memcpy(vm->memory, spec->payload, spec->payload_size);
	else
		memcpy(vm->memory, servant_start, servant_end - servant_start);
	tree_build(vm->memory + VM_TREE, VM_TREE_SIZE, &spec->tree);
	error = rm_call(GH_RM_VM_ALLOCATE, &request, sizeof(request), &r);
	if (!error && r->size >= 2)
		vm->vmid = get16(r->data);
	return error;
}

u32 vm_give(struct vm *vm)
{
	struct {
		struct gh_rm_mem_share head;
		struct gh_rm_list acl_head;
		struct gh_rm_acl acl[2];
	} __packed front = {
		.head.label = cpu_to_le32(vm->spec->label),
		.acl_head.count = cpu_to_le16(vm->spec->share ? 2 : 1),
		.acl = { { .vmid = cpu_to_le16(vm->vmid), .rights = 7 },
			 { .vmid = cpu_to_le16(GH_VMID_PRIMARY), .rights = 7 } },
	};
	struct {
		struct gh_rm_list sgl_head;
		struct gh_rm_sgl sgl;
		struct gh_rm_list attr_head;
	} __packed back = {
		.sgl_head.count = cpu_to_le16(1),
		.sgl = { cpu_to_le64(page_to_phys(vm->page)), cpu_to_le64(VM_SIZE) },
	};
	size_t size = sizeof(front) - (vm->spec->share ? 0 : sizeof(front.acl[0]));
	u8 message[sizeof(front) + sizeof(back)];
	const struct reply *r;
	u32 error;

	memcpy(message, &front, size);
	memcpy(message + size, &back, sizeof(back));
	error = rm_call(vm->spec->share ? GH_RM_MEM_SHARE : GH_RM_MEM_LEND, message,
			size + sizeof(back), &r);
	if (!error && r->size >= 4) {
		vm->handle = get32(r->data);
		vm->given = true;
	}
	return error;
}

u32 vm_config(struct vm *vm, u16 auth)
{
	struct gh_rm_vm_config_image request = {
		.vmid = cpu_to_le16(vm->vmid),
		.auth = cpu_to_le16(auth),
		.mem_handle = cpu_to_le32(vm->handle),
		.dtb_offset = cpu_to_le64(VM_TREE),
		.dtb_size = cpu_to_le64(vm->spec->tree_room ?: VM_TREE_SIZE),
	};

	return rm_call(GH_RM_VM_CONFIG_IMAGE, &request, sizeof(request), NULL);
}

/* --- Resources --- */

static irqreturn_t count_irq(int irq, void *counter)
{
	atomic_inc(counter);
	return IRQ_HANDLED;
}

int intid_request(u32 intid, atomic_t *count)
{
	struct irq_fwspec fwspec = {
		.fwnode = rm.gic,
		.param_count = 3,
		.param = { 0, intid - 32, IRQ_TYPE_EDGE_RISING },
	};
	int irq = irq_create_fwspec_mapping(&fwspec);

	if (irq <= 0 || request_irq(irq, count_irq, IRQF_TRIGGER_RISING, "conformance", count))
		return 0;
	return irq;
}

void intid_free(int irq, atomic_t *count)
{
	free_irq(irq, count);
}

u64 cap_of(const struct gh_rm_hyp_resource *resource)
{
	return le32_to_cpu(resource->capid_low) | (u64)le32_to_cpu(resource->capid_high) << 32;
}

const struct gh_rm_hyp_resource *vm_resource(const struct vm *vm, u8 type, u32 label)
{
	unsigned int i;

	for (i = 0; i < vm->resource_count; i++)
		if (vm->resource[i].type == type && le32_to_cpu(vm->resource[i].label) == label)
			return &vm->resource[i];
	return NULL;
}

u64 vm_cap(const struct vm *vm, u8 type, u32 label)
{
	const struct gh_rm_hyp_resource *resource = vm_resource(vm, type, label);

	return resource ? cap_of(resource) : 0;
}

u32 vm_resources(struct vm *vm)
{
	struct gh_rm_vmid request = { .vmid = cpu_to_le16(vm->vmid) };
	static struct gh_rm_hyp_resource records[VM_RESOURCES];
	const struct gh_rm_hyp_resource *vcpu;
	const struct reply *r;
	unsigned int i;
	u32 error = rm_call(GH_RM_VM_GET_HYP_RESOURCES, &request, sizeof(request), &r);

	if (error)
		return error;
	if (r->size < 4 || r->size != 4 + get32(r->data) * sizeof(vm->resource[0]))
		return RM_SILENT;
	vm->resource_count = min_t(u32, get32(r->data), VM_RESOURCES);
	memcpy(records, r->data + 4, vm->resource_count * sizeof(records[0]));
	vm->resource = records;
	for (i = 0; i < VM_CPUS; i++) {
		vcpu = vm_resource(vm, GH_RM_RES_VCPU, i);
		if (!vcpu)
			continue;
		vm->cpu[i].cap = cap_of(vcpu);
		vm->cpu[i].intid = le32_to_cpu(vcpu->virq);
		if (!vm->cpu[i].irq)
			vm->cpu[i].irq = intid_request(vm->cpu[i].intid, &vm->cpu[i].wakes);
	}
	return GH_RM_OK;
}

/* --- Up and down --- */

static bool step(struct vm *vm, const char *what, u32 error)
{
	return !error || need(say("setting up: %s: %s", what, rm_name(error)), false);
}

bool vm_up(struct vm *vm, const struct vm_spec *spec, enum gh_rm_vm_state state)
{
	if (!step(vm, "VM_ALLOCATE", vm_allocate(vm, spec)))
		return false;
	if (state == GH_RM_VM_STATE_LOAD)
		return true;
	if (!step(vm, "giving memory", vm_give(vm)) ||
	    !step(vm, "VM_CONFIG_IMAGE", vm_config(vm, GH_RM_AUTH_NONE)))
		return false;
	if (state == GH_RM_VM_STATE_INIT)
		return true;
	if (!step(vm, "VM_INIT", rm_vm_call(GH_RM_VM_INIT, vm->vmid)) ||
	    !step(vm, "VM_GET_HYP_RESOURCES", vm_resources(vm)))
		return false;
	if (state == GH_RM_VM_STATE_READY)
		return true;
	return step(vm, "VM_START", rm_vm_call(GH_RM_VM_START, vm->vmid));
}

u32 vm_stop(struct vm *vm)
{
	struct gh_rm_vm_stop request = {
		.vmid = cpu_to_le16(vm->vmid),
		.flags = GH_RM_VM_STOP_FORCE,
		.reason = cpu_to_le32(GH_RM_VM_STOP_REASON),
	};

	return rm_call(GH_RM_VM_STOP, &request, sizeof(request), NULL);
}

u32 vm_reclaim(struct vm *vm)
{
	struct gh_rm_mem_handle request = { .handle = cpu_to_le32(vm->handle) };
	u32 error;

	if (!vm->given)
		return GH_RM_OK;
	error = rm_call(GH_RM_MEM_RECLAIM, &request, sizeof(request), NULL);
	vm->given = error;
	return error;
}

static void wait_reset(struct vm *vm)
{
	need("tearing down: status RESET",
	     await_state(vm->notice_from, vm->vmid, GH_RM_VM_STATE_RESET, WAIT_MS));
}

/* A state that can neither be reset nor deallocated has to go on first. */
static u32 leave_dead_end(struct vm *vm, u32 state)
{
	if (state == GH_RM_VM_STATE_INIT)
		rm_vm_call(GH_RM_VM_INIT, vm->vmid);
	if (state == GH_RM_VM_STATE_RUNNING)
		step(vm, "VM_STOP", vm_stop(vm));
	return rm_state(vm->vmid);
}

void vm_down(struct vm *vm)
{
	unsigned int i;
	u32 state = vm->vmid ? leave_dead_end(vm, rm_state(vm->vmid)) : GH_RM_VM_NONE;

	if (state == GH_RM_VM_STATE_EXITED || state == GH_RM_VM_STATE_READY ||
	    state == GH_RM_VM_STATE_INIT_FAILED) {
		step(vm, "VM_RESET", rm_vm_call(GH_RM_VM_RESET, vm->vmid));
		wait_reset(vm);
	} else if (state == GH_RM_VM_STATE_RESETTING) {
		wait_reset(vm);
	}
	step(vm, "MEM_RECLAIM", vm_reclaim(vm));
	if (vm->vmid)
		step(vm, "VM_DEALLOCATE", rm_vm_call(GH_RM_VM_DEALLOCATE, vm->vmid));
	for (i = 0; i < VM_CPUS; i++)
		if (vm->cpu[i].irq)
			intid_free(vm->cpu[i].irq, &vm->cpu[i].wakes);
	/* What was not given back is nobody's: never used again. */
	if (vm->page && !vm->given)
		__free_pages(vm->page, VM_ORDER);
	memset(vm, 0, sizeof(*vm));
}
