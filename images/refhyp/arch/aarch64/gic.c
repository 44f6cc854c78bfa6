/* SPDX-License-Identifier: GPL-2.0-only */
/* The physical GICv3, which EL2 keeps to itself, and the list registers that carry interrupts to EL1. */
#include "arch/aarch64/a64.h"

/* Distributor and redistributor. */
#define GICD_CTLR    0x0000
#define GICD_TYPER   0x0004
#define IGROUPR	     0x0080
#define ISENABLER    0x0100
#define ICENABLER    0x0180
#define ISPENDR	     0x0200
#define ICPENDR	     0x0280
#define ISACTIVER    0x0300
#define ICACTIVER    0x0380
#define IPRIORITYR   0x0400
#define ICFGR	     0x0c00
#define IROUTER	     0x6000
#define CTLR_ON	     0x13u /* affinity routing, both groups */
#define CTLR_RWP     (1u << 31)
#define GICR_STRIDE  0x20000ull
#define GICR_WAKER   0x0014
#define WAKER_SLEEP  2u
#define WAKER_ASLEEP 4u
#define GICR_PRIVATE 0x10000ull
#define PRIORITY     0xa0a0a0a0u

#define SGI_KICK	0u
#define PPI_MAINTENANCE 25u
#define PPI_HYP_TIMER	26u
#define OURS		(1u << SGI_KICK | 1u << PPI_MAINTENANCE | 1u << PPI_HYP_TIMER | 1u << INTID_TIMER)

#define LR_EOI	      (1ull << 41)
#define LR_GROUP1     (1ull << 60)
#define LR_HW	      (1ull << 61)
#define LR_PENDING    (1ull << 62)
#define LR_ACTIVE     (1ull << 63)
#define HCR_EN	      (1ull << 0)
#define HCR_LRENPIE   (1ull << 2)
#define HCR_NPIE      (1ull << 3)
#define HCR_TDIR      (1ull << 14)
#define HCR_EOI_SHIFT 27

static unsigned int irq_end, lr_count;

static volatile uint32_t *dist(uint64_t offset)
{
	return (volatile uint32_t *)(uintptr_t)(platform.gicd + offset);
}

static volatile uint32_t *redist(unsigned int cpu, uint64_t offset)
{
	return (volatile uint32_t *)(uintptr_t)(platform.gicr + cpu * GICR_STRIDE + offset);
}

/* The word of a register file with one bit an interrupt, in the distributor or in this CPU's redistributor. */
static volatile uint32_t *bit_word(uint64_t file, uint32_t intid)
{
	if (intid < INTID_SPI_FIRST)
		return redist(arch_cpu()->id, GICR_PRIVATE + file);
	return dist(file + intid / 32 * 4);
}

void a64_gic_init_board(void)
{
	*dist(GICD_CTLR) = 0;
	irq_end = ((*dist(GICD_TYPER) & 31) + 1) * 32;
	if (irq_end > INTID_END)
		irq_end = INTID_END;
	for (uint32_t i = INTID_SPI_FIRST; i < irq_end; i += 32) {
		*dist(ICENABLER + i / 32 * 4) = ~0u;
		*dist(ICPENDR + i / 32 * 4) = ~0u;
		*dist(ICACTIVER + i / 32 * 4) = ~0u;
		*dist(IGROUPR + i / 32 * 4) = ~0u;
	}
	for (uint32_t i = INTID_SPI_FIRST; i < irq_end; i += 4)
		*dist(IPRIORITYR + i) = PRIORITY;
	*dist(GICD_CTLR) = CTLR_ON;
	while (*dist(GICD_CTLR) & CTLR_RWP)
		arch_relax();
}

void a64_gic_init_cpu(unsigned int cpu)
{
	*redist(cpu, GICR_WAKER) &= ~WAKER_SLEEP;
	while (*redist(cpu, GICR_WAKER) & WAKER_ASLEEP)
		arch_relax();
	*redist(cpu, GICR_PRIVATE + ICENABLER) = ~0u;
	*redist(cpu, GICR_PRIVATE + ICPENDR) = ~0u;
	*redist(cpu, GICR_PRIVATE + ICACTIVER) = ~0u;
	*redist(cpu, GICR_PRIVATE + IGROUPR) = ~0u;
	for (unsigned int i = 0; i < INTID_SPI_FIRST; i += 4)
		*redist(cpu, GICR_PRIVATE + IPRIORITYR + i) = PRIORITY;
	*redist(cpu, GICR_PRIVATE + ISENABLER) = OURS;
	SYS_WRITE(icc_sre_el2, 0xf);
	ISB();
	SYS_WRITE(icc_pmr_el1, 0xff);
	SYS_WRITE(icc_bpr1_el1, 0);
	SYS_WRITE(icc_ctlr_el1,
		  SYS_READ(icc_ctlr_el1) | 2); /* priority drop apart from deactivation */
	SYS_WRITE(icc_igrpen1_el1, 1);
	lr_count = (unsigned int)(SYS_READ(ich_vtr_el2) & 31) + 1;
	for (unsigned int i = 0; i < lr_count; i++)
		arch_lr_write(i, NULL);
	SYS_WRITE(ich_hcr_el2, HCR_EN);
	ISB();
}

/* --- Physical interrupts --- */

unsigned int arch_irq_end(void)
{
	return irq_end;
}

