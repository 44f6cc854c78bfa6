/* SPDX-License-Identifier: GPL-2.0-only */
/* VMs: made, given memory and windows, and taken apart again. */
#include "core/arch.h"
#include "core/object.h"
#include "core/platform.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vrtc.h"

#define IPA_BITS	 36u
#define CSPACE_SECONDARY 160u /* two for each vdevice, and the link */
#define ALIGN_GIC	 0xffffull

struct vm hyp_vms[HYP_VMS_MAX + 1];
struct cpu hyp_cpus[HYP_CPUS_MAX];
static hyp_spinlock_t vms_lock;
static struct cap vm_caps[HYP_VMS_MAX][CSPACE_SECONDARY];

struct vm *hyp_primary(void)
{
	return &hyp_vms[0];
}

uint16_t hyp_vm_id(const struct vm *vm)
{
	return vm->vmid;
}

unsigned int hyp_ipa_bits(void)
{
	return IPA_BITS;
}

unsigned int hyp_cpu_count(void)
{
	return hyp_primary()->vcpus;
}

bool hyp_is_primary_ram(pa_t pa, uint64_t size)
{
	const struct platform_range *ram = &platform.primary_ram;

	return pa >= ram->base && pa - ram->base <= ram->size &&
	       size <= ram->size - (pa - ram->base);
}

void *hyp_ptr(pa_t pa)
{
	return arch_ptr(pa);
}

void hyp_clean(const void *p, size_t size)
{
	arch_clean(p, size);
}

/* --- Stage 2 --- */

static bool range_ok(ipa_t ipa, uint64_t size)
{
	uint64_t end = 1ull << IPA_BITS;

	return size && !((ipa | size) & (HYP_PAGE - 1)) && ipa < end && size <= end - ipa;
}

