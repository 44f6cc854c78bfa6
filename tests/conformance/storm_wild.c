// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the storm does with the primary's own processor: system registers, and accesses of every width to what it does not have,
 * to emulated registers, and to devices.
 *
 * It spares what would stop the primary's kernel by its own effect, whoever is beneath it:
 * SCTLR_EL1, TCR_EL1, TTBR1_EL1 (the next instruction would be elsewhere), ZCR_EL1, SMCR_EL1 and SVCR (they end in a class of
 * exception at EL1 that Linux dies of), reads of ICC_IAR0_EL1 and ICC_IAR1_EL1 (they take an interrupt that somebody waits for),
 * software interrupts below 8 (Linux has given those a meaning), writes to the interrupt controller that change an interrupt
 * which exists here, and writes to a UART that prints. All others are put back before the kernel goes on. And what QEMU 7.2 ends
 * itself of: more than three bits in ICC_BPR0_EL1 or ICC_BPR1_EL1.
 */
#include <linux/io.h>
#include <linux/mm.h>

#include "gic.h"
#include "storm_host.h"

#define ENCODINGS    0xc000u /* op0 from 1 to 3 */
#define SIZE_OF_INSN 8u	     /* and its return */
#define REGISTER(op0, op1, crn, crm, op2) \
	(((op0)-1u) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

#define DIST	      0x08000000ull
#define REDIST	      0x080a0000ull
#define UART_ID	      0x09000fe0ull
#define NO_DEVICE     0x0b000000ull
#define HYPERVISOR    0x80000000ull
#define HYPERVISOR_HI 0xbffff000ull
#define IDLE_FIRST    512u /* interrupts that the board has no device for */
#define IDLE_END      928u

extern const char storm_systems[], storm_kinds[], storm_stores[], storm_sure[], storm_kinds_end[];
u64 storm_system(const char *read, const char *write, u64 value);
u64 storm_access(const char *kind, void *address, u64 value);

static struct {
	void *dist, *redist, *uart, *none, *hypervisor[2];
} at;

bool storm_wild_open(void)
{
	at.dist = ioremap(DIST, 0x10000);
	at.redist = ioremap(REDIST, 0x20000 * num_online_cpus());
	at.uart = ioremap(UART_ID & PAGE_MASK, PAGE_SIZE);
	at.none = ioremap(NO_DEVICE, PAGE_SIZE);
	at.hypervisor[0] = memremap(HYPERVISOR, PAGE_SIZE, MEMREMAP_WB);
	at.hypervisor[1] = memremap(HYPERVISOR_HI, PAGE_SIZE, MEMREMAP_WB);
	return need("mappings for the storm", at.dist && at.redist && at.uart && at.none &&
						      at.hypervisor[0] && at.hypervisor[1]);
}

void storm_wild_close(void)
{
	unsigned int i;

	iounmap(at.dist);
	iounmap(at.redist);
	iounmap(at.uart);
	iounmap(at.none);
	for (i = 0; i < ARRAY_SIZE(at.hypervisor); i++)
		if (at.hypervisor[i])
			memunmap(at.hypervisor[i]);
}

/* --- System registers --- */

static const char *instruction(unsigned int encoding, bool read)
{
	return storm_systems + ((read ? ENCODINGS : 0) + encoding) * SIZE_OF_INSN;
}

static bool spared(unsigned int encoding)
{
	switch (encoding) {
	case REGISTER(3, 0, 1, 0, 0):	/* SCTLR_EL1 */
	case REGISTER(3, 0, 2, 0, 1):	/* TTBR1_EL1 */
	case REGISTER(3, 0, 2, 0, 2):	/* TCR_EL1 */
	case REGISTER(3, 0, 12, 8, 0):	/* ICC_IAR0_EL1 */
	case REGISTER(3, 0, 12, 12, 0): /* ICC_IAR1_EL1 */
	case REGISTER(3, 3, 4, 2, 2):	/* SVCR */
		return true;
	default:
		/* ZCR_EL1, SMCR_EL1 */
		return (encoding & ~7u) == REGISTER(3, 0, 1, 2, 0);
	}
}

/* One that exists, or nearly does, or just any. */
static unsigned int any_encoding(u64 *random)
{
	static const u16 known[] = {
		REGISTER(2, 0, 0, 0, 4),   REGISTER(2, 0, 0, 0, 5),   REGISTER(2, 0, 0, 2, 2),
		REGISTER(2, 0, 1, 0, 4),   REGISTER(2, 0, 1, 3, 4),   REGISTER(2, 0, 7, 8, 6),
		REGISTER(2, 3, 0, 4, 0),   REGISTER(3, 0, 0, 0, 0),   REGISTER(3, 0, 0, 0, 5),
		REGISTER(3, 0, 0, 4, 0),   REGISTER(3, 0, 0, 5, 0),   REGISTER(3, 0, 0, 7, 0),
		REGISTER(3, 0, 1, 0, 1),   REGISTER(3, 0, 1, 0, 2),   REGISTER(3, 0, 2, 0, 0),
		REGISTER(3, 0, 2, 1, 0),   REGISTER(3, 0, 4, 0, 0),   REGISTER(3, 0, 4, 0, 1),
		REGISTER(3, 0, 4, 1, 0),   REGISTER(3, 0, 4, 2, 0),   REGISTER(3, 0, 4, 2, 3),
		REGISTER(3, 0, 4, 6, 0),   REGISTER(3, 0, 5, 1, 0),   REGISTER(3, 0, 5, 2, 0),
		REGISTER(3, 0, 5, 3, 0),   REGISTER(3, 0, 6, 0, 0),   REGISTER(3, 0, 7, 4, 0),
		REGISTER(3, 0, 9, 14, 1),  REGISTER(3, 0, 10, 2, 0),  REGISTER(3, 0, 10, 3, 0),
		REGISTER(3, 0, 12, 0, 0),  REGISTER(3, 0, 12, 1, 1),  REGISTER(3, 0, 12, 8, 1),
		REGISTER(3, 0, 12, 8, 3),  REGISTER(3, 0, 12, 8, 4),  REGISTER(3, 0, 12, 9, 0),
		REGISTER(3, 0, 12, 11, 1), REGISTER(3, 0, 12, 11, 3), REGISTER(3, 0, 12, 11, 5),
		REGISTER(3, 0, 12, 11, 6), REGISTER(3, 0, 12, 11, 7), REGISTER(3, 0, 12, 12, 1),
		REGISTER(3, 0, 12, 12, 2), REGISTER(3, 0, 12, 12, 3), REGISTER(3, 0, 12, 12, 4),
		REGISTER(3, 0, 12, 12, 5), REGISTER(3, 0, 12, 12, 6), REGISTER(3, 0, 12, 12, 7),
		REGISTER(3, 0, 13, 0, 1),  REGISTER(3, 0, 13, 0, 4),  REGISTER(3, 0, 14, 1, 0),
		REGISTER(3, 2, 0, 0, 0),   REGISTER(3, 3, 4, 2, 1),   REGISTER(3, 3, 4, 4, 0),
		REGISTER(3, 3, 9, 12, 0),  REGISTER(3, 3, 9, 13, 0),  REGISTER(3, 3, 13, 0, 2),
		REGISTER(3, 3, 14, 0, 0),  REGISTER(3, 3, 14, 0, 1),  REGISTER(3, 3, 14, 2, 0),
		REGISTER(3, 3, 14, 2, 1),  REGISTER(3, 3, 14, 2, 2),  REGISTER(3, 3, 14, 3, 0),
		REGISTER(3, 3, 14, 3, 1),  REGISTER(3, 3, 14, 3, 2),  REGISTER(3, 4, 1, 1, 0),
		REGISTER(1, 0, 7, 8, 0),   REGISTER(1, 0, 7, 14, 2),  REGISTER(1, 0, 8, 3, 0),
		REGISTER(1, 0, 8, 7, 1),   REGISTER(1, 3, 7, 4, 1),   REGISTER(1, 3, 7, 14, 1),
	};
	unsigned int encoding = known[storm_below(random, ARRAY_SIZE(known))];

	if (storm_rarely(random, 8))
		return storm_below(random, ENCODINGS);
	if (storm_rarely(random, 3))
		encoding ^= 1u << storm_below(random, 14);
	return encoding;
}

static u64 tamed(unsigned int encoding, u64 value)
{
	switch (encoding) {
	case REGISTER(3, 0, 12, 8, 3):	/* ICC_BPR0_EL1 */
	case REGISTER(3, 0, 12, 12, 3): /* ICC_BPR1_EL1 */
		return value & 7;
	case REGISTER(3, 0, 12, 11, 5): /* ICC_SGI1R_EL1 */
	case REGISTER(3, 0, 12, 11, 6): /* ICC_ASGI1R_EL1 */
	case REGISTER(3, 0, 12, 11, 7): /* ICC_SGI0R_EL1 */
		return value | 8ull << 24;
	default:
		return value;
	}
}

void storm_wild_register(u64 *random)
{
	unsigned int encoding = any_encoding(random);
	bool maintenance = encoding < REGISTER(2, 0, 0, 0, 0);
	u64 value = tamed(encoding, storm_value(random)), refused;

	if (spared(encoding))
		return;
	/* Of caches and addresses; never of the kernel's own. */
	if (maintenance)
		value = (uintptr_t)storm_pages_at(random);
	refused = storm_system(maintenance ? NULL : instruction(encoding, true),
			       instruction(encoding, false), value);
	atomic64_add(!refused, &storm.registers_done);
}

/* --- Accesses --- */

static bool is_idle(u32 offset)
{
	u32 intid;

	if (offset < GIC_IGROUPR || offset >= 0x8000)
		return offset >= 0x8000;
	if (offset >= 0x6000)
		intid = (offset - 0x6000) / 8;
	else if (offset >= GIC_ICFGR)
		intid = (offset - GIC_ICFGR) * 4;
	else if (offset >= GIC_IPRIORITYR)
		intid = (offset - GIC_IPRIORITYR) % 0x400;
	else
		intid = offset % 0x80 * 8;
	return intid >= IDLE_FIRST && intid + 64 < IDLE_END;
}

static unsigned int edge(u64 *random)
{
	return PAGE_SIZE - 1 - storm_below(random, 16);
}

/* Where, and whether it is memory that must not be there; whether stores are spared. */
static u8 *any_place(u64 *random, bool *lost, bool *loads_only)
{
	u32 low = storm_below(random, PAGE_SIZE) & (storm_rarely(random, 3) ? ~0u : ~7u), offset;

	*lost = *loads_only = false;
	switch (storm_below(random, 8)) {
	case 0:
	case 1:
		offset = storm_below(random, 0x10000) & (storm_rarely(random, 3) ? ~0u : ~3u);
		*loads_only = !is_idle(offset);
		return at.dist + offset;
	case 2:
		*loads_only = true;
		return at.redist + (storm_below(random, 0x20000 * num_online_cpus()) & ~3u);
	case 3:
		*loads_only = true;
		return at.uart + (UART_ID & ~PAGE_MASK) + low % 0x20;
	case 4:
		return at.none + low;
	case 5:
		*lost = true;
		low = min_t(u32, low, PAGE_SIZE - 64);
		return at.hypervisor[storm_below(random, ARRAY_SIZE(at.hypervisor))] + low;
	case 6: /* lent; its last bytes would reach into what is not */
		*lost = true;
		return storm.victim.memory + storm_below(random, VM_SIZE - 64);
	default: /* from one page, lent or not, into the next */
		return (u8 *)storm_pages_at(random) + edge(random);
	}
}

void storm_wild_access(u64 *random)
{
	const unsigned int sure = (storm_sure - storm_kinds) / SIZE_OF_INSN;
	const unsigned int kinds = (storm_kinds_end - storm_kinds) / SIZE_OF_INSN;
	const unsigned int loads = (storm_stores - storm_kinds) / SIZE_OF_INSN;
	bool lost, loads_only;
	u8 *place = any_place(random, &lost, &loads_only);
	unsigned int kind = storm_below(random, loads_only ? loads : kinds);

	if (storm_access(storm_kinds + kind * SIZE_OF_INSN, place, storm_value(random)))
		return;
	atomic64_inc(&storm.accesses_done);
	atomic64_add(lost && kind < sure, &storm.leaks);
}