enum arch_irq arch_irq_kind(uint32_t intid)
{
	switch (intid) {
	case SGI_KICK:
		return ARCH_IRQ_KICK;
	case PPI_MAINTENANCE:
		return ARCH_IRQ_MAINTENANCE;
	case PPI_HYP_TIMER:
		return ARCH_IRQ_HYP_TIMER;
	case INTID_TIMER:
		return ARCH_IRQ_VTIMER;
	default:
		return intid >= INTID_SPI_FIRST && intid < irq_end ? ARCH_IRQ_SPI : ARCH_IRQ_NONE;
	}
}

void arch_kick(unsigned int cpu)
{
	DSB(ish);
	SYS_WRITE(icc_sgi1r_el1, (uint64_t)SGI_KICK << 24 | 1ull << cpu);
	ISB();
}

uint32_t arch_irq_take(void)
{
	uint32_t intid = (uint32_t)SYS_READ(icc_iar1_el1);

	DSB(sy);
	if (intid < INTID_END)
		SYS_WRITE(icc_eoir1_el1, intid);
	ISB();
	return intid;
}

void arch_irq_deactivate(uint32_t intid)
{
	SYS_WRITE(icc_dir_el1, intid);
	ISB();
}

void arch_irq_enable(uint32_t intid, bool on)
{
	*bit_word(on ? ISENABLER : ICENABLER, intid) = 1u << intid % 32;
	while (!on && *dist(GICD_CTLR) & CTLR_RWP)
		arch_relax();
}

void arch_irq_set_edge(uint32_t intid, bool edge)
{
	volatile uint32_t *word = dist(ICFGR + intid / 16 * 4);
	uint32_t bit = 2u << intid % 16 * 2;

	*word = edge ? *word | bit : *word & ~bit;
}

void arch_irq_route(uint32_t intid, unsigned int cpu)
{
	*(volatile uint64_t *)(volatile void *)dist(IROUTER + intid * 8ull) = cpu;
}

void arch_irq_set_pending(uint32_t intid, bool on)
{
	*bit_word(on ? ISPENDR : ICPENDR, intid) = 1u << intid % 32;
}

void arch_irq_set_active(uint32_t intid)
{
	*bit_word(ISACTIVER, intid) = 1u << intid % 32;
	DSB(sy);
}

bool arch_irq_pending(uint32_t intid)
{
	return *bit_word(ISPENDR, intid) >> intid % 32 & 1;
}

/* --- List registers --- */

#define LR_ACCESS(i, op)          \
	switch (i) {              \
	case 0:                   \
		op(ich_lr0_el2);  \
		break;            \
	case 1:                   \
		op(ich_lr1_el2);  \
		break;            \
	case 2:                   \
		op(ich_lr2_el2);  \
		break;            \
	case 3:                   \
		op(ich_lr3_el2);  \
		break;            \
	case 4:                   \
		op(ich_lr4_el2);  \
		break;            \
	case 5:                   \
		op(ich_lr5_el2);  \
		break;            \
	case 6:                   \
		op(ich_lr6_el2);  \
		break;            \
	case 7:                   \
		op(ich_lr7_el2);  \
		break;            \
	case 8:                   \
		op(ich_lr8_el2);  \
		break;            \
	case 9:                   \
		op(ich_lr9_el2);  \
		break;            \
	case 10:                  \
		op(ich_lr10_el2); \
		break;            \
	case 11:                  \
		op(ich_lr11_el2); \
		break;            \
	case 12:                  \
		op(ich_lr12_el2); \
		break;            \
	case 13:                  \
		op(ich_lr13_el2); \
		break;            \
	case 14:                  \
		op(ich_lr14_el2); \
		break;            \
	default:                  \
		op(ich_lr15_el2); \
		break;            \
	}

unsigned int arch_lr_count(void)
{
	return lr_count;
}

void arch_lr_write(unsigned int i, const struct lr *lr)
{
	uint64_t value = 0;

	if (lr) {
		value = lr->intid | (uint64_t)lr->priority << 48;
		value |= lr->group1 ? LR_GROUP1 : 0;
		value |= lr->pending ? LR_PENDING : 0;
		value |= lr->active ? LR_ACTIVE : 0;
		if (lr->hw)
			value |= LR_HW | (uint64_t)lr->intid << 32;
		else if (lr->tell_eoi)
			value |= LR_EOI;
	}
#define WRITE_LR(name) SYS_WRITE(name, value)
	LR_ACCESS(i, WRITE_LR)
}

void arch_lr_read(unsigned int i, struct lr *lr)
{
	uint64_t value;

#define READ_LR(name) value = SYS_READ(name)
	LR_ACCESS(i, READ_LR)
	*lr = (struct lr){
		.intid = (uint16_t)value,
		.priority = (uint8_t)(value >> 48),
		.pending = value & LR_PENDING,
		.active = value & LR_ACTIVE,
		.hw = value & LR_HW,
	};
}

void arch_lr_overflow(bool more, bool evicted)
{
	SYS_WRITE(ich_hcr_el2,
		  HCR_EN | (more ? HCR_NPIE : 0) | (evicted ? HCR_LRENPIE | HCR_TDIR : 0));
}

unsigned int arch_eoi_count(void)
{
	uint64_t hcr = SYS_READ(ich_hcr_el2);
	unsigned int n = (unsigned int)(hcr >> HCR_EOI_SHIFT & 31);

	if (n)
		SYS_WRITE(ich_hcr_el2, hcr & ~(31ull << HCR_EOI_SHIFT));
	return n;
}
