/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a secondary VM's vCPU: the host runs it with VCPU_RUN and is told why it came back. */
#include "core/vcpu.h"

#include "core/arch.h"
#include "core/inject.h"
#include "core/object.h"
#include "core/vgic.h"

static const struct run_result result_ready = { GH_VCPU_READY, { 0 } };
static const struct run_result result_dead = { GH_VCPU_POWERED_OFF,
					       { GH_VCPU_POWERED_OFF_EXITED } };

static bool killed(const struct vcpu *v)
{
	return __atomic_load_n(&v->killed, __ATOMIC_ACQUIRE);
}

static void report(uint64_t *out, struct run_result result)
{
	out[1] = result.state;
	for (unsigned int i = 0; i < 3; i++)
		out[2 + i] = result.data[i];
}

void vcpu_init(struct vm *vm, unsigned int index, bool psci)
{
	struct vcpu *v = &vm->vcpu[index];

	*v = (struct vcpu){
		.vm = vm,
		.index = (uint8_t)index,
		.psci = psci,
		.run = RUN_OFF,
		.cpu = CPU_NONE,
		.deadline = TIME_NEVER,
		.timer_cpu = CPU_NONE,
		.cap = GH_CAPID_INVALID,
	};
	arch_vcpu_reset(v, 0, 0);
	vgic_reset_vcpu(v);
	vtimer_init(v);
}

/* --- Switches --- */

static void enter(struct cpu *c, struct vcpu *v)
{
	vgic_unload(c->host);
	arch_vcpu_save(c->host);
	arch_vcpu_load(v);
	c->current = v;
	vgic_load(v);
	vtimer_program(c);
}

static void leave(struct cpu *c, struct vcpu *v)
{
	vgic_unload(v);
	arch_vcpu_save(v);
	arch_vcpu_load(c->host);
	c->current = c->host;
	vgic_load(c->host);
}

void vcpu_exit(struct vcpu *v, enum run_state next, struct run_result result)
{
	struct cpu *c = arch_cpu();
	uint64_t *out = c->host->regs.x;

	leave(c, v);
	hyp_lock(&v->vm->lock);
	if (killed(v) && next != RUN_RESET) {
		next = RUN_DEAD;
		result = result_dead;
	} else if (next == RUN_WAIT && vgic_pending(v)) {
		/* An interrupt came meanwhile, and its sender took the vCPU for running. */
		next = RUN_READY;
		result = result_ready;
	}
	v->run = next;
	v->cpu = CPU_NONE;
	if (next == RUN_WAIT)
		vtimer_wait(v);
	hyp_unlock(&v->vm->lock);
	out[0] = GH_ERROR_OK;
	report(out, result);
	inject_result(GH_CALL_VCPU_RUN, out);
	vtimer_program(c);
}

bool vcpu_has_interrupt(struct vcpu *v)
{
	bool pending;

	hyp_lock(&v->vm->lock);
	pending = vgic_pending(v);
	hyp_unlock(&v->vm->lock);
	/* Looking emptied the list registers. */
	__atomic_store_n(&v->refresh, 1, __ATOMIC_RELEASE);
	return pending;
}

void vcpu_wait(struct vcpu *v, uint64_t data, uint64_t source)
{
	if (vcpu_has_interrupt(v) || arch_vtimer_fires())
		return;
	v->wait_data = data;
	v->wait_source = source;
	vcpu_exit(v, RUN_WAIT, (struct run_result){ GH_VCPU_EXPECTS_WAKEUP, { data, source } });
}

static void tell_host(const struct vcpu *v)
{
	if (v->wake_virq)
		vgic_raise(hyp_primary(), v->wake_virq);
}

/* Under the VM's lock. When it runs, it stops soon. */
static void kill_one(struct vcpu *v)
{
	__atomic_store_n(&v->killed, 1, __ATOMIC_RELEASE);
	vtimer_cancel(v);
	if (v->run == RUN_ACTIVE)
		arch_kick((unsigned int)v->cpu);
	else
		tell_host(v);
}

void vcpu_halt(struct vcpu *v, enum run_state next, const struct hyp_halt *halt)
{
	struct vm *vm = v->vm;
	struct cpu *c = arch_cpu();
	struct run_result result = result_dead;
	bool first;

	if (next == RUN_FAULT) {
		result = (struct run_result){ GH_VCPU_FAULT, { 0 } };
	} else if (next == RUN_RESET) {
		uint64_t kind = halt->type == GH_RM_EXIT_PSCI_SYSTEM_RESET ? GH_VCPU_RESET_IS_RESET
									   : 0;

		result = (struct run_result){
			GH_VCPU_PSCI_SYSTEM_RESET,
			{ halt->reset_type | kind | (halt->smc64 ? GH_VCPU_RESET2_SMC64 : 0),
			  halt->reset_cookie },
		};
	}
	v->halt = *halt;
	hyp_lock(&vm->lock);
	/* A sibling or the host may have brought the VM down already; then that is the reason. */
	first = !vm->halted;
	vm->halted = true;
	if (first) {
		vm->by_itself = true;
		vm->halt = *halt;
	}
	for (unsigned int i = 0; i < vm->vcpus; i++)
		if (&vm->vcpu[i] != v)
			kill_one(&vm->vcpu[i]);
	hyp_unlock(&vm->lock);
	vcpu_exit(v, next, result);
	if (first) {
		c->halted = true;
		c->halted_vmid = vm->vmid;
	}
}

