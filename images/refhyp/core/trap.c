/* SPDX-License-Identifier: GPL-2.0-only */
/* Where traps end up: calls, faults, interrupts, and the boot that leads to the first return to EL1. */
#include "core/trap.h"

#include "core/arch.h"
#include "core/inject.h"
#include "core/object.h"
#include "core/platform.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "core/vrtc.h"

#define OWNER_SHIFT	  24
#define OWNER_MASK	  0x3fu
#define OWNER_HYPERVISOR  5u
#define STANDARD_UID	  0x8500ff01u
#define STANDARD_REVISION 0x8500ff03u
#define SVE_HINT	  (1u << 16)
#define HYPERCALL_MASK	  0xffffc000u
#define HYPERCALL_BITS	  0x3fffu

#define IRQS_AT_ONCE   8u
#define CSPACE_PRIMARY 2048u

static struct cap primary_caps[CSPACE_PRIMARY];

/* --- Boot --- */

static void map_primary(struct vm *vm)
{
	const unsigned int all = GH_RM_ACL_R | GH_RM_ACL_W | GH_RM_ACL_X;
	const struct platform_range *ram = &platform.primary_ram;

	if (arch_space_map(&vm->space, ram->base, ram->base, ram->size, all))
		arch_panic("no memory for the primary's stage 2");
	for (unsigned int i = 0; i < PLATFORM_DEVICES_MAX && platform.devices[i].size; i++) {
		const struct platform_range *r = &platform.devices[i];

		if (arch_space_map(&vm->space, r->base, r->base, r->size,
				   GH_RM_ACL_R | GH_RM_ACL_W | SPACE_DEVICE))
			arch_panic("no memory for the primary's stage 2");
	}
}

static void init_primary(struct vm *vm)
{
	vm->exists = true;
	vm->primary = true;
	vm->vmid = GH_VMID_PRIMARY;
	if (!arch_space_init(&vm->space, vm->vmid))
		arch_panic("no memory for the primary's stage 2");
	map_primary(vm);
	vgic_init(vm, platform.gicd, platform.gicr, GICR_SIZE);
	cap_init(&vm->cspace, primary_caps, CSPACE_PRIMARY);
	virq_init();
	doorbell_init();
	for (unsigned int i = 0; i < HYP_CPUS_MAX; i++) {
		vcpu_init(vm, i, true);
		hyp_cpus[i].host = &vm->vcpu[i];
		hyp_cpus[i].current = &vm->vcpu[i];
		hyp_cpus[i].timer_set = TIME_NEVER;
		vm->vcpu[i].cpu = (int)i;
	}
	msgq_init();
}

void trap_boot(void)
{
	struct vm *vm = hyp_primary();
	struct vcpu *v = &vm->vcpu[0];

	hyp_log("Croft reference hypervisor\n");
	pool_init();
	init_primary(vm);
	vm->vcpus = arch_start_cpus();
	hyp_log("%u CPUs, primary VM at %lx with %lu MiB\n", vm->vcpus, platform.primary_ram.base,
		platform.primary_ram.size >> 20);
	if (!rm_init(hyp_ptr(platform.dtb), platform.dtb_capacity))
		arch_panic("the resource manager found no place in the primary's device tree");
	hyp_clean(hyp_ptr(platform.dtb), platform.dtb_capacity);
	arch_vcpu_reset(v, platform.kernel, platform.dtb);
	v->run = RUN_ACTIVE;
	v->started = true;
	arch_vcpu_load(v);
	vgic_load(v);
}

void trap_boot_secondary(void)
{
	vcpu_idle(arch_cpu());
}

/* --- Calls --- */

static void standard_call(struct vcpu *v, uint32_t function)
{
	uint64_t *x = v->regs.x;

	switch (function) {
	case GH_SMCCC_UID:
	case STANDARD_UID:
		x[0] = GH_UID_0;
		x[1] = GH_UID_1;
		x[2] = GH_UID_2;
		x[3] = GH_UID_3;
		break;
	case GH_SMCCC_REVISION:
		hypercall(v, GH_CALL_IDENTIFY, 1);
		break;
	case STANDARD_REVISION:
		x[0] = 1;
		x[1] = 0;
		break;
	default:
		x[0] = (uint64_t)GH_ERROR_UNIMPLEMENTED;
	}
}

static void smccc(struct vcpu *v)
{
	uint32_t function = (uint32_t)v->regs.x[0] & ~SVE_HINT;

	if ((function & HYPERCALL_MASK) == GH_SMCCC_HYPERCALL(0))
		hypercall(v, function & HYPERCALL_BITS, 1);
	else if (!psci_call(v, function))
		standard_call(v, function);
}

void trap_hvc(unsigned int imm)
{
	struct vcpu *v = arch_cpu()->current;

	if (imm >= GH_HVC_BASE && imm <= GH_HVC_LAST)
		hypercall(v, imm - GH_HVC_BASE, 0);
	else
		trap_smc(imm);
}

void trap_smc(unsigned int imm)
{
	struct vcpu *v = arch_cpu()->current;

	if (!imm)
		smccc(v);
	else
		v->regs.x[0] = (uint64_t)GH_ERROR_UNIMPLEMENTED;
}

