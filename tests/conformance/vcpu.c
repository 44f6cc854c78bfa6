// SPDX-License-Identifier: GPL-2.0-only
/* Running vCPUs: the servant's protocol is served here, everything else is the test's. */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/sched.h>

#include "vm.h"

s64 vcpu_run(u64 cap, const u64 resume[3], u64 last, struct run_exit *exit)
{
	struct regs r;
	s64 error = HYPERCALL(&r, GH_CALL_VCPU_RUN, cap, resume[0], resume[1], resume[2], last);

	*exit = (struct run_exit){
		.state = error ? RUN_ERROR : r.x[1],
		.data = { r.x[2], r.x[3], r.x[4] },
		.error = error,
	};
	return error;
}

/* The servant reads: true when there is something for it. */
static bool serve_read(struct vm_cpu *c, unsigned int offset)
{
	if (offset == SERVANT_INSN) {
		c->asking = !c->loaded;
		c->loaded = false;
		c->resume[0] = c->insn;
		return !c->asking;
	}
	c->resume[0] = c->in[offset / 8 % 8];
	return true;
}

static void serve_write(struct vm_cpu *c, unsigned int offset, u64 value)
{
	if (offset >= SERVANT_OUT && offset < SERVANT_OUT + sizeof(c->out))
		c->out[(offset - SERVANT_OUT) / 8] = value;
	else if (offset == SERVANT_FAR)
		c->far = value;
	else if (offset == SERVANT_EVENT)
		c->event = value;
	else if (offset == SERVANT_ENTRY_X0)
		c->entry_x0 = value;
	else if (offset == SERVANT_ENTRY_PC)
		c->entry_pc = value;
}

static bool of_servant(const struct run_exit *e)
{
	return (e->state == GH_VCPU_ADDRSPACE_VMMIO_READ ||
		e->state == GH_VCPU_ADDRSPACE_VMMIO_WRITE) &&
	       e->data[0] >= SERVANT_PAGE && e->data[0] < SERVANT_PAGE + SERVANT_PAGE_END;
}

struct run_exit vcpu_next(struct vm *vm, unsigned int cpu)
{
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);
	struct vm_cpu *c = &vm->cpu[cpu];
	struct run_exit e;
	bool first = true;

	if (c->asking) {
		if (!c->loaded)
			return (struct run_exit){ .state = RUN_DONE };
		serve_read(c, SERVANT_INSN);
	}
	for (;; first = false) {
		if (!first && time_after(jiffies, end))
			return (struct run_exit){ .state = RUN_TIMEOUT };
		vcpu_run(c->cap, c->resume, 0, &e);
		if (e.error == GH_ERROR_BUSY || e.state == GH_VCPU_BLOCKED) {
			usleep_range(50, 200);
			continue;
		}
		if (e.error)
			return e;
		memset(c->resume, 0, sizeof(c->resume));
		if (e.state == GH_VCPU_READY)
			cond_resched();
		else if (!of_servant(&e))
			return e;
		else if (e.state == GH_VCPU_ADDRSPACE_VMMIO_WRITE)
			serve_write(c, e.data[0] - SERVANT_PAGE, e.data[2]);
		else if (!serve_read(c, e.data[0] - SERVANT_PAGE))
			return (struct run_exit){ .state = RUN_DONE };
	}
}

void vcpu_load(struct vm *vm, unsigned int cpu, u32 insn, u64 x0, u64 x1, u64 x2)
{
	struct vm_cpu *c = &vm->cpu[cpu];

	c->insn = insn;
	memset(c->in, 0, sizeof(c->in));
	c->in[0] = x0;
	c->in[1] = x1;
	c->in[2] = x2;
	c->loaded = true;
	c->event = ~0ull;
}

u64 vcpu_do(struct vm *vm, unsigned int cpu, u32 insn, u64 x0, u64 x1, u64 x2)
{
	vcpu_load(vm, cpu, insn, x0, x1, x2);
	return vcpu_next(vm, cpu).state;
}

bool vcpu_woken(struct vm *vm, unsigned int cpu, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	while (!atomic_xchg(&vm->cpu[cpu].wakes, 0)) {
		if (time_after(jiffies, end))
			return false;
		usleep_range(100, 300);
	}
	return true;
}

struct run_exit vcpu_next_awake(struct vm *vm, unsigned int cpu)
{
	struct run_exit e;

	do {
		e = vcpu_next(vm, cpu);
	} while ((e.state == GH_VCPU_EXPECTS_WAKEUP ||
		  (e.state == GH_VCPU_POWERED_OFF && !(e.data[0] & GH_VCPU_POWERED_OFF_EXITED))) &&
		 vcpu_woken(vm, cpu, WAIT_MS));
	return e;
}

u64 guest_call(struct vm *vm, unsigned int cpu, u32 insn, const u64 x[8])
{
	vcpu_load(vm, cpu, insn, 0, 0, 0);
	memcpy(vm->cpu[cpu].in, x, sizeof(vm->cpu[cpu].in));
	return vcpu_next(vm, cpu).state;
}

u64 guest_read32(struct vm *vm, unsigned int cpu, u64 address)
{
	return vcpu_do(vm, cpu, INSN(ldr_w), 0, address, 0) == RUN_DONE && !vm->cpu[cpu].event
		       ? vm->cpu[cpu].out[0]
		       : ~0ull;
}

void guest_write32(struct vm *vm, unsigned int cpu, u64 address, u32 value)
{
	if (vcpu_do(vm, cpu, INSN(str_w), value, address, 0) != RUN_DONE || vm->cpu[cpu].event)
		need(say("the guest writes %#llx", address), false);
}