/* --- What the host asks for --- */

/* The answer to the access that the vCPU waits for. */
static enum gh_error resume_mmio(struct vcpu *v, const uint64_t *resume)
{
	if (resume[1] > GH_RESUME_FAULT)
		return GH_ERROR_ARG_INVALID;
	if (resume[1] == GH_RESUME_DEFAULT)
		vcpu_mmio_done(v, &v->mmio, resume[0]);
	else if (resume[1] == GH_RESUME_FAULT)
		v->inject_abort = true;
	return GH_ERROR_OK;
}

void vcpu_mmio_done(struct vcpu *v, const struct mmio_access *access, uint64_t value)
{
	unsigned int bits = access->size * 8u;

	v->regs.pc += access->pc_step;
	if (access->write || access->reg >= 31)
		return;
	if (bits < 64) {
		value &= (1ull << bits) - 1;
		if (access->sign_extend && value >> (bits - 1))
			value |= ~0ull << bits;
	}
	v->regs.x[access->reg] = access->wide ? value : (uint32_t)value;
}

/* Under the VM's lock: whether v may run now; else *result tells the host why not. */
static enum gh_error may_run(struct vcpu *v, const uint64_t *resume, struct run_result *result,
			     bool *run)
{
	enum gh_error error;

	*run = false;
	*result = result_dead;
	if (v->run == RUN_ACTIVE)
		return GH_ERROR_BUSY;
	if (killed(v) && v->run != RUN_RESET)
		v->run = RUN_DEAD;
	switch (v->run) {
	case RUN_OFF:
		*result = (struct run_result){ GH_VCPU_POWERED_OFF, { 0 } };
		return GH_ERROR_OK;
	case RUN_WAIT:
		*result = (struct run_result){ GH_VCPU_EXPECTS_WAKEUP,
					       { v->wait_data, v->wait_source } };
		return GH_ERROR_OK;
	case RUN_FAULT:
		*result = (struct run_result){ GH_VCPU_FAULT, { 0 } };
		return GH_ERROR_OK;
	case RUN_RESET:
		/* The host saw the reset when the vCPU stopped; from here on it is off. */
		v->run = RUN_DEAD;
		return GH_ERROR_OK;
	case RUN_DEAD:
		return GH_ERROR_OK;
	case RUN_MMIO:
		error = resume_mmio(v, resume);
		if (error)
			return error;
		break;
	default:
		break;
	}
	*run = true;
	return GH_ERROR_OK;
}

enum gh_error vcpu_run(struct vcpu *v, uint64_t cap, const uint64_t *resume, uint64_t *out)
{
	struct cpu *c = arch_cpu();
	struct run_result result;
	enum gh_error error;
	bool run;

	hyp_lock(&v->vm->lock);
	/* The VM may have gone since the capability was looked up. */
	if (v->cap != cap) {
		hyp_unlock(&v->vm->lock);
		return GH_ERROR_CSPACE_CAP_REVOKED;
	}
	error = may_run(v, resume, &result, &run);
	if (run) {
		v->run = RUN_ACTIVE;
		v->cpu = (int)c->id;
		v->started = true;
		vtimer_cancel(v);
	}
	hyp_unlock(&v->vm->lock);
	if (error)
		return error;
	if (!run) {
		report(out, result);
		return GH_ERROR_OK;
	}
	if (vcpu_has_interrupt(c->host)) {
		hyp_lock(&v->vm->lock);
		v->run = RUN_READY;
		v->cpu = CPU_NONE;
		hyp_unlock(&v->vm->lock);
		report(out, result_ready);
		return GH_ERROR_OK;
	}
	enter(c, v);
	if (v->inject_abort) {
		struct fault fault = { .va = v->mmio_va, .write = v->mmio.write };

		v->inject_abort = false;
		arch_inject_abort(v, &fault);
	}
	return GH_ERROR_OK;
}

