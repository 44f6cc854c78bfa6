// SPDX-License-Identifier: GPL-2.0-only
/* Registers of the guest's GIC by way of the servant's loads, stores and moves. */
#include "gic.h"

static u64 bank(struct vm *vm, unsigned int cpu, u32 offset, u32 intid)
{
	u64 base = intid < 32 ? GICR_SGI(vm, cpu) : GICD_BASE;

	return base + offset + intid / 32 * 4;
}

void gic_open(struct vm *vm, unsigned int cpu)
{
	guest_write32(vm, cpu, GICD_CTLR, 0x12);
	vcpu_do(vm, cpu, INSN(msr_pmr), 0, 0xf8, 0);
	vcpu_do(vm, cpu, INSN(msr_grpen1), 0, 1, 0);
}

void gic_set_bit(struct vm *vm, unsigned int cpu, u32 offset, u32 intid)
{
	guest_write32(vm, cpu, bank(vm, cpu, offset, intid), 1u << intid % 32);
}

bool gic_bit(struct vm *vm, unsigned int cpu, u32 offset, u32 intid)
{
	return guest_read32(vm, cpu, bank(vm, cpu, offset, intid)) >> intid % 32 & 1;
}

void gic_enable(struct vm *vm, unsigned int cpu, u32 intid)
{
	u64 group = bank(vm, cpu, GIC_IGROUPR, intid);

	if (intid >= 32)
		vcpu_do(vm, cpu, INSN(str_x), cpu, GICD_IROUTER + intid * 8ull, 0);
	guest_write32(vm, cpu, group, guest_read32(vm, cpu, group) | 1u << intid % 32);
	gic_set_bit(vm, cpu, GIC_ISENABLER, intid);
}

u32 gic_acknowledge(struct vm *vm, unsigned int cpu)
{
	vcpu_do(vm, cpu, INSN(mrs_iar1), 0, 0, 0);
	return vm->cpu[cpu].out[0];
}

void gic_end(struct vm *vm, unsigned int cpu, u32 intid)
{
	if (intid != INTID_NONE)
		vcpu_do(vm, cpu, INSN(msr_eoir1), 0, intid, 0);
}

void gic_drain(struct vm *vm, unsigned int cpu)
{
	unsigned int tries;
	u32 intid = 0;

	for (tries = 0; tries < 64 && intid != INTID_NONE; tries++) {
		intid = gic_acknowledge(vm, cpu);
		gic_end(vm, cpu, intid);
	}
}

struct run_exit timer_sleep(struct vm *vm, const struct timer_sleep *sleep)
{
	struct run_exit e;
	u64 hz, ticks;

	vcpu_do(vm, 0, INSN(mrs_cntfrq), 0, 0, 0);
	hz = vm->cpu[0].out[0];
	ticks = hz / 20;
	do {
		vcpu_do(vm, 0, sleep->tval, 0, ticks, 0);
		vcpu_do(vm, 0, sleep->ctl, 0, 1, 0);
		gic_drain(vm, 0);
		vcpu_woken(vm, 0, 0);
		vcpu_load(vm, 0, sleep->insn, sleep->x0, sleep->x1, 0);
		e = vcpu_next(vm, 0);
		ticks *= 2;
	} while (e.state == RUN_DONE && ticks < hz * 10);
	return e;
}

void gic_set_edge(struct vm *vm, unsigned int cpu, u32 intid, bool edge)
{
	u64 address = GICD_BASE + GIC_ICFGR + intid / 16 * 4;
	u32 bit = 2u << intid % 16 * 2;

	guest_write32(vm, cpu, address, (guest_read32(vm, cpu, address) & ~bit) | (edge ? bit : 0));
}
