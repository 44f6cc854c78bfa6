// SPDX-License-Identifier: GPL-2.0-only
/* The primary's own interrupts, taken by hand while they are masked, so that nothing but the list registers decides. */
#include <linux/io.h>
#include <linux/irqchip/arm-gic-v3.h>
#include <linux/of_address.h>

#include "suite.h"
#include "report.h"

#define FIRST  900u /* INTIDs of no device, and below those that are given out */
#define NESTED 6u   /* more than the board has list registers */
#define ALL    (NESTED + 2)
#define TRIES  1000u

struct taken {
	u32 nested[NESTED], urgent[2], left;
};

/* How urgent: each more than the one before, and than anything of Linux. */
static u8 priority(unsigned int i)
{
	return 0x98 - 8 * i;
}

static void set_bits(void __iomem *gicd, u32 file, u32 mask)
{
	writel(mask << FIRST % 32, gicd + file + FIRST / 32 * 4);
}

static void prepare(void __iomem *gicd)
{
	unsigned int i;
	u64 route = read_cpuid_mpidr() & MPIDR_HWID_BITMASK;

	for (i = 0; i < ALL; i++) {
		u32 intid = FIRST + i;
		void __iomem *config = gicd + GICD_ICFGR + intid / 16 * 4;

		writel(readl(config) | 2u << intid % 16 * 2, config);
		writeb(priority(i), gicd + GICD_IPRIORITYR + intid);
		writeq(route, gicd + GICD_IROUTER + intid * 8);
	}
	set_bits(gicd, GICD_IGROUPR, (1u << ALL) - 1);
	set_bits(gicd, GICD_ISENABLER, (1u << ALL) - 1);
}

/* What is not there at once comes after a moment that the hypervisor needs. */
static u32 acknowledge(void)
{
	unsigned int tries = TRIES;
	u32 intid;

	do {
		intid = read_sysreg_s(SYS_ICC_IAR1_EL1);
		isb();
	} while (intid == ICC_IAR1_EL1_SPURIOUS && tries--);
	return intid;
}

static void end(u32 intid)
{
	if (intid == ICC_IAR1_EL1_SPURIOUS)
		return;
	write_sysreg_s(intid, SYS_ICC_EOIR1_EL1);
	isb();
}

/* Nested ones fill the list registers; then two come at once that are more urgent than all of them. */
static void nest(void __iomem *gicd, struct taken *t)
{
	unsigned long flags;
	unsigned int i;

	local_irq_save(flags);
	prepare(gicd);
	for (i = 0; i < NESTED; i++) {
		set_bits(gicd, GICD_ISPENDR, 1u << i);
		t->nested[i] = acknowledge();
	}
	set_bits(gicd, GICD_ISPENDR, 3u << NESTED);
	for (i = 0; i < 2; i++) {
		t->urgent[i] = acknowledge();
		end(t->urgent[i]);
	}
	for (i = NESTED; i--;)
		end(t->nested[i]);
	t->left = readl(gicd + GICD_ISACTIVER + FIRST / 32 * 4) >> FIRST % 32 & ((1u << ALL) - 1);
	set_bits(gicd, GICD_ICENABLER, (1u << ALL) - 1);
	set_bits(gicd, GICD_ICPENDR, (1u << ALL) - 1);
	local_irq_restore(flags);
}

void suite_gic(void)
{
	struct device_node *node = of_find_compatible_node(NULL, NULL, "arm,gic-v3");
	void __iomem *gicd = of_iomap(node, 0);
	struct taken taken;
	unsigned int i;

	of_node_put(node);
	if (!need("the distributor", gicd))
		return;
	nest(gicd, &taken);
	for (i = 0; i < NESTED; i++)
		expect(say("nested %u deep: IAR", i + 1), FIRST + i, taken.nested[i]);
	expect("of two more urgent ones: IAR", FIRST + NESTED + 1, taken.urgent[0]);
	expect("and after its end, above all that are nested", FIRST + NESTED, taken.urgent[1]);
	expect("when all have ended none is active", 0, taken.left);
	iounmap(gicd);
}