/* What a vCPU that does not run would answer; false: it could run. */
static bool standing(const struct vcpu *v, struct run_result *result)
{
	const struct mmio_access *a = &v->mmio;

	switch (v->run) {
	case RUN_OFF:
		*result = (struct run_result){ GH_VCPU_POWERED_OFF, { 0 } };
		return true;
	case RUN_WAIT:
		*result = (struct run_result){ GH_VCPU_EXPECTS_WAKEUP,
					       { v->wait_data, v->wait_source } };
		return true;
	case RUN_MMIO:
		*result = (struct run_result){ a->write ? GH_VCPU_ADDRSPACE_VMMIO_WRITE
							: GH_VCPU_ADDRSPACE_VMMIO_READ,
					       { a->ipa, a->size, a->write ? a->value : 0 } };
		return true;
	case RUN_FAULT:
		*result = (struct run_result){ GH_VCPU_FAULT, { 0 } };
		return true;
	case RUN_RESET:
		*result = (struct run_result){
			GH_VCPU_PSCI_SYSTEM_RESET,
			{ v->halt.reset_type |
				  (v->halt.type == GH_RM_EXIT_PSCI_SYSTEM_RESET
					   ? GH_VCPU_RESET_IS_RESET
					   : 0) |
				  (v->halt.smc64 ? GH_VCPU_RESET2_SMC64 : 0),
			  v->halt.reset_cookie },
		};
		return true;
	case RUN_DEAD:
		*result = result_dead;
		return true;
	default:
		return false;
	}
}

enum gh_error vcpu_run_check(struct vcpu *v, uint64_t cap, uint64_t *out)
{
	enum gh_error error = GH_ERROR_OK;
	struct run_result result;

	hyp_lock(&v->vm->lock);
	if (v->cap != cap)
		error = GH_ERROR_CSPACE_CAP_REVOKED;
	else if (!standing(v, &result))
		error = GH_ERROR_BUSY;
	hyp_unlock(&v->vm->lock);
	if (!error)
		report(out, result);
	return error;
}

/* --- What brings it back to life, or ends it --- */

void vcpu_wake(struct vcpu *v)
{
	v->run = RUN_READY;
	vtimer_cancel(v);
	tell_host(v);
}

bool vcpu_start(struct vcpu *v, uint64_t pc, uint64_t x0)
{
	if (v->run != RUN_OFF || killed(v))
		return false;
	arch_vcpu_reset(v, pc, x0);
	vtimer_init(v);
	vgic_unpend(v, INTID_PTIMER);
	v->run = RUN_READY;
	v->started = false;
	if (v->cpu != CPU_NONE)
		arch_kick((unsigned int)v->cpu);
	else
		tell_host(v);
	return true;
}

void hyp_vcpu_power_on(struct vm *vm, unsigned int index)
{
	struct vcpu *v;

	if (index >= vm->vcpus)
		return;
	v = &vm->vcpu[index];
	hyp_lock(&vm->lock);
	if (v->run == RUN_OFF && !killed(v)) {
		v->run = RUN_READY;
		tell_host(v);
	}
	hyp_unlock(&vm->lock);
}

enum gh_error hyp_vcpu_set_reg(struct vm *vm, unsigned int index, unsigned int set,
			       unsigned int reg, uint64_t value)
{
	enum gh_error error = GH_ERROR_OK;
	struct vcpu *v;

	if (index >= vm->vcpus)
		return GH_ERROR_ARG_INVALID;
	v = &vm->vcpu[index];
	hyp_lock(&vm->lock);
	if (v->run != RUN_OFF)
		error = GH_ERROR_OBJECT_STATE;
	else if (set == 0 && reg < 31)
		v->regs.x[reg] = value;
	else if (set == 1 && reg == 0 && !(value & 3))
		v->regs.pc = value;
	else if (set == 2 && reg < 2)
		arch_set_sp(v, reg, value);
	else
		error = GH_ERROR_ARG_INVALID;
	hyp_unlock(&vm->lock);
	return error;
}

void hyp_vm_kill(struct vm *vm)
{
	hyp_lock(&vm->lock);
	/* Whoever kills it knows; a vCPU that goes down from now on has nothing to tell. */
	vm->halted = true;
	for (unsigned int i = 0; i < vm->vcpus; i++)
		kill_one(&vm->vcpu[i]);
	for (unsigned int i = 0; i < vm->vcpus; i++) {
		while (vm->vcpu[i].run == RUN_ACTIVE) {
			hyp_unlock(&vm->lock);
			arch_relax();
			hyp_lock(&vm->lock);
		}
	}
	hyp_unlock(&vm->lock);
}

bool hyp_vm_halted(struct vm *vm, struct hyp_halt *halt)
{
	bool halted;

	hyp_lock(&vm->lock);
	halted = vm->by_itself;
	*halt = vm->halt;
	hyp_unlock(&vm->lock);
	return halted;
}

void vcpu_idle(struct cpu *c)
{
	struct vcpu *v = c->host;

	if (v->loaded) {
		vgic_unload(v);
		arch_vcpu_save(v);
		/* Not before: whoever powers it on writes where this was saved. */
		hyp_lock(&v->vm->lock);
		v->run = RUN_OFF;
		hyp_unlock(&v->vm->lock);
	}
	for (;;) {
		bool on;

		trap_irq();
		hyp_lock(&v->vm->lock);
		on = v->run == RUN_READY;
		if (on) {
			v->run = RUN_ACTIVE;
			v->started = true;
		}
		hyp_unlock(&v->vm->lock);
		if (on)
			break;
		arch_wait();
	}
	arch_vcpu_load(v);
	vgic_load(v);
}