void trap_wfi(void)
{
	struct vcpu *v = arch_cpu()->current;

	if (!vcpu_is_primary(v))
		vcpu_wait(v, 0, GH_VCPU_WAKEUP_WFI);
}

/* --- Faults --- */

/* What the tables say now, since another CPU may have changed them between the fault and here. */
static bool mapped_now(struct vm *vm, ipa_t ipa)
{
	unsigned int kind;
	uint64_t left;
	bool found;
	pa_t pa;

	hyp_lock(&vm->stage_lock);
	found = !(ipa >> hyp_ipa_bits()) &&
		arch_space_translate(&vm->space, ipa, &pa, &kind, &left);
	hyp_unlock(&vm->stage_lock);
	return found;
}

static bool in_window(const struct vm *vm, const struct mmio_access *access)
{
	for (unsigned int i = 0; i < vm->window_count; i++) {
		const struct window *w = &vm->windows[i];

		if (access->ipa >= w->base && access->ipa - w->base <= w->size - access->size)
			return true;
	}
	return false;
}

static void forward(struct vcpu *v, const struct fault *fault)
{
	const struct mmio_access *a = &fault->access;
	struct run_result result = { GH_VCPU_ADDRSPACE_VMMIO_READ, { a->ipa, a->size, 0 } };

	if (a->write)
		result = (struct run_result){ GH_VCPU_ADDRSPACE_VMMIO_WRITE,
					      { a->ipa, a->size, a->value } };
	v->mmio = *a;
	v->mmio_va = fault->va;
	vcpu_exit(v, RUN_MMIO, result);
}

void trap_fault(const struct fault *fault)
{
	struct vcpu *v = arch_cpu()->current;
	uint64_t value;
	bool mine;

	if (fault->ipa_valid && fault->translation && fault->decoded) {
		if (vgic_access(v, &fault->access, &value, &mine) ||
		    (!mine && vrtc_access(v, &fault->access, &value, &mine))) {
			vcpu_mmio_done(v, &fault->access, value);
			return;
		}
		if (!mine && !vcpu_is_primary(v) && in_window(v->vm, &fault->access) &&
		    !mapped_now(v->vm, fault->ipa)) {
			forward(v, fault);
			return;
		}
	}
	/* A block that is being split, or memory that came meanwhile: try again. */
	if (fault->ipa_valid && fault->translation && mapped_now(v->vm, fault->ipa))
		return;
	arch_inject_abort(v, fault);
}

void trap_broken(void)
{
	struct vcpu *v = arch_cpu()->current;

	if (vcpu_is_primary(v))
		arch_panic("the primary VM is broken");
	vcpu_halt(v, RUN_FAULT, &(struct hyp_halt){ .type = GH_RM_EXIT_HYP_ERROR });
}

/* --- Interrupts --- */

void trap_irq(void)
{
	struct cpu *c = arch_cpu();
	uint32_t intid;

	/* Several at once are cheaper than a trap for each; but no source may keep the CPU here. */
	for (unsigned int n = 0; n < IRQS_AT_ONCE && (intid = arch_irq_take()) < INTID_END; n++) {
		switch (arch_irq_kind(intid)) {
		case ARCH_IRQ_VTIMER:
			vgic_fired(c->current, intid);
			continue;
		case ARCH_IRQ_SPI:
			vgic_fired(c->host, intid);
			continue;
		case ARCH_IRQ_HYP_TIMER:
			c->timer_set = TIME_NEVER;
			arch_timer_set(TIME_NEVER);
			vtimer_fired(c);
			break;
		case ARCH_IRQ_MAINTENANCE:
			__atomic_store_n(&c->current->refresh, 1, __ATOMIC_RELEASE);
			vgic_refresh(c->current);
			break;
		default:
			break;
		}
		arch_irq_deactivate(intid);
	}
}

void trap_sgi(uint64_t value, bool group1)
{
	vgic_sgi(arch_cpu()->current, value, group1);
}

void trap_dir(uint32_t intid)
{
	vgic_dir(arch_cpu()->current, intid);
}

struct emulated_timer trap_ptimer(void)
{
	return vtimer_get(arch_cpu()->current);
}

void trap_ptimer_set(struct emulated_timer timer)
{
	vtimer_set(arch_cpu()->current, timer);
}

/* --- The way back --- */

static bool flag(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

void trap_return(void)
{
	struct cpu *c = arch_cpu();

	/* Killed, or wanted back by its host. */
	if (c->current != c->host &&
	    (flag(&c->current->killed) || flag(&c->host->refresh) || c->rm_work))
		vcpu_exit(c->current, RUN_READY, (struct run_result){ GH_VCPU_READY, { 0 } });
	if (c->halted) {
		c->halted = false;
		rm_vm_halted(c->halted_vmid);
	}
	if (c->rm_work) {
		c->rm_work = false;
		rm_poll();
	}
	inject_poll();
	/* Once is enough: who asks again after this kicks this CPU as well. */
	if (flag(&c->current->refresh))
		vgic_refresh(c->current);
}