static bool overlap(ipa_t a, uint64_t a_size, ipa_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* Whether the range touches registers that are emulated here. */
static bool touches_device(const struct vm *vm, ipa_t ipa, uint64_t size)
{
	const struct vgic *gic = &vm->gic;

	return (vm->rtc.exists && overlap(ipa, size, vm->rtc.base, HYP_PAGE)) ||
	       (gic->stride && (overlap(ipa, size, gic->gicd, GICD_SIZE) ||
				overlap(ipa, size, gic->gicr, gic->stride * vm->vcpus)));
}

enum gh_error hyp_vm_map(struct vm *vm, ipa_t ipa, pa_t pa, uint64_t size, unsigned int rights)
{
	enum gh_error error;

	if (!range_ok(ipa, size) || pa & (HYP_PAGE - 1) || !hyp_is_primary_ram(pa, size) ||
	    rights & ~7u)
		return GH_ERROR_ARG_INVALID;
	hyp_lock(&vm->stage_lock);
	if (touches_device(vm, ipa, size))
		error = GH_ERROR_EXISTING_MAPPING;
	else
		error = arch_space_map(&vm->space, ipa, pa, size, rights);
	hyp_unlock(&vm->stage_lock);
	return error;
}

enum gh_error hyp_vm_unmap(struct vm *vm, ipa_t ipa, uint64_t size)
{
	enum gh_error error;

	if (!range_ok(ipa, size))
		return GH_ERROR_ARG_INVALID;
	hyp_lock(&vm->stage_lock);
	error = arch_space_unmap(&vm->space, ipa, size);
	hyp_unlock(&vm->stage_lock);
	return error;
}

bool hyp_vm_translate(struct vm *vm, ipa_t ipa, pa_t *pa, unsigned int *rights, uint64_t *left)
{
	unsigned int kind = 0;
	bool found;

	if (!range_ok(ipa & ~(ipa_t)(HYP_PAGE - 1), HYP_PAGE))
		return false;
	hyp_lock(&vm->stage_lock);
	found = arch_space_translate(&vm->space, ipa, pa, &kind, left);
	hyp_unlock(&vm->stage_lock);
	if (!found || kind & SPACE_DEVICE)
		return false;
	*rights = kind;
	return true;
}

enum gh_error hyp_vm_add_vmmio(struct vm *vm, ipa_t base, uint64_t size)
{
	enum gh_error error = GH_ERROR_OK;

	if (!range_ok(base, size))
		return GH_ERROR_ARG_INVALID;
	hyp_lock(&vm->stage_lock);
	if (vm->window_count == VM_WINDOWS_MAX)
		error = GH_ERROR_NORESOURCES;
	else
		vm->windows[vm->window_count++] = (struct window){ base, size };
	hyp_unlock(&vm->stage_lock);
	return error;
}

enum gh_error hyp_vm_add_rtc(struct vm *vm, ipa_t base)
{
	enum gh_error error = GH_ERROR_OK;

	if (!range_ok(base, HYP_PAGE))
		return GH_ERROR_ARG_INVALID;
	hyp_lock(&vm->stage_lock);
	if (vm->rtc.exists)
		error = GH_ERROR_OBJECT_CONFIGURED;
	else if (touches_device(vm, base, HYP_PAGE))
		error = GH_ERROR_EXISTING_MAPPING;
	else
		vm->rtc = (struct vrtc){ .exists = true, .base = base };
	hyp_unlock(&vm->stage_lock);
	return error;
}

/* --- Life --- */

struct vm *hyp_vm_create(uint16_t vmid)
{
	struct vm *vm = NULL;

	hyp_lock(&vms_lock);
	for (unsigned int i = 1; i <= HYP_VMS_MAX && !vm; i++)
		if (!hyp_vms[i].exists)
			vm = &hyp_vms[i];
	if (vm)
		vm->exists = true;
	hyp_unlock(&vms_lock);
	if (!vm)
		return NULL;
	vm->vmid = vmid;
	vm->vcpus = 0;
	vm->halted = false;
	vm->by_itself = false;
	vm->window_count = 0;
	cap_init(&vm->cspace, vm_caps[vm - hyp_vms - 1], CSPACE_SECONDARY);
	vm->to_rm = vm->from_rm = NULL;
	vgic_init(vm, 0, 0, 0);
	vrtc_init(vm);
	if (arch_space_init(&vm->space, vmid))
		return vm;
	vm->exists = false;
	return NULL;
}

void hyp_vm_destroy(struct vm *vm)
{
	struct cspace *host = &hyp_primary()->cspace;

	if (!vm || vm->primary)
		return;
	msgq_remove_link(vm);
	for (unsigned int i = 0; i < vm->vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		cap_revoke(host, v->cap);
		hyp_lock(&vm->lock);
		v->cap = GH_CAPID_INVALID;
		vtimer_cancel(v);
		hyp_unlock(&vm->lock);
		virq_free(v->wake_virq);
	}
	hyp_lock(&vm->stage_lock);
	arch_space_free(&vm->space);
	hyp_unlock(&vm->stage_lock);
	vm->vcpus = 0;
	hyp_lock(&vms_lock);
	vm->exists = false;
	hyp_unlock(&vms_lock);
}

enum gh_error hyp_vm_set_gic(struct vm *vm, ipa_t gicd, ipa_t gicr, uint64_t stride)
{
	enum gh_error error = GH_ERROR_OK;

	if ((gicd | gicr | stride) & ALIGN_GIC || stride < GICR_SIZE || stride > 1ull << 32 ||
	    !range_ok(gicd, GICD_SIZE) || !range_ok(gicr, GICR_SIZE) ||
	    overlap(gicd, GICD_SIZE, gicr, GICR_SIZE))
		return GH_ERROR_ARG_INVALID;
	hyp_lock(&vm->lock);
	if (vm->gic.stride)
		error = GH_ERROR_OBJECT_CONFIGURED;
	else
		vgic_init(vm, gicd, gicr, stride);
	hyp_unlock(&vm->lock);
	return error;
}

enum gh_error hyp_vm_add_vcpu(struct vm *vm, unsigned int index, bool psci, uint64_t *cap,
			      uint32_t *virq)
{
	const uint32_t rights = GH_RIGHT_VCPU_AFFINITY | GH_RIGHT_VCPU_YIELD_TO;
	struct vcpu *v;
	uint32_t intid;
	uint64_t id;

	if (index != vm->vcpus || index >= HYP_CPUS_MAX)
		return GH_ERROR_NORESOURCES;
	v = &vm->vcpu[index];
	intid = virq_alloc();
	if (!intid)
		return GH_ERROR_NORESOURCES;
	vcpu_init(vm, index, psci);
	id = cap_add(&hyp_primary()->cspace, OBJECT_VCPU, v, rights);
	if (id == GH_CAPID_INVALID) {
		virq_free(intid);
		return GH_ERROR_NORESOURCES;
	}
	hyp_lock(&vm->lock);
	v->cap = id;
	v->wake_virq = (uint16_t)intid;
	vm->vcpus++;
	hyp_unlock(&vm->lock);
	*cap = id;
	*virq = intid;
	return GH_ERROR_OK;
}
