/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The processor that tests play: its state lies open, and a test does what software on it would do.
 *
 * One thread plays every CPU: fake_machine.cpu says whose turn it is. CPUs that were kicked get their turn whenever another one
 * waits, and in fake_settle().
 */
#ifndef REFHYP_ARCH_FAKE_H
#define REFHYP_ARCH_FAKE_H

#include "core/arch.h"

#define FAKE_CPUS      4u
#define FAKE_RAM       0x40000000ull
#define FAKE_RAM_BYTES 0x1000000ull /* 16 MiB */
#define FAKE_LRS       4u
#define FAKE_IRQS      288u
#define FAKE_POOL      256u /* pages */
#define FAKE_GICD      0x08000000ull
#define FAKE_GICR      0x080a0000ull

struct fake_cpu {
	struct lr lr[FAKE_LRS]; /* neither pending nor active: empty */
	bool more, evicted;
	unsigned int eoi_count;
	bool kicked, in_kick;
	uint64_t timer;
	uint32_t ppi_active; /* physical state of private interrupts */
	bool vtimer_pending; /* the virtual timer's line is handled */
};

struct fake_machine {
	unsigned int cpu; /* whose turn it is */
	unsigned int cpus;
	uint64_t counter;
	bool no_entropy;
	bool off, reset;     /* the board went down */
	unsigned int faults; /* aborts and undefined instructions injected */
	struct fake_cpu cpus_state[FAKE_CPUS];
	bool irq_enabled[FAKE_IRQS], irq_edge[FAKE_IRQS], irq_pending[FAKE_IRQS],
		irq_active[FAKE_IRQS];
	uint8_t irq_route[FAKE_IRQS];
	unsigned int waits; /* in a row, without anybody having something to do */
	/* What another CPU does while this one waits, or is about to save a vCPU; it is told once. NULL: nothing. */
	void (*meanwhile)(void);
	char log[256]; /* the last of it */
	size_t log_size;
};

extern struct fake_machine fake_machine;
extern uint8_t fake_ram[FAKE_RAM_BYTES];

/* A machine fresh from boot: the primary's vCPU 0 runs on CPU 0, the others idle. */
void fake_boot(unsigned int cpus);
/* Lets every CPU that was kicked, or has an interrupt, take it. */
void fake_settle(void);
/* On CPU n from here on. */
void fake_turn(unsigned int n);
/* The current vCPU's virtual timer, as the guest sets it. */
void fake_vtimer(uint32_t ctl, uint64_t cval);
/* The guest takes the most urgent interrupt from its list registers: INTID, or 1023. Then it ends it. */
uint32_t fake_ack(void);
void fake_eoi(uint32_t intid);

#endif
