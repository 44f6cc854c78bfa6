/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Timers. The hardware's virtual timer belongs to the vCPU that is loaded; what others wait for, and the physical timer,
 * which is emulated, hang on the hypervisor's own timer: one sorted list of waiting vCPUs a CPU.
 */
#include "core/arch.h"
#include "core/vcpu.h"
#include "core/vgic.h"

#define CTL_ENABLE 1u
#define CTL_MASKED 2u

static uint64_t ptimer_deadline(const struct vcpu *v)
{
	return (v->ptimer.ctl & (CTL_ENABLE | CTL_MASKED)) == CTL_ENABLE ? v->ptimer.cval
									 : TIME_NEVER;
}

static bool ptimer_fires(const void *object)
{
	return ptimer_deadline(object) <= arch_counter();
}

void vtimer_init(struct vcpu *v)
{
	v->ptimer = (struct emulated_timer){ 0 };
	v->ptimer_source = (struct virq_source){ .asserted = ptimer_fires, .object = v };
	v->private[INTID_PTIMER].source = &v->ptimer_source;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t vtimer_deadline(const struct vcpu *v)
{
	uint64_t deadline = TIME_NEVER;

	if (v->private[INTID_TIMER].enabled)
		deadline = arch_vtimer_deadline(v);
	if (v->private[INTID_PTIMER].enabled)
		deadline = sooner(deadline, ptimer_deadline(v));
	return deadline;
}

void vtimer_program(struct cpu *c)
{
	uint64_t next = c->current ? ptimer_deadline(c->current) : TIME_NEVER;

	/* It has fired already: the interrupt is pending, and the guest's move. */
	if (c->current && c->current->ptimer_raised)
		next = TIME_NEVER;
	/* Unless the host gets its CPU back anyway. */
	if (c->current != c->host && !__atomic_load_n(&c->host->refresh, __ATOMIC_ACQUIRE))
		next = sooner(next, vtimer_deadline(c->host));
	hyp_lock(&c->timer_lock);
	if (c->timers)
		next = sooner(next, c->timers->deadline);
	if (next != c->timer_set) {
		c->timer_set = next;
		arch_timer_set(next);
	}
	hyp_unlock(&c->timer_lock);
}

struct emulated_timer vtimer_get(const struct vcpu *v)
{
	return v->ptimer;
}

static void raise_ptimer(struct vcpu *v)
{
	hyp_lock(&v->vm->lock);
	vgic_raise_private(v, INTID_PTIMER);
	hyp_unlock(&v->vm->lock);
	v->ptimer_raised = true;
}

void vtimer_set(struct vcpu *v, struct emulated_timer timer)
{
	v->ptimer = timer;
	v->ptimer_raised = false;
	if (ptimer_fires(v)) {
		raise_ptimer(v);
	} else {
		hyp_lock(&v->vm->lock);
		vgic_unpend(v, INTID_PTIMER);
		hyp_unlock(&v->vm->lock);
	}
	vtimer_program(arch_cpu());
}

/* --- vCPUs that wait; their VM's lock is held --- */

void vtimer_cancel(struct vcpu *v)
{
	struct vcpu **at;
	struct cpu *c;

	if (v->timer_cpu == CPU_NONE)
		return;
	c = &hyp_cpus[v->timer_cpu];
	hyp_lock(&c->timer_lock);
	for (at = &c->timers; *at; at = &(*at)->timer_next) {
		if (*at == v) {
			*at = v->timer_next;
			break;
		}
	}
	hyp_unlock(&c->timer_lock);
	v->timer_cpu = CPU_NONE;
}

void vtimer_wait(struct vcpu *v)
{
	struct cpu *c = arch_cpu();
	struct vcpu **at;

	v->deadline = vtimer_deadline(v);
	if (v->deadline == TIME_NEVER)
		return;
	v->timer_cpu = (int)c->id;
	hyp_lock(&c->timer_lock);
	for (at = &c->timers; *at && (*at)->deadline <= v->deadline; at = &(*at)->timer_next)
		;
	v->timer_next = *at;
	*at = v;
	hyp_unlock(&c->timer_lock);
}

/* The first of this CPU's waiting vCPUs whose time has come. It stays in the list; its VM's lock decides what becomes of it. */
static struct vcpu *expired(struct cpu *c)
{
	struct vcpu *v;

	hyp_lock(&c->timer_lock);
	v = c->timers && c->timers->deadline <= arch_counter() ? c->timers : NULL;
	hyp_unlock(&c->timer_lock);
	return v;
}

void vtimer_fired(struct cpu *c)
{
	uint64_t now = arch_counter();
	struct vcpu *v;

	while ((v = expired(c))) {
		hyp_lock(&v->vm->lock);
		if (v->timer_cpu == (int)c->id && v->deadline <= arch_counter())
			vcpu_wake(v);
		hyp_unlock(&v->vm->lock);
	}
	if (ptimer_fires(c->current) && !c->current->ptimer_raised)
		raise_ptimer(c->current);
	/* The host's own timer is due while a guest runs: back to the host. */
	if (c->current != c->host && vtimer_deadline(c->host) <= now)
		__atomic_store_n(&c->host->refresh, 1, __ATOMIC_RELEASE);
	vtimer_program(c);
}
