/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs: who runs where, how a run ends, timers that outlive a run, and PSCI. */
#ifndef REFHYP_CORE_VCPU_H
#define REFHYP_CORE_VCPU_H

#include "core/vm.h"

/* --- vcpu.c --- */
void vcpu_init(struct vm *vm, unsigned int index, bool psci);
/* VCPU_RUN for a vCPU that `cap` names and the caller may run. out[1..4]: state and data, unless the vCPU now runs. */
enum gh_error vcpu_run(struct vcpu *v, uint64_t cap, const uint64_t *resume, uint64_t *out);
enum gh_error vcpu_run_check(struct vcpu *v, uint64_t cap, uint64_t *out);
/* Ends the run of this CPU's current, secondary vCPU: what the host gets to see. It stays in `next`. */
struct run_result {
	enum gh_vcpu_state state;
	uint64_t data[3];
};
void vcpu_exit(struct vcpu *v, enum run_state next, struct run_result result);
/* Of a vCPU that waits: makes it runnable and tells the host. The VM's lock is held. */
void vcpu_wake(struct vcpu *v);
/* Powers on an idle vCPU; false when it is not off. The VM's lock is held. */
bool vcpu_start(struct vcpu *v, uint64_t pc, uint64_t x0);
/* The current vCPU's whole VM goes down for the given reason. */
void vcpu_halt(struct vcpu *v, enum run_state next, const struct hyp_halt *halt);
/* The current vCPU waits until an interrupt comes; source and data as EXPECTS_WAKEUP reports them. */
void vcpu_wait(struct vcpu *v, uint64_t data, uint64_t source);
/* Completes the MMIO read of v with a value from outside. */
void vcpu_mmio_done(struct vcpu *v, const struct mmio_access *access, uint64_t value);
/* Whether an interrupt waits for the current vCPU. */
bool vcpu_has_interrupt(struct vcpu *v);
/* Powers this CPU's primary vCPU off, if it is not yet, and idles until it is powered on. */
void vcpu_idle(struct cpu *c);

/* --- vtimer.c --- */
void vtimer_init(struct vcpu *v);
struct emulated_timer vtimer_get(const struct vcpu *v);
void vtimer_set(struct vcpu *v, struct emulated_timer timer);
/* The next moment at which a timer of v, which is not loaded, can raise its interrupt. */
uint64_t vtimer_deadline(const struct vcpu *v);
void vtimer_wait(struct vcpu *v); /* v waits: wake it at its deadline */
void vtimer_cancel(struct vcpu *v);
void vtimer_fired(struct cpu *c);   /* the hypervisor's timer interrupt */
void vtimer_program(struct cpu *c); /* sets it to the next deadline that matters to this CPU */

/* --- psci.c: false: not a PSCI or architecture call. regs hold the call and take the results --- */
bool psci_call(struct vcpu *v, uint32_t function);

#endif
