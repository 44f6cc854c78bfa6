/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's interrupt controller, worked by the servant. */
#ifndef CONFORMANCE_GIC_H
#define CONFORMANCE_GIC_H

#include "vm.h"

#define INTID_VTIMER 27u
#define INTID_PTIMER 30u
#define INTID_BELL   (32 + BELL_SPI)
#define INTID_NONE   1023u

/* Redistributor of a vCPU; its second frame has the registers of SGIs and PPIs. */
#define GICR(vm, cpu)	  (GICD_BASE - (vm)->spec->tree.cpus * GICR_SIZE + (cpu)*GICR_SIZE)
#define GICR_SGI(vm, cpu) (GICR(vm, cpu) + 0x10000)
#define GICD_CTLR	  GICD_BASE
#define GICD_TYPER	  (GICD_BASE + 0x04)
#define GICD_IIDR	  (GICD_BASE + 0x08)
#define GIC_IGROUPR	  0x080
#define GIC_ISENABLER	  0x100
#define GIC_ICENABLER	  0x180
#define GIC_ISPENDR	  0x200
#define GIC_ICPENDR	  0x280
#define GIC_ISACTIVER	  0x300
#define GIC_IPRIORITYR	  0x400
#define GIC_ICFGR	  0xc00
#define GICD_IROUTER	  (GICD_BASE + 0x6000)
#define GICD_PIDR2	  (GICD_BASE + 0xffe8)

/* Distributor and CPU interface on, group 1, all priorities; IRQs stay masked at the vCPU. */
void gic_open(struct vm *vm, unsigned int cpu);
/* Group 1 and enabled, for vCPU `cpu`. */
void gic_enable(struct vm *vm, unsigned int cpu, u32 intid);
/* An edge from here on, else a level. */
void gic_set_edge(struct vm *vm, unsigned int cpu, u32 intid, bool edge);
/* The register's bit of the interrupt, read by vCPU `cpu`. */
bool gic_bit(struct vm *vm, unsigned int cpu, u32 offset, u32 intid);
void gic_set_bit(struct vm *vm, unsigned int cpu, u32 offset, u32 intid);
/* ICC_IAR1_EL1, and the end of it; of INTID_NONE nothing ends. */
u32 gic_acknowledge(struct vm *vm, unsigned int cpu);
void gic_end(struct vm *vm, unsigned int cpu, u32 intid);
/* Takes and ends what is pending, whatever it is. */
/* An instruction that sleeps, and the timer that ends it. */
struct timer_sleep {
	u32 tval, ctl, insn;
	u64 x0, x1;
};
/*
 * Up to the sleep's exit. The timer is over before the sleep begins where the host is slow: then again, with more time.
 */
struct run_exit timer_sleep(struct vm *vm, const struct timer_sleep *sleep);
void gic_drain(struct vm *vm, unsigned int cpu);

#endif
